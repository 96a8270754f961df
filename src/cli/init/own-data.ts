/** A look at the data that somebody wants to train on: which task they are for, and which columns mean what. */

import { type DatasetSplit, findDataset, splitOf, splitRows } from "../../data/dataset-folder.ts";
import type { ResolveDataset } from "../../data/options.ts";
import { columnsText, type DataRow, placeOf } from "../../data/row.ts";
import { ConfigError, DataError } from "../../errors.ts";

/** What the data are. */
export interface OwnData {
  /** As the user named it: a path on this machine, or a name on the Hub. */
  readonly path: string;
  readonly kind: "conversations" | "preferences";
  /** For `data.columns`: what the task reads, and the column that it is in. */
  readonly columns: Readonly<Record<string, string>>;
  /** The column with the right answer, as the recipe's `answer` and the reward read it. */
  readonly answer: string | undefined;
  /** There is something to imitate: a reference answer in each conversation. */
  readonly hasAnswers: boolean;
  /** The first row's columns, for people. */
  readonly found: readonly string[];
  /** Rows to train on, counted up to `COUNTED_ROWS`. */
  readonly rows: number;
  /** Rows of its split `test`, counted so too; undefined where it has none. */
  readonly testRows: number | undefined;
}

/** What the user says of the columns. */
export interface NamedColumns {
  readonly prompt?: string | undefined;
  readonly answer?: string | undefined;
}

/** Nothing that is written depends on how many more there are. */
const COUNTED_ROWS = 4000;
/** The split that is held out where there is one. */
export const TEST_SPLIT = "test";

/** Columns that hold whole conversations, which the task reads as they are. */
const CONVERSATION_COLUMNS = ["messages", "conversations"];
const PROMPT_COLUMNS = ["prompt", "question", "problem", "instruction", "query", "input", "task"];
const REFERENCE_COLUMNS = ["completion", "response", "output", "solution", "answer", "target"];
const ANSWER_COLUMNS = ["answer", "final_answer", "gold", "label", "target", "solution"];

/**
 * Reads the first rows at `path`.
 *
 * @throws ConfigError for columns that are not understood; DataError, HubError
 */
export async function lookAtData(path: string, named: NamedColumns, resolve: ResolveDataset): Promise<OwnData> {
  const dataset = await findDataset(await resolve(path));
  const training = splitOf(dataset);
  const { first, rows } = await countRows(training);
  if (first === undefined) throw new DataError(`${path} has no rows.`);
  const test = dataset.splits.find((split) => split.name === TEST_SPLIT && split !== training);
  const testRows = test && (await countRows(test)).rows;
  return { ...understand(path, first, named), rows, testRows };
}

async function countRows(split: DatasetSplit): Promise<{ readonly first: DataRow | undefined; readonly rows: number }> {
  let first: DataRow | undefined;
  let rows = 0;
  for await (const row of splitRows(split)) {
    first ??= row;
    if (++rows === COUNTED_ROWS) break;
  }
  return { first, rows };
}

function understand(path: string, row: DataRow, named: NamedColumns): Omit<OwnData, "rows" | "testRows"> {
  const found = Object.keys(row.fields);
  const first = (names: readonly string[]) => names.find((name) => found.includes(name));
  for (const column of [named.prompt, named.answer]) {
    if (column === undefined || found.includes(column)) continue;
    throw new ConfigError(`${placeOf(row)}: there is no column ${column}; ${columnsText(row)}.`);
  }
  if (named.prompt === undefined && found.includes("chosen") && found.includes("rejected")) {
    return { path, kind: "preferences", columns: {}, answer: undefined, hasAnswers: true, found };
  }
  const whole = named.prompt === undefined ? first(CONVERSATION_COLUMNS) : undefined;
  const answer = named.answer ?? first(ANSWER_COLUMNS);
  const mapped = answer === undefined || answer === "answer" ? {} : { answer };
  const base = { path, kind: "conversations", answer, found } as const;
  if (whole !== undefined) return { ...base, columns: mapped, hasAnswers: hasReference(row, whole) };
  const prompt = named.prompt ?? first(PROMPT_COLUMNS);
  if (prompt === undefined) {
    throw new ConfigError(
      `${placeOf(row)}: none of these columns is known to hold the question; ${columnsText(row)}. Name it with ` +
        "--prompt-column, and the one with the right answer with --answer-column.",
    );
  }
  const reference = first(REFERENCE_COLUMNS.filter((name) => name !== prompt)) ?? answer;
  const columns = {
    ...(prompt !== "prompt" && { prompt }),
    ...(reference !== undefined && reference !== "completion" && { completion: reference }),
    ...mapped,
  };
  return { ...base, columns, hasAnswers: reference !== undefined };
}

/** Whether a conversation ends with the assistant, whom SFT imitates. */
function hasReference(row: DataRow, column: string): boolean {
  const value = row.fields[column];
  const messages: unknown = typeof value === "string" ? JSON.parse(value) : value;
  const last = Array.isArray(messages)
    ? (messages.at(-1) as { role?: unknown; from?: unknown } | undefined)
    : undefined;
  return ["assistant", "gpt", "model"].includes(String(last?.role ?? last?.from));
}
