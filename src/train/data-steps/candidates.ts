/**
 * Candidates: what a model wrote to a task's problems, with everybody's opinion of it. They are made part by part (a few
 * prompts each) and each part is a file that appears whole, so a step that is killed loses one part of work at most.
 *
 * Draws are functions of the seed, the prompt's number and the sample's, so a step that was resumed has the same
 * candidates as one that was not. A reward that abstained may have been down: when a part is read again, what it could not
 * judge is asked again; nothing is sampled twice.
 */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJsonl, writeJsonl } from "../../data/jsonl.ts";
import type { Engine } from "../../engine/engine.ts";
import { DataError, RunInterrupted } from "../../errors.ts";
import { requirePromptsFit, sampleCompletions } from "../../rollout/collect.ts";
import type { Problem, Task } from "../../tasks/task.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { withOpenRewards } from "../reward-session.ts";
import type { SamplingConfig } from "./config.ts";
import { applyFilters, openFilters } from "./filters.ts";

const candidateSchema = z.object({
  /** Index of the problem in the task's stream. */
  promptId: z.int(),
  sample: z.int(),
  problemId: z.int(),
  prompt: z.string(),
  columns: z.record(z.string(), z.unknown()),
  /** As it would be trained on: cut at `stopAt`, and refined where the step refines. */
  completion: z.string(),
  /** It ended by itself. */
  finished: z.boolean(),
  /** As it was sampled. */
  lengthTokens: z.int(),
  solved: z.boolean(),
  /** Scores of the rewards that were asked, by the filter's label; null: abstained. */
  scores: z.record(z.string(), z.number().nullable()),
  /** The filter that dropped it, and why; null: it is kept. */
  dropped: z.object({ by: z.string(), reason: z.string() }).nullable(),
});

/** One completion of one prompt. */
export type Candidate = z.infer<typeof candidateSchema>;

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

/** What sampling needs beside the configuration. */
export interface SamplingParts {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  /** Its judge decides, its prompts go into the data. */
  readonly task: Task;
  /** The text that the model is given for the problem of that number in the task's stream. */
  readonly askFor: (problem: Problem, promptId: number) => string;
  /** What is made of a completion before it is judged: its final text, or why it cannot be used. */
  readonly refine: (problem: Problem, completion: string) => string | { readonly fault: string };
  /** Folder of the parts. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: DataStepProgress) => void) | undefined;
}

/**
 * Makes every part that is not there yet, and asks again where a reward had abstained.
 *
 * @throws ConfigError for a filter that cannot be used or prompts that do not fit; RunInterrupted, with every finished
 * part on the disk.
 */
export async function collectCandidates(config: SamplingConfig, parts: SamplingParts): Promise<void> {
  const { engine, tokenizer, task, askFor, signal, onProgress } = parts;
  const filters = openFilters(config.keep, task);
  const numbered = Array.from({ length: config.prompts }, (_, i) => {
    const promptId = config.firstPrompt + i;
    const problem = task.trainProblem(promptId);
    return { promptId, problem: { ...problem, prompt: askFor(problem, promptId) } };
  });
  requirePromptsFit(engine, tokenizer, numbered, config.maxCompletionTokens);
  mkdirSync(parts.directory, { recursive: true });
  const stopIfAsked = () => {
    if (signal.aborted) throw new RunInterrupted("Stopped; what is finished is saved. Run the same command to go on.");
  };
  const sampling = {
    temperature: config.temperature,
    topP: config.topP,
    topK: config.topK,
    maxCompletionTokens: config.maxCompletionTokens,
    seed: config.seed,
    iteration: 0,
  };
  const rewards = filters.flatMap(({ reward }) => (reward === undefined ? [] : [{ reward, weight: 1 }]));
  await withOpenRewards(rewards, undefined, async () => {
    let [kept, candidates] = [0, 0];
    for (let start = 0; start < numbered.length; start += config.promptsPerPart) {
      stopIfAsked();
      const here = numbered.slice(start, start + config.promptsPerPart);
      const report = (prompts: number, tokens: number) =>
        onProgress?.({ prompts, totalPrompts: numbered.length, kept, candidates, tokens });
      const path = partPath(parts.directory, start / config.promptsPerPart);
      const found = existsSync(path) ? await readPart(path) : undefined;
      report(start, 0);
      const asked = found?.filter(({ scores }) => Object.values(scores).includes(null)) ?? [];
      const made =
        found ??
        (
          await sampleCompletions(engine, tokenizer, here, config.samples, sampling, ({ tokens }) => {
            stopIfAsked();
            report(start, tokens);
          })
        ).map((completion): Candidate => {
          const problem = task.trainProblem(completion.promptId);
          const { text, isCut } = cutAfter(completion.text, config.stopAt);
          const refined = parts.refine(problem, text);
          const usable = typeof refined === "string";
          return {
            promptId: completion.promptId,
            sample: completion.sample,
            problemId: problem.id,
            prompt: problem.prompt,
            columns: problem.columns,
            completion: usable ? refined : text,
            finished: isCut || completion.finishReason === "stop",
            lengthTokens: completion.tokens.length,
            solved: task.judge(problem, usable ? refined : text).solved,
            scores: {},
            dropped: usable ? null : { by: "refinement", reason: refined.fault },
          };
        });
      if (found === undefined || asked.length > 0) {
        await applyFilters(found === undefined ? made : asked, filters, task);
        await writeJsonl(path, made);
      }
      candidates += made.length;
      kept += made.filter(({ dropped }) => dropped === null).length;
      report(Math.min(start + config.promptsPerPart, numbered.length), 0);
    }
  });
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
