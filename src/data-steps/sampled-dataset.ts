/**
 * The second half of every sampling step: from candidates on the disk to a data set and a file of what was dropped.
 *
 *     candidates → pass rates → duplicates, limit a prompt, difficulty → general data → rows
 */

import { join } from "node:path";
import { findDataset, splitOf, splitRows } from "../data/dataset-folder.ts";
import { writeJsonl } from "../data/jsonl.ts";
import { fetchDataset } from "../data/reference.ts";
import { DataError } from "../errors.ts";
import { Random } from "../random.ts";
import type { Candidate } from "./candidate.ts";
import { readCandidates } from "./candidates.ts";
import type { ChoiceConfig } from "./config.ts";
import { type DatasetRow, writeDataset } from "./dataset-writer.ts";
import { type Chosen, selectCandidates } from "./selection.ts";
import type { DataStepOutcome } from "./step.ts";

/** Name of the file with what was dropped, beside the data set. */
export const REJECTED_FILE = "rejected.jsonl";

/** Columns of a task's rows that hold a conversation: the row's own prompt and completion take their place. */
const CONVERSATION_COLUMNS: ReadonlySet<string> = new Set([
  "messages",
  "conversations",
  "prompt",
  "completion",
  "system",
]);

/**
 * Writes the data set of the candidates in `parts` into `directory`.
 *
 * @throws DataError where nothing is left, with what each filter dropped.
 */
export async function writeSampledDataset(
  config: ChoiceConfig,
  {
    step,
    parts,
    directory,
    about,
  }: {
    /** Names the step in errors and lineage. */
    readonly step: string;
    readonly parts: string;
    readonly directory: string;
    /** Further lines of the lineage: model, method, inputs. */
    readonly about: Readonly<Record<string, unknown>>;
  },
): Promise<DataStepOutcome> {
  const kept: Candidate[] = [];
  const tally = new Tally();
  let chosen: readonly Chosen[] = [];
  let buckets: unknown;
  await writeJsonl(
    join(directory, REJECTED_FILE),
    (async function* () {
      for await (const candidate of readCandidates(config, parts)) {
        tally.count(candidate);
        if (candidate.dropped === null) kept.push(candidate);
        else yield rejectedRow(candidate);
      }
      ({ chosen, buckets } = selectCandidates(kept, tally.passRates(), config));
      for (const candidate of kept) {
        if (candidate.dropped === null) continue;
        tally.drop(candidate.dropped.by);
        yield rejectedRow(candidate);
      }
    })(),
  );
  if (chosen.length === 0) throw nothingLeft(step, tally, join(directory, REJECTED_FILE));
  const reasoning = chosen.map((one) => rowOf(one, config.kind));
  const general = config.general === undefined ? [] : await generalRows(config.general, reasoning.length, config.seed);
  const lineage = {
    step,
    ...about,
    seed: config.seed,
    task: config.task,
    sampling: {
      temperature: config.temperature,
      topP: config.topP,
      topK: config.topK,
      maxCompletionTokens: config.maxCompletionTokens,
    },
    keep: config.keep,
    prompts: config.prompts,
    candidates: tally.candidates,
    solved: tally.solved,
    kept: chosen.length,
    dropped: tally.dropped,
    abstained: tally.abstained,
    ...(buckets === undefined ? {} : { difficulty: buckets }),
    ...(config.general === undefined ? {} : { general: general.length }),
  };
  const counts = await writeDataset(directory, [...reasoning, ...general], lineage, config);
  return { ...counts, lineage: { ...lineage, rows: counts } };
}

/** Counts over all candidates. */
export class Tally {
  candidates = 0;
  solved = 0;
  /** By filter. */
  readonly dropped: Record<string, number> = {};
  /** By the label of the reward's filter. */
  readonly abstained: Record<string, number> = {};
  /** The first reason by filter. */
  readonly reasons: Record<string, string> = {};
  private readonly prompts = new Map<string, { solved: number; all: number }>();

  count({ prompt, solved, scores, dropped }: Candidate): void {
    this.candidates++;
    this.solved += Number(solved);
    const of = this.prompts.get(prompt) ?? { solved: 0, all: 0 };
    this.prompts.set(prompt, { solved: of.solved + Number(solved), all: of.all + 1 });
    for (const [label, score] of Object.entries(scores)) {
      if (score === null) this.abstained[label] = (this.abstained[label] ?? 0) + 1;
    }
    if (dropped === null) return;
    this.drop(dropped.by);
    this.reasons[dropped.by] ??= dropped.reason;
  }

  drop(by: string): void {
    this.dropped[by] = (this.dropped[by] ?? 0) + 1;
  }

  /** Share of solved completions by prompt. */
  passRates(): ReadonlyMap<string, number> {
    return new Map([...this.prompts].map(([prompt, { solved, all }]) => [prompt, solved / all]));
  }
}

/**
 * The error of a step without any result, with the number of candidates that each filter dropped, and `further` lines
 * after that.
 */
export function nothingLeft(
  step: string,
  { candidates, dropped, reasons }: Tally,
  rejected: string,
  further = "",
): DataError {
  const lines = Object.entries(dropped).map(
    ([by, count]) => `  ${by}: ${count}${reasons[by] === undefined ? "" : ` (e.g. ${reasons[by]})`}\n`,
  );
  const what =
    further === ""
      ? `none of the ${candidates} completions is left`
      : `no two of ${candidates} completions make a pair`;
  const drops = lines.length === 0 ? "No filter dropped any.\n" : `What dropped how many:\n${lines.join("")}`;
  return new DataError(
    `${step}: ${what}. ${drops}${further}` +
      `Dropped ones are in ${rejected}, each with the reason. Loosen a filter (keep), ask more prompts or samples, or take a ` +
      "better model. A reward that could not judge is asked again when the same command runs again.",
  );
}

/** The task's columns of a candidate that a row of its own keeps. */
export function furtherColumns({ columns }: Candidate): DatasetRow {
  return Object.fromEntries(Object.entries(columns).filter(([name]) => !CONVERSATION_COLUMNS.has(name)));
}

function rowOf({ candidate, passRate }: Chosen, kind: string): DatasetRow {
  const { prompt, completion, conversation, promptId, sample } = candidate;
  // The data may be used with another model, which has another template. So the row has the conversation, not the text
  // that this model's template made.
  const text = conversation
    ? { messages: [...conversation.messages, { role: "assistant", content: conversation.opening + completion }] }
    : { prompt, completion };
  return { ...furtherColumns(candidate), ...text, kind, passRate, promptId, sample };
}

/** A dropped candidate as `rejected.jsonl` has it. */
export function rejectedRow({ promptId, sample, prompt, completion, solved, scores, dropped }: Candidate): DatasetRow {
  return { promptId, sample, prompt, completion, solved, scores, droppedBy: dropped?.by, reason: dropped?.reason };
}

/** As many general rows as make their share of all, drawn by seed; all of them where there are fewer. */
async function generalRows(
  { path, split, share }: NonNullable<ChoiceConfig["general"]>,
  reasoning: number,
  seed: number,
): Promise<DatasetRow[]> {
  const rows = await readRowsOf(path, split);
  const wanted = Math.max(1, Math.round((reasoning * share) / (1 - share)));
  return new Random(seed, "general")
    .shuffle(rows)
    .slice(0, wanted)
    .map((row) => ({ ...row, kind: "general" }));
}

/** All rows of a split. Throws DataError where there are none. */
export async function readRowsOf(path: string, split: string | undefined): Promise<DatasetRow[]> {
  const rows: DatasetRow[] = [];
  for await (const { fields } of splitRows(splitOf(await findDataset(await fetchDataset(path)), split)))
    rows.push(fields);
  if (rows.length === 0) throw new DataError(`${path} has no rows.`);
  return rows;
}
