/**
 * The numbers of a recipe that `aha init` writes. Those of Countdown with a new model are those of recipes/countdown, which
 * were measured. All others are where one would usually begin, and the recipe says so.
 */

import type { StarterNumbers } from "../../train/starter.ts";
import type { Choices, Length } from "./choices.ts";

/** A model with random weights. */
export interface ModelShape {
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly headDim: number;
  readonly maxContextTokens: number;
}

/** Everything that depends on how long it may take. */
export interface Numbers extends StarterNumbers {
  readonly shape: ModelShape;
  readonly evaluationProblems: number;
}

type ByLength<T> = Readonly<Record<Length, T>>;
type Sampling = Numbers["sampling"];
type Pairs = Numbers["pairs"];

const shape = (hiddenSize: number, numLayers: number, numHeads: number, headDim: number, maxContextTokens: number) => ({
  ...{ hiddenSize, numLayers, numHeads, headDim, maxContextTokens },
});
const examples = (
  steps: number,
  batchTokens: number,
  learningRate: number,
  warmupSteps: number,
  checkpointEvery: number,
) => ({
  ...{ steps, batchTokens, learningRate, warmupSteps, checkpointEvery },
});
const sampling = (
  [iterations, prompts, group, tokens]: readonly [number, number, number, number],
  learningRate: number,
  warmupSteps: number,
  checkpointEvery: number,
): Sampling => ({ iterations, prompts, group, tokens, learningRate, warmupSteps, checkpointEvery });
const pairs = (steps: number, batchPairs: number, learningRate: number, checkpointEvery: number): Pairs => ({
  ...{ steps, batchPairs, learningRate, checkpointEvery },
});

/** Of recipes/countdown/smoke, tiny and small. */
const COUNTDOWN: ByLength<Numbers> = {
  smoke: {
    shape: shape(48, 1, 3, 16, 128),
    examples: examples(60, 1024, 4e-3, 2, 20),
    sampling: sampling([4, 2, 4, 64], 2e-4, 0, 1),
    pairs: pairs(2, 4, 1e-3, 0),
    ...{ evaluationProblems: 8, isMeasured: false },
  },
  short: {
    shape: shape(96, 3, 3, 32, 320),
    examples: examples(2400, 2048, 4e-3, 20, 500),
    sampling: sampling([110, 16, 16, 304], 2e-4, 5, 25),
    pairs: pairs(200, 16, 1e-3, 50),
    ...{ evaluationProblems: 400, isMeasured: true },
  },
  long: {
    shape: shape(192, 4, 4, 48, 512),
    examples: examples(2400, 2048, 2e-3, 50, 500),
    sampling: sampling([80, 16, 16, 448], 1.5e-4, 5, 20),
    pairs: pairs(500, 16, 1e-3, 100),
    ...{ evaluationProblems: 400, isMeasured: true },
  },
};

/** Of a new model whose tokens are characters. */
const CHARACTERS: ByLength<Numbers> = {
  smoke: {
    shape: shape(32, 1, 2, 16, 768),
    examples: examples(4, 1536, 2e-3, 0, 2),
    sampling: sampling([2, 2, 2, 48], 1e-4, 0, 1),
    pairs: pairs(2, 4, 5e-3, 0),
    ...{ evaluationProblems: 4, isMeasured: false },
  },
  short: {
    shape: shape(128, 4, 4, 32, 1024),
    examples: examples(1500, 4096, 2e-3, 20, 300),
    sampling: sampling([60, 8, 8, 160], 1e-4, 5, 20),
    pairs: pairs(200, 16, 1e-3, 50),
    ...{ evaluationProblems: 100, isMeasured: false },
  },
  long: {
    shape: shape(192, 6, 6, 32, 1024),
    examples: examples(6000, 4096, 1e-3, 50, 1000),
    sampling: sampling([200, 16, 8, 256], 1e-4, 5, 50),
    pairs: pairs(1000, 16, 5e-4, 200),
    ...{ evaluationProblems: 200, isMeasured: false },
  },
};

/** Of a pretrained model with a LoRA adapter; a reward model is trained whole. */
const PRETRAINED: ByLength<Omit<Numbers, "shape">> = {
  smoke: {
    examples: examples(2, 1024, 1e-4, 0, 1),
    sampling: sampling([2, 2, 2, 32], 1e-5, 0, 1),
    pairs: pairs(2, 4, 1e-5, 0),
    ...{ evaluationProblems: 4, isMeasured: false },
  },
  short: {
    examples: examples(100, 4096, 1e-4, 10, 20),
    sampling: sampling([40, 4, 8, 256], 1e-5, 2, 10),
    pairs: pairs(100, 8, 1e-5, 20),
    ...{ evaluationProblems: 50, isMeasured: false },
  },
  long: {
    examples: examples(1000, 8192, 1e-4, 20, 100),
    sampling: sampling([300, 8, 8, 1024], 1e-5, 5, 20),
    pairs: pairs(1000, 16, 1e-5, 100),
    ...{ evaluationProblems: 100, isMeasured: false },
  },
};

/** The numbers for these choices. */
export function numbersFor({ goal, model, length }: Pick<Choices, "goal" | "model" | "length">): Numbers {
  if (model !== undefined) return { ...PRETRAINED[length], shape: CHARACTERS[length].shape };
  return (goal === "countdown" ? COUNTDOWN : CHARACTERS)[length];
}
