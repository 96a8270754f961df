/**
 * Candidates: what a model wrote for a task's problems, with scores and verdicts. They are made part by part (a few
 * prompts each) and each part is a file that appears whole, so a step that is killed loses one part of work at most.
 *
 * Draws are functions of the seed, the prompt's number and the sample's, so a step that was resumed has the same
 * candidates as one that was not. A reward that abstained may have been down: when a part is read again, what it could not
 * judge is asked again, and so is an endpoint that gave no good answer; nothing else is written twice.
 */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Computing } from "../compute/computing.ts";
import { readJsonl, writeJsonl } from "../data/jsonl.ts";
import { DataError, RunInterrupted } from "../errors.ts";
import { removeUnfinished } from "../run/resumption.ts";
import type { Problem, Task } from "../tasks/task.ts";
import { type Candidate, candidateSchema } from "./candidate.ts";
import type { SamplingConfig } from "./config.ts";
import { withFilterRewards } from "./filter-rewards.ts";
import { applyFilters, BEFORE_FILTERS, openFilters } from "./filters.ts";
import type { CompletionSource, Wanted } from "./sources.ts";

/** What the filters' rewards remember, beside the parts. */
const REWARDS_FILE = "rewards.json";

/** How far a step is. */
export interface DataStepProgress {
  /** Prompts done and to be done. */
  readonly prompts: number;
  readonly totalPrompts: number;
  /** Candidates of these that are kept so far, of all. */
  readonly kept: number;
  readonly candidates: number;
  /** Tokens sampled for the part at hand. */
  readonly tokens: number;
}

/** Makes final texts of completions. `isLost`: there would be one had the refining model answered; it is asked again. */
export type Refine = (
  completions: readonly { readonly problem: Problem; readonly completion: string }[],
  signal: AbortSignal,
) => Promise<(string | { readonly fault: string; readonly isLost?: boolean })[]>;

/** What sampling needs beside the configuration. */
export interface SamplingParts {
  readonly source: CompletionSource;
  /** Its judge decides, its prompts go into the data. */
  readonly task: Task;
  /** The text that the model is given for the problem of that number in the task's stream; its prompt if absent. */
  readonly askFor?: (problem: Problem, promptId: number) => string;
  /**
   * What is made of completions before they are judged, in order: a final text, or the reason why the completion cannot
   * be used.
   */
  readonly refine?: Refine | undefined;
  /** Folder of the parts. */
  readonly directory: string;
  /** What this process computes with. */
  readonly compute: Computing;
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: DataStepProgress) => void) | undefined;
}

/**
 * Makes every part that is not there yet, and asks again where a reward had abstained.
 *
 * @throws ConfigError for a filter that cannot be used or prompts that do not fit; EndpointError where a judge cannot be
 * asked any more, RunInterrupted: with every finished part on the disk.
 */
export async function collectCandidates(config: SamplingConfig, parts: SamplingParts): Promise<void> {
  const { source, task, compute, askFor = ({ prompt }: Problem) => prompt, signal, onProgress } = parts;
  const filters = openFilters(config.keep, task, { compute, engine: config.engine });
  const numbered = Array.from({ length: config.prompts }, (_, i) => {
    const promptId = config.firstPrompt + i;
    const problem = task.trainProblem(promptId);
    return { promptId, problem: { ...problem, prompt: askFor(problem, promptId) } };
  });
  source.requirePromptsFit(numbered, config);
  mkdirSync(parts.directory, { recursive: true });
  await removeUnfinished(parts.directory);
  const stopIfAsked = () => {
    if (signal.aborted) throw new RunInterrupted("Stopped; what is finished is saved. Run the same command to go on.");
  };
  const memory = { file: join(parts.directory, REWARDS_FILE), signal };
  await withFilterRewards(filters, memory, async (remember) => {
    let [kept, candidates] = [0, 0];
    for (let start = 0; start < numbered.length; start += config.promptsPerPart) {
      stopIfAsked();
      const here = numbered.slice(start, start + config.promptsPerPart);
      const report = (prompts: number, tokens: number) =>
        onProgress?.({ prompts, totalPrompts: numbered.length, kept, candidates, tokens });
      const path = partPath(parts.directory, start / config.promptsPerPart);
      const found = existsSync(path) ? await readPart(path) : undefined;
      report(start, 0);
      const wanted = here.flatMap((one) => Array.from({ length: config.samples }, (_, sample) => ({ ...one, sample })));
      const made = found ?? wanted.map((one) => candidateOf(one, task, source));
      const unwritten = made.flatMap((one, i) => (isDroppedBy(one, "endpoint") ? [i] : []));
      const unrefined = made.filter((one) => isDroppedBy(one, "refiner"));
      const unjudged = made.filter(({ scores }) => Object.values(scores).includes(null));
      try {
        await write(
          config,
          unwritten.map((i) => [made[i]!, wanted[i]!] as const),
          parts,
          (tokens) => {
            stopIfAsked();
            report(start, tokens);
          },
        );
        const written = unwritten.map((i) => made[i]!);
        await refine([...written, ...unrefined], parts);
        const fresh = [...new Set([...written, ...unrefined, ...unjudged])];
        if (fresh.length > 0) {
          const lost = await applyFilters(fresh, filters, task);
          await writeJsonl(path, made);
          await remember();
          if (lost !== undefined) throw lost;
        }
      } catch (error) {
        stopIfAsked();
        throw error;
      }
      candidates += made.length;
      kept += made.filter(({ dropped }) => dropped === null).length;
      report(Math.min(start + config.promptsPerPart, numbered.length), 0);
    }
  });
}

/** A candidate that is still to be written. */
function candidateOf({ promptId, sample }: Wanted, task: Task, source: CompletionSource): Candidate {
  const { id: problemId, prompt, columns } = task.trainProblem(promptId);
  const conversation = source.conversationOf?.(prompt);
  return {
    promptId,
    sample,
    problemId,
    prompt,
    ...(conversation && { conversation }),
    columns,
    completion: "",
    finished: false,
    lengthTokens: 0,
    solved: false,
    scores: {},
    dropped: { by: BEFORE_FILTERS.endpoint, reason: "not asked yet" },
  };
}

function isDroppedBy({ dropped }: Candidate, reason: keyof typeof BEFORE_FILTERS): boolean {
  return dropped?.by === BEFORE_FILTERS[reason];
}

/** Writes each of these for which the source has an answer. */
async function write(
  config: SamplingConfig,
  these: readonly (readonly [Candidate, Wanted])[],
  { source, signal }: SamplingParts,
  onTokens: (tokens: number) => void,
): Promise<void> {
  if (these.length === 0) return;
  const answers = await source.write(
    these.map(([, wanted]) => wanted),
    config,
    signal,
    onTokens,
  );
  for (const [i, [candidate]] of these.entries()) {
    const answer = answers[i]!;
    if ("fault" in answer) {
      candidate.dropped = { by: BEFORE_FILTERS.endpoint, reason: answer.fault };
      continue;
    }
    const { text, isCut } = cutAfter(answer.text, config.stopAt);
    candidate.completion = text;
    candidate.finished = isCut || answer.finished;
    candidate.lengthTokens = answer.lengthTokens;
    candidate.dropped = null;
  }
}

/** Refines what was written, and has the task judge the outcome. */
async function refine(written: readonly Candidate[], { refine, task, signal }: SamplingParts): Promise<void> {
  const these = written.filter((one) => !isDroppedBy(one, "endpoint"));
  if (these.length === 0) return;
  const problemOf = ({ promptId }: Candidate) => task.trainProblem(promptId);
  const texts =
    refine &&
    (await refine(
      these.map((one) => ({ problem: problemOf(one), completion: one.completion })),
      signal,
    ));
  for (const [i, candidate] of these.entries()) {
    const text = texts?.[i] ?? candidate.completion;
    if (typeof text === "string") candidate.completion = text;
    const by = typeof text === "string" ? undefined : BEFORE_FILTERS[text.isLost ? "refiner" : "refinement"];
    candidate.dropped = typeof text === "string" ? null : { by: by!, reason: text.fault };
    candidate.solved = task.judge(problemOf(candidate), candidate.completion).solved;
  }
}

/** Every candidate of a finished collection, in order. */
export async function* readCandidates(config: SamplingConfig, directory: string): AsyncGenerator<Candidate> {
  const parts = Math.ceil(config.prompts / config.promptsPerPart);
  for (let part = 0; part < parts; part++) yield* await readPart(partPath(directory, part));
}

function partPath(directory: string, part: number): string {
  return join(directory, `part-${String(part).padStart(6, "0")}.jsonl`);
}

async function readPart(path: string): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for await (const row of readJsonl(path)) {
    const parsed = candidateSchema.safeParse(row.fields);
    if (!parsed.success)
      throw new DataError(`${path}:${row.line} is not as Aha writes it. Delete the file and run again.`);
    candidates.push(parsed.data);
  }
  return candidates;
}

function cutAfter(text: string, stopAt: string | undefined): { readonly text: string; readonly isCut: boolean } {
  const at = stopAt === undefined ? -1 : text.indexOf(stopAt);
  return at < 0 ? { text, isCut: false } : { text: text.slice(0, at + stopAt!.length), isCut: true };
}
