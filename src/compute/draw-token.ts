/**
 * Draws a token from a row of logits: temperature, min-p (Nguyen et al., arXiv:2407.01082), top-k, nucleus (Holtzman et
 * al., arXiv:1904.09751), or arg max.
 *
 * The draw inverts the cumulative distribution in the order of token ids, so it is a function of the row and one
 * uniform number. A draw has its log-probability under softmax(logits / temperature) over the whole vocabulary, and,
 * where min-p, top-k or top-p is on, also the one over the tokens that they left, which is the distribution that the
 * token was really drawn from.
 */

import { adjusted, type LogitRules } from "./logit-rules.ts";

export interface DrawOptions {
  /** 0 is arg max (the lowest id of equals), with the log-probability at temperature 1. */
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  /** 0, the default, is off. */
  readonly minP?: number;
}

export interface Draw {
  readonly token: number;
  /** Over the whole vocabulary, nats. */
  readonly logprob: number;
  /** Where min-p, top-k or top-p is on. */
  readonly restricted?: Restriction;
  /** The most probable tokens, from the top down (equals by id), where they were asked for. */
  readonly top?: readonly TokenDraw[];
}

type TokenDraw = Pick<Draw, "token" | "logprob">;

/** What min-p, top-k and top-p left of a vocabulary. */
export interface Restriction {
  /** Ids of the tokens, from the most probable down. */
  readonly kept: Int32Array;
  /** Log-probability of the drawn token among them. */
  readonly logprob: number;
}

/** A draw from one row of logits [B, V]. */
export interface DrawRequest {
  readonly row: number;
  /** Uniform in [0, 1). */
  readonly u: number;
  readonly options: DrawOptions;
  /** Tokens that are never drawn. */
  readonly excluded: readonly number[];
  /** How many of the most probable tokens to return. */
  readonly topLogprobs: number;
  /** The token is drawn from the logits after these; log-probabilities are those without them. */
  readonly rules?: LogitRules | undefined;
  /** The temperature of log-probabilities; that of the draw (1 where that is greedy) if absent. */
  readonly logprobTemperature?: number | undefined;
}

/** `drawToken` for each request, from logits [B, V] in host memory. */
export function drawTokens(logits: Float32Array, vocabSize: number, requests: readonly DrawRequest[]): Draw[] {
  return requests.map(({ row, u, options, excluded, topLogprobs, rules, logprobTemperature }) => {
    const own = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
    const drawn = drawToken(rules ? adjusted(own, rules) : own, u, options, excluded);
    if (Number.isNaN(drawn.logprob)) return drawn;
    const drawTemperature = options.temperature === 0 ? 1 : options.temperature;
    const temperature = logprobTemperature ?? drawTemperature;
    const isOwn = rules === undefined && temperature === drawTemperature;
    const draw = isOwn ? drawn : { ...drawn, ...withLogprobs(own, [drawn.token], temperature)[0]! };
    return topLogprobs === 0 ? draw : { ...draw, top: mostProbable(own, topLogprobs, temperature) };
  });
}

/** Draws from `logits` with the uniform number `u` in [0, 1); tokens in `excluded` are never drawn. */
export function drawToken(
  logits: Float32Array,
  u: number,
  options: DrawOptions,
  excluded: readonly number[] = [],
): Draw {
  const greedy = options.temperature === 0;
  const inverseTemperature = greedy ? 1 : 1 / options.temperature;
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > largest) largest = logits[i]!;
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    const weight = Math.exp((logits[i]! - largest) * inverseTemperature);
    weights[i] = weight;
    total += weight;
  }
  const logTotal = Math.log(total);
  const result = (token: number): Draw => ({
    token,
    logprob: (logits[token]! - largest) * inverseTemperature - logTotal,
  });

  if (excluded.length > 0) leaveOut(excluded, weights, logits, inverseTemperature);
  if (greedy) return result(argMax(weights));
  const { minP = 0 } = options;
  const isRestricted = options.topK > 0 || options.topP < 1 || minP > 0;
  // The largest weight is 1.
  if (minP > 0) for (let i = 0; i < weights.length; i++) if (weights[i]! < minP) weights[i] = 0;
  const kept = isRestricted ? restrict(weights, options.topK, options.topP) : [];
  const mass = excluded.length > 0 || isRestricted ? weights.reduce((sum, w) => sum + w, 0) : total;

  let remaining = u * mass;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    last = i;
    remaining -= weight;
    if (remaining < 0) break;
  }
  if (!isRestricted) return result(last);
  const logprob = Math.log(weights[last]! / mass);
  return { ...result(last), restricted: { kept: Int32Array.from(kept), logprob } };
}

/** The `count` most probable tokens under softmax(logits / temperature), from the top down, equals by id. */
export function mostProbable(logits: Float32Array, count: number, temperature: number): TokenDraw[] {
  return count === 0 ? [] : withLogprobs(logits, largestOf(logits, count), temperature);
}

/** These tokens with their log-probabilities under softmax(logits / temperature); temperature 0 counts as 1. */
export function withLogprobs(logits: Float32Array, tokens: readonly number[], temperature: number): TokenDraw[] {
  const inverseTemperature = temperature === 0 ? 1 : 1 / temperature;
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > largest) largest = logits[i]!;
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += Math.exp((logits[i]! - largest) * inverseTemperature);
  const logTotal = Math.log(total);
  return tokens.map((token) => ({ token, logprob: (logits[token]! - largest) * inverseTemperature - logTotal }));
}

/**
 * Zeroes the weights of `excluded` and divides the others by the largest of them: relative to the weight of an excluded
 * token, all of them may be too small for a double.
 */
function leaveOut(
  excluded: readonly number[],
  weights: Float64Array,
  logits: Float32Array,
  inverseTemperature: number,
): void {
  const out = new Set(excluded);
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (!out.has(i) && logits[i]! > largest) largest = logits[i]!;
  for (let i = 0; i < logits.length; i++) {
    weights[i] = out.has(i) ? 0 : Math.exp((logits[i]! - largest) * inverseTemperature);
  }
}

function argMax(weights: Float64Array): number {
  let best = 0;
  for (let i = 1; i < weights.length; i++) if (weights[i]! > weights[best]!) best = i;
  return best;
}

/**
 * Zeroes all but the topK largest weights (0: all), and of those all but the smallest set that holds topP of their sum.
 * Returns the tokens that it kept, from the largest weight down.
 */
function restrict(weights: Float64Array, topK: number, topP: number): number[] {
  const candidates = topK > 0 ? largestOf(weights, topK) : nucleusCandidates(weights, topP);
  const mass = sumOf(topK > 0 ? candidates.map((token) => weights[token]!) : weights);
  const kept: [token: number, weight: number][] = [];
  let held = 0;
  for (const token of candidates) {
    // Weights of 0 come last: min-p has already left them out, or they were too small for a double.
    if (weights[token] === 0 || (topP < 1 && held >= topP * mass)) break;
    kept.push([token, weights[token]!]);
    held += weights[token]!;
  }
  weights.fill(0);
  for (const [token, weight] of kept) weights[token] = weight;
  return kept.map(([token]) => token);
}

/**
 * All tokens that a nucleus may have, from the largest weight down, equals by id. Each of the other tokens weighs less
 * than an equal share of what a nucleus leaves out, so all of them together cannot be part of it. Therefore the
 * vocabulary need not be sorted as a whole.
 */
function nucleusCandidates(weights: Float64Array, topP: number): number[] {
  const leftOut = Math.max(0, 1 - topP) * sumOf(weights);
  const least = (leftOut / weights.length) * (1 - 1e-6);
  const candidates: number[] = [];
  for (let token = 0; token < weights.length; token++) {
    if (weights[token]! >= least && weights[token]! > 0) candidates.push(token);
  }
  return candidates.sort((a, b) => weights[b]! - weights[a]! || a - b);
}

/** Up to this many tokens, keeping a sorted list is cheaper than sorting the vocabulary. */
const MOST_INSERTED = 512;

/** The tokens of the `count` largest values, from the largest down, equals by id. */
function largestOf(values: Float32Array | Float64Array, count: number): number[] {
  if (count > MOST_INSERTED) {
    const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]! || a - b);
    return order.slice(0, count);
  }
  const best: number[] = [];
  for (let token = 0; token < values.length; token++) {
    const value = values[token]!;
    if (best.length === count) {
      if (!(value > values[best[count - 1]!]!)) continue;
      best.pop();
    }
    let at = best.length;
    while (at > 0 && value > values[best[at - 1]!]!) at--;
    best.splice(at, 0, token);
  }
  return best;
}

function sumOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}
