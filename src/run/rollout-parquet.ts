/**
 * Rollouts as Parquet: one row for each completion, a column for each thing that is known of it.
 *
 *     stage, iteration, promptId, sample, prompt, completion, rewards/NAME/score, rewards/NAME/reason, …, reward,
 *     advantage, solved, finishReason, promptTokens, lengthTokens, samplerLogprob, tokens, samplerLogprobs,
 *     tokenAdvantages, ratios, entropies
 *
 * A file is made of a whole JSON Lines file and can be turned back into exactly its bytes, which a resume needs that goes
 * back into the middle of one. That holds for rows whose rewards come in one order: those of one stage.
 */

import { readFileSync } from "node:fs";
import { parquetReadObjects } from "hyparquet";
import { type ColumnSource, parquetWriteBuffer, type SchemaElement } from "hyparquet-writer";
import { RunDirError } from "../errors.ts";
import { type RolloutRecord, rolloutRecordSchema } from "./records.ts";

type Scalar = "STRING" | "INT32" | "INT64" | "DOUBLE" | "BOOLEAN";

/** Columns beside those of the rewards, in the order of a row's keys; `rewards` says where those stand. */
const COLUMNS: readonly (readonly [keyof RolloutRecord, Scalar | readonly [Scalar] | "rewards"])[] = [
  ["stage", "STRING"],
  ["iteration", "INT32"],
  ["promptId", "INT64"],
  ["sample", "INT32"],
  ["prompt", "STRING"],
  ["completion", "STRING"],
  ["rewards", "rewards"],
  ["reward", "DOUBLE"],
  ["advantage", "DOUBLE"],
  ["solved", "BOOLEAN"],
  ["finishReason", "STRING"],
  ["promptTokens", "INT32"],
  ["lengthTokens", "INT32"],
  ["samplerLogprob", "DOUBLE"],
  ["tokens", ["INT32"]],
  ["samplerLogprobs", ["DOUBLE"]],
  ["tokenAdvantages", ["DOUBLE"]],
  ["ratios", ["DOUBLE"]],
  ["entropies", ["DOUBLE"]],
];

const scoreColumn = (reward: string) => `rewards/${reward}/score`;
const reasonColumn = (reward: string) => `rewards/${reward}/reason`;

/** The bytes of a file with these rows. Columns that no row has are left out. */
export function rolloutsToParquet(rows: readonly RolloutRecord[]): Uint8Array {
  const columnData: ColumnSource[] = [];
  const schema: SchemaElement[] = [];
  const add = (name: string, type: Scalar | readonly [Scalar], data: unknown[]) => {
    const values = data.map((value) => value ?? null);
    columnData.push({ name, data: type === "INT64" ? values.map((value) => BigInt(value as number)) : values });
    schema.push(...(typeof type === "string" ? [scalar(name, type)] : list(name, type[0])));
  };
  for (const [name, type] of COLUMNS) {
    if (type !== "rewards") {
      if (rows.some((row) => row[name] !== undefined)) {
        add(
          name,
          type,
          rows.map((row) => row[name]),
        );
      }
      continue;
    }
    for (const reward of new Set(rows.flatMap((row) => Object.keys(row.rewards)))) {
      const of = rows.map(({ rewards }) => rewards[reward]);
      add(
        scoreColumn(reward),
        "DOUBLE",
        of.map((result) => result?.score),
      );
      add(
        reasonColumn(reward),
        "STRING",
        of.map((result) => result?.reason),
      );
    }
  }
  const root: SchemaElement = { name: "schema", num_children: columnData.length };
  return new Uint8Array(parquetWriteBuffer({ columnData, schema: [root, ...schema] }));
}

/**
 * The rows of such a file.
 *
 * @throws RunDirError where it is not one.
 */
export async function rolloutsFromParquet(path: string): Promise<RolloutRecord[]> {
  let objects: Record<string, unknown>[];
  try {
    const bytes = readFileSync(path);
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    objects = await parquetReadObjects({ file });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RunDirError(`${path} cannot be read (${reason}); it was changed by something other than Aha.`);
  }
  return objects.map((object, index) => {
    const parsed = rolloutRecordSchema.safeParse(rowOf(object));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new RunDirError(
      `${path}, row ${index}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unexpected form"}.`,
    );
  });
}

/** A row with its keys in the order of JSON Lines. */
function rowOf(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  for (const [name, type] of COLUMNS) {
    if (type === "rewards") row[name] = rewardsOf(object);
    // `reward` is null where every reward abstained, and a number that was not finite is; nothing else is ever null.
    else if (name in object && (object[name] !== null || type === "DOUBLE")) {
      row[name] = type === "INT64" ? Number(object[name]) : object[name];
    }
  }
  return row;
}

function rewardsOf(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = Object.keys(object).flatMap((column) => /^rewards\/(.*)\/score$/s.exec(column)?.[1] ?? []);
  const given = names.filter((name) => object[reasonColumn(name)] !== null);
  return Object.fromEntries(
    given.map((name) => [name, { score: object[scoreColumn(name)], reason: object[reasonColumn(name)] }]),
  );
}

function scalar(name: string, type: Scalar): SchemaElement {
  if (type === "STRING") return { name, type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" };
  return { name, type, repetition_type: "OPTIONAL" };
}

function list(name: string, type: Scalar): SchemaElement[] {
  return [
    { name, repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    scalar("element", type),
  ];
}
