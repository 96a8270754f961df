/**
 * The protocol's losses of reinforcement learning as numbers: the loss of a datum from its log-probabilities, and its slope
 * by each. Sums over tokens and data, without any mean. lp is logπ of the target, q the log-probability that came with it,
 * r = exp(lp − q), A the advantage, [l, h] the thresholds. (docs/scale-out.md names the sources.)
 *
 *     importance_sampling    −Σ r·A
 *     ppo                    −Σ min(r·A, clip(r, l, h)·A)
 *     cispo                  −Σ sg(clip(r, l, h))·A·lp
 *     dro                    −Σ lp·A − ½β(lp − q)²
 *     gspo                   ppo with r = exp of the mean of lp − q over the mask (arXiv:2507.18071)
 */

import { RequestFailure } from "./refusal.ts";

/** What a datum has beside its targets, one number for each position. */
export interface LossNumbers {
  /** q. */
  readonly samplerLogprobs: Float32Array;
  readonly advantages: Float32Array;
  /** Factor of each term; 1 without. */
  readonly weights?: Float32Array;
  /** gspo: 1 where a token counts in the ratio of the sequence. */
  readonly ratioMask?: Float32Array;
}

/** A loss and its slope by each log-probability. */
export interface Slopes {
  readonly loss: number;
  readonly slopes: Float32Array;
}

/** The configuration of a loss, checked. */
export type LossOptions = Readonly<Record<string, number>>;

/** A loss of the protocol. */
export interface TokenLoss {
  /** Its configuration's keys with their defaults; undefined: it has to be given. */
  readonly options: Readonly<Record<string, number | undefined>>;
  readonly readsRatioMask?: boolean;
  readonly evaluate: (logprobs: Float32Array, numbers: LossNumbers, options: LossOptions) => Slopes;
}

const THRESHOLDS = { clip_low_threshold: 0.8, clip_high_threshold: 1.2 };

/** The losses by name. */
export const TOKEN_LOSSES: Readonly<Record<string, TokenLoss>> = {
  importance_sampling: {
    options: {},
    evaluate: perToken(({ ratio, advantage }) => ({ value: -ratio * advantage, slope: -ratio * advantage })),
  },
  ppo: {
    options: THRESHOLDS,
    evaluate: perToken(({ ratio, advantage }, options) => clipped(ratio, advantage, options)),
  },
  cispo: {
    options: THRESHOLDS,
    evaluate: perToken(({ logprob, ratio, advantage }, options) => {
      const weight = -clip(ratio, options) * advantage;
      return { value: weight * logprob, slope: weight };
    }),
  },
  dro: {
    options: { beta: undefined },
    evaluate: perToken(({ logprob, logRatio, advantage }, { beta }) => ({
      value: -(logprob * advantage - 0.5 * beta! * logRatio ** 2),
      slope: -(advantage - beta! * logRatio),
    })),
  },
  gspo: { options: THRESHOLDS, readsRatioMask: true, evaluate: gspo },
};

/** The configuration with defaults. Throws RequestFailure for a key that the loss does not have, or a number out of range. */
export function lossOptionsOf(name: string, loss: TokenLoss, given: ReadonlyMap<string, number | string>): LossOptions {
  for (const key of given.keys()) {
    if (key in loss.options) continue;
    const known = Object.keys(loss.options).join(", ") || "none";
    throw new RequestFailure(`The loss ${name} has no ${key} in its loss_fn_config; known: ${known}.`);
  }
  const options = Object.entries(loss.options).map(([key, fallback]) => {
    const value = given.get(key) ?? fallback;
    if (value === undefined) throw new RequestFailure(`The loss ${name} needs ${key} in its loss_fn_config.`);
    if (typeof value === "number" && Number.isFinite(value) && value >= 0) return [key, value] as const;
    throw new RequestFailure(`${key} of the loss ${name} is a number of at least 0, not ${JSON.stringify(value)}.`);
  });
  const { clip_low_threshold: low, clip_high_threshold: high, ...rest } = Object.fromEntries(options);
  if (low !== undefined && high !== undefined && low > high) {
    throw new RequestFailure(`clip_low_threshold (${low}) is above clip_high_threshold (${high}).`);
  }
  return { ...rest, ...(low !== undefined && { clip_low_threshold: low, clip_high_threshold: high! }) };
}

interface TokenNumbers {
  readonly logprob: number;
  readonly logRatio: number;
  readonly ratio: number;
  readonly advantage: number;
}

interface Term {
  readonly value: number;
  readonly slope: number;
}

function perToken(term: (token: TokenNumbers, options: LossOptions) => Term): TokenLoss["evaluate"] {
  return (logprobs, { samplerLogprobs, advantages, weights }, options) => {
    let loss = 0;
    const slopes = logprobs.map((logprob, i) => {
      const [advantage, weight] = [advantages[i]!, weights?.[i] ?? 1];
      // Of a token that does not count not even a ratio that overflows does.
      if (weight === 0 || (advantage === 0 && options.beta === undefined)) return 0;
      const logRatio = logprob - samplerLogprobs[i]!;
      const { value, slope } = term({ logprob, logRatio, ratio: Math.exp(logRatio), advantage }, options);
      loss += weight * value;
      return weight * slope;
    });
    return { loss, slopes };
  };
}

function clip(ratio: number, { clip_low_threshold: low, clip_high_threshold: high }: LossOptions): number {
  return Math.min(Math.max(ratio, low!), high!);
}

/** −min(r·A, clip(r)·A), and its slope by log r. */
function clipped(ratio: number, advantage: number, options: LossOptions): Term {
  const bounded = clip(ratio, options);
  const isFree = ratio * advantage <= bounded * advantage;
  const value = -(isFree ? ratio : bounded) * advantage;
  return { value, slope: isFree ? value : 0 };
}

function gspo(logprobs: Float32Array, numbers: LossNumbers, options: LossOptions): Slopes {
  const { samplerLogprobs, advantages, weights, ratioMask } = numbers;
  const mask = ratioMask ?? advantages.map((advantage) => (advantage === 0 ? 0 : 1));
  let [total, count] = [0, 0];
  mask.forEach((counts, i) => {
    if (counts === 0) return;
    total += logprobs[i]! - samplerLogprobs[i]!;
    count++;
  });
  const slopes = new Float32Array(logprobs.length);
  if (count === 0) return { loss: 0, slopes };
  const ratio = Math.exp(total / count);
  let [loss, slope] = [0, 0];
  mask.forEach((counts, i) => {
    if (counts === 0) return;
    const weight = weights?.[i] ?? 1;
    const term = clipped(ratio, advantages[i]!, options);
    loss += weight * term.value;
    slope += weight * term.slope;
  });
  // Every token's log-probability is 1/n of log r.
  mask.forEach((counts, i) => {
    if (counts !== 0) slopes[i] = slope / count;
  });
  return { loss, slopes };
}
