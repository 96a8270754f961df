/**
 * One iteration ahead (`maxStaleness` 1): while an iteration is judged and trained on, the completions of the next one are
 * sampled from a snapshot of the weights as they were before its first optimizer step. The two kinds of work then need not wait
 * for each other where they are computed in different places (one-step off-policy training; AReaL, arXiv:2505.24298).
 *
 * What is sampled does not depend on which of them is faster: it is always that snapshot. An iteration ends when both are done,
 * so between iterations nothing is under way, and a checkpoint keeps the completions that wait (`waiting-completions.ts`).
 */

import type { SampleProgress, Sampler } from "../../engine/contract/sampler.ts";
import { CheckpointError } from "../../errors.ts";
import { type Completion, completionOf, sampleCompletions, trainProblems } from "../../rollout/collect.ts";
import type { TrainContext, WriteTrainerFiles } from "../context.ts";
import { type GrpoConfig, samplingOptions } from "./config.ts";
import { readWaiting, writeWaiting } from "./waiting-completions.ts";

/** Sampling that is under way. */
interface UnderWay {
  readonly snapshot: Sampler;
  readonly completions: Promise<readonly Completion[]>;
  /** What is told of the progress: nobody, until somebody waits. */
  readonly progress: { listener: SampleProgress };
}

/** The completions of the iteration after the one at hand. Nothing of it does anything with `maxStaleness` 0. */
export class SamplingAhead {
  readonly #context: TrainContext;
  readonly #config: GrpoConfig;
  #waiting: readonly Completion[] | undefined;
  #underWay: UnderWay | undefined;

  constructor(context: TrainContext, config: GrpoConfig) {
    this.#context = context;
    this.#config = config;
  }

  /**
   * Takes the completions that wait from the checkpoint that is resumed from; an iteration but the first has some.
   *
   * @throws CheckpointError
   */
  async restore(iteration: number, firstPrompt: number): Promise<void> {
    const { maxStaleness, iterations, promptsPerIteration, groupSize, maxCompletionTokens, topP, topK } = this.#config;
    const { resumedFiles, engine, task, tokenizer } = this.#context;
    if (maxStaleness === 0 || iteration === 0 || iteration >= iterations) return;
    if (resumedFiles === undefined) {
      throw new CheckpointError(
        "A stage with maxStaleness that goes on needs the completions that its checkpoint keeps (resumedFiles).",
      );
    }
    const sequences = await readWaiting(resumedFiles, {
      ...{ firstPrompt, prompts: promptsPerIteration, groupSize, maxCompletionTokens },
      vocabSize: engine.info.vocabSize,
      hasKept: topP < 1 || topK > 0,
    });
    const problems = [...trainProblems(task, firstPrompt, promptsPerIteration)];
    const prompts = problems.map(({ problem }) => tokenizer.encode(problem.prompt));
    this.#waiting = sequences.map((sequence) =>
      completionOf(tokenizer, problems, sequence, prompts[sequence.promptIndex]!, { maxCompletionTokens }),
    );
  }

  /** Does an iteration. Where it fails or is interrupted, nothing of the next one stays under way. */
  async during<T>(iteration: () => Promise<T>): Promise<T> {
    try {
      return await iteration();
    } finally {
      await this.end();
    }
  }

  /** What a checkpoint keeps of the completions that wait, the first of them of the problem `firstPrompt`. */
  files(firstPrompt: number): WriteTrainerFiles | undefined {
    const { groupSize } = this.#config;
    const waiting = this.#waiting;
    return waiting && ((folder) => writeWaiting(folder, waiting, { firstPrompt, groupSize }));
  }

  /** The completions that waited for the iteration at hand; undefined where it is to be sampled from the policy as it is. */
  take(): readonly Completion[] | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }

  /**
   * Begins to sample `iteration`, whose first problem has this number, from the weights as they are. Not where that is under way
   * already, or after the last iteration.
   */
  async begin(iteration: number, firstPrompt: number): Promise<void> {
    const { maxStaleness, iterations, promptsPerIteration, groupSize } = this.#config;
    if (maxStaleness === 0 || iteration >= iterations || this.#underWay) return;
    const { engine, tokenizer, task, seed } = this.#context;
    const problems = [...trainProblems(task, firstPrompt, promptsPerIteration)];
    const sampling = samplingOptions(this.#config, seed, iteration);
    const snapshot = await engine.snapshot!();
    const progress: UnderWay["progress"] = { listener: () => {} };
    const onProgress: SampleProgress = (sampled) => progress.listener(sampled);
    const completions = sampleCompletions(snapshot, tokenizer, problems, groupSize, sampling, onProgress);
    this.#underWay = { snapshot, completions, progress };
    // Whoever waits hears of a failure, and somebody waits at the end of the iteration.
    completions.catch(() => {});
  }

  /** Waits until what is under way is sampled. Throws what the sampling failed with. */
  async finish(onProgress: SampleProgress): Promise<void> {
    const underWay = this.#underWay;
    if (underWay === undefined) return;
    underWay.progress.listener = onProgress;
    this.#waiting = await underWay.completions;
    this.#underWay = undefined;
    await underWay.snapshot.dispose();
  }

  /** Ends what is under way, which nobody waits for any more. Never throws. */
  async end(): Promise<void> {
    const underWay = this.#underWay;
    if (underWay === undefined) return;
    this.#underWay = undefined;
    underWay.progress.listener = () => {
      throw new Unwanted();
    };
    await underWay.completions.catch(() => {});
    await underWay.snapshot.dispose().catch(() => {});
  }
}

/** Ends a call of `sample`; nobody hears of it. */
class Unwanted extends Error {
  override name = "Unwanted";
}
