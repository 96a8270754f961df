/** What the programs of the bisection are fed with, by the names of their inputs: indices in range, masks of zeros, and so on. */

import type { Random } from "../../src/random.ts";

/** Sizes of a program's dimensions by name. */
export type Sizes = Readonly<Record<string, number>>;

/** Where a program of the list says nothing else. */
export const SIZES: Sizes = {
  ...{ B: 2, T: 1, M: 16, K: 16, R: 2, P: 4, S: 3, C: 5, A: 2, W: 3, J: 4, U: 4 },
  ...{ k: 3, m: 5, n: 6, w: 4 },
};

/** Positions of a cache that are filled before a step. */
const CACHED = 3;
/** The tokens that are predicted are below it. */
const TARGETS = 4;

/** Element i of an input of indices. */
export function indexOf(name: string, i: number, { B, T, R, S, C, J, U, n }: Sizes): number {
  switch (name) {
    case "positions":
      return CACHED + (i % Math.max(T!, 4));
    case "rows":
      return i % (B! * T!);
    // The last position of every first and of every second sequence.
    case "chosenRows":
      return 2 * i * T! + T! - 1;
    case "rejectedRows":
      return (2 * i + 1) * T! + T! - 1;
    case "promptOf":
      return i % R!;
    case "logitRows":
      return i % (S! * C!);
    case "logitPlaces":
      return i % (J! * U!);
    case "from":
      return (2 * i) % n!;
    // Every row is written once.
    case "to":
      return i;
    default:
      return i % TARGETS;
  }
}

/** Element i of an input of 32-bit integers; `vocabSize`: of a program with logits. */
export function integerOf(name: string, i: number, { T, W }: Sizes, vocabSize: number): number {
  if (/Words/.test(name)) return Math.imul(i + 1, 0x9e3779b1) | 0;
  switch (name) {
    case "totalLength":
      return CACHED + T!;
    // Sequences of a decoding step have different lengths.
    case "lastPositions":
      return CACHED + T! - 1 - (i % 2);
    // The target of its row is among the kept tokens.
    case "keptTokens":
      return (Math.floor(i / W!) % TARGETS) + (i % W!);
    case "firstBlocks":
      return i * Math.ceil(vocabSize / 128);
    default:
      return i % 3;
  }
}

/** Numbers of AdamW, of averages, of temperatures. */
const NUMBERS: Readonly<Record<string, number>> = {
  ...{ beta1: 0.9, rest1: 0.1, beta2: 0.95, rest2: 0.05, epsilon: 1e-3, rate: 3e-3, decay: 3e-5 },
  ...{ keep: 0.75, share: 0.25, total: 2, loraScale: 2, centering: 0.01 },
  ...{ inverseTemperature: 1 / 0.9, inverseTemperatures: 1 / 0.9 },
};
const MASKS = /^(promptBias|promptCausal|completionCausal|\w*Window|causal|causalWindow|alternatives)$/;

/** Element i of an input of floats. */
export function numberOf(name: string, i: number, random: Random): number {
  if (MASKS.test(name)) return 0;
  const known = NUMBERS[name];
  if (known !== undefined) return known;
  const own = 0.3 * random.normal();
  if (/^(sampler|ref)Logprobs$/.test(name)) return own - 3.4;
  // Scales of packed weights, magnitudes of noise, second moments.
  if (/\.scales$|^noiseMagnitudes$|^v\d$/.test(name)) return Math.abs(own);
  // Of each draw the inverse temperature, the random number, and whether it is greedy.
  if (name === "numbers") return [1 / 0.9, (0.37 + 0.29 * Math.floor(i / 3)) % 1, i === 8 ? 1 : 0][i % 3]!;
  return own;
}
