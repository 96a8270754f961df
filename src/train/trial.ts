/**
 * A trial of a stage: a few units by its own trainer at learning rate 0, for the doctor. With that and no weight decay
 * AdamW leaves every weight as it is, so all stages are tried at the model that the recipe starts from. What a stage tells
 * is kept here instead of in a run directory.
 */

import type { Sampler } from "../engine/contract/sampler.ts";
import { RunInterrupted } from "../errors.ts";
import type { MetricsRow, RolloutRow, StageContext, TrainedKind } from "./context.ts";
import type { TrialParts } from "./examination.ts";

/** Keys of a trainer under which no weight moves. */
export const WITHOUT_CHANGE = { learningRate: 0, weightDecay: 0, warmupSteps: 0, warmupRatio: 0 } as const;

/** What a stage told. */
export interface RecordedStage<Kind extends TrainedKind> {
  /** To train with. */
  readonly context: StageContext<Kind>;
  readonly metrics: MetricsRow[];
  readonly timings: MetricsRow[];
  readonly rollouts: RolloutRow[];
}

/** An engine that writes every completion to its limit: what takes most memory, and most time. */
export function writingToTheLimit<Engine extends Sampler>(engine: Engine): Engine {
  const sample: Sampler["sample"] = (prompts, params, onProgress) =>
    engine.sample(prompts, { ...params, minCompletionTokens: params.maxCompletionTokens }, onProgress);
  return new Proxy(engine, {
    get: (target, key) => {
      if (key === "sample") return sample;
      const member: unknown = Reflect.get(target, key);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

/** The surroundings of a stage that keep what it tells. */
export function recordedStage<Kind extends TrainedKind>(parts: TrialParts<Kind>): RecordedStage<Kind> {
  const { samples: _, onProgress, ...stage } = parts;
  const metrics: MetricsRow[] = [];
  const timings: MetricsRow[] = [];
  const rollouts: RolloutRow[] = [];
  const context: StageContext<Kind> = {
    ...stage,
    log: {
      metrics: (row) => metrics.push(row),
      rollouts: (rows) => rollouts.push(...rows),
      timing: (row) => timings.push(row),
      event: () => {},
    },
    onProgress: ({ sampled, phase }) => {
      if (parts.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
      const ofMost = sampled && `${sampled.tokens} of at most ${sampled.mostTokens} tokens`;
      onProgress?.(sampled ? `${sampled.finished}/${sampled.total} completions, ${ofMost}` : phase);
    },
  };
  return { context, metrics, timings, rollouts };
}
