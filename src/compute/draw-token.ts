/**
 * Draws a token from a row of logits: temperature, min-p (Nguyen et al., arXiv:2407.01082), top-k, nucleus (Holtzman et
 * al., arXiv:1904.09751), or arg max.
 *
 * The draw inverts the cumulative distribution in the order of token ids, so it is a function of the row and one
 * uniform number. A draw has its log-probability under softmax(logits / temperature) over the whole vocabulary, and,
 * where min-p, top-k or top-p is on, also the one over the tokens that they left, which is the distribution that the
 * token was really drawn from.
 *
 * A vocabulary is large and a token is drawn from each row at each step, so no exponential is computed here that a
 * program has computed already: sums of them over blocks of tokens come with the logits (`logit-row.ts`).
 */

import { type BlockSums, LogitRow, type WeightedToken } from "./logit-row.ts";
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

/** The temperatures that a request's row has sums at: of the draw, and of its log-probability. Greedy counts as 1. */
export function temperaturesOf({ options, logprobTemperature }: DrawRequest): readonly [number, number] {
  const own = options.temperature === 0 ? 1 : options.temperature;
  return [own, logprobTemperature ?? own];
}

/** The sums of a request's row at both of its temperatures; undefined where they are to be computed. */
export type SumsOf = (request: DrawRequest) => readonly [BlockSums, BlockSums] | undefined;

/** A draw for each request, from logits [B, V] in host memory. */
export function drawTokens(
  logits: Float32Array,
  vocabSize: number,
  requests: readonly DrawRequest[],
  sumsOf?: SumsOf,
): Draw[] {
  return requests.map((request) => {
    const { row, topLogprobs } = request;
    const own = new LogitRow(logits.subarray(row * vocabSize, (row + 1) * vocabSize));
    const [sums, logprobSums] = sumsOf?.(request) ?? sumsHere(own, request);
    // Logits that are not finite.
    if (Number.isNaN(sums.total)) return { token: 0, logprob: Number.NaN };
    const { token, restricted } = drawFrom(own, sums, request);
    const logprob = logprobOf(own, token, logprobSums);
    const draw: Draw = restricted ? { token, logprob, restricted } : { token, logprob };
    if (topLogprobs === 0) return draw;
    const top = own.topLogits(topLogprobs, logprobSums);
    return { ...draw, top: top.map(({ token }) => ({ token, logprob: logprobOf(own, token, logprobSums) })) };
  });
}

function sumsHere(own: LogitRow, request: DrawRequest): readonly [BlockSums, BlockSums] {
  const [temperature, logprobTemperature] = temperaturesOf(request);
  const sums = own.summed(1 / temperature);
  return [sums, logprobTemperature === temperature ? sums : own.summed(1 / logprobTemperature)];
}

/** The log-probability of a token, in nats. */
function logprobOf(row: LogitRow, token: number, { largest, inverseTemperature, total }: BlockSums): number {
  return (row.logit(token) - largest) * inverseTemperature - Math.log(total);
}

/** What is drawn from the request's row after its rules and exclusions; `own` is the row without them. */
function drawFrom(
  own: LogitRow,
  ownSums: BlockSums,
  { u, options, excluded, rules }: DrawRequest,
): Pick<Draw, "token" | "restricted"> {
  const { temperature, topK, topP, minP = 0 } = options;
  const isChanged = rules !== undefined || excluded.length > 0;
  const row = isChanged ? own.with(changesOf(own, rules, excluded)) : own;
  if (temperature === 0) return { token: isChanged ? row.largest().token : own.tokenOfLargest(ownSums) };
  const sums = sumsAfter(row, ownSums, isChanged, minP);
  if (topK === 0 && topP >= 1 && minP === 0) return { token: row.tokenAt(u * sums.total, sums) };

  const kept = restrict(row, sums, options);
  const byId = [...kept].sort((a, b) => a.token - b.token);
  const mass = massOf(byId);
  let remaining = u * mass;
  let last = byId[0]!;
  for (const candidate of byId) {
    last = candidate;
    remaining -= candidate.weight;
    if (remaining < 0) break;
  }
  const restricted = { kept: Int32Array.from(kept, ({ token }) => token), logprob: Math.log(last.weight / mass) };
  return { token: last.token, restricted };
}

function changesOf(own: LogitRow, rules: LogitRules | undefined, excluded: readonly number[]): Map<number, number> {
  const changes = rules ? adjusted((token) => own.logit(token), rules) : new Map<number, number>();
  for (const token of excluded) changes.set(token, Number.NEGATIVE_INFINITY);
  return changes;
}

function sumsAfter(row: LogitRow, ownSums: BlockSums, isChanged: boolean, minP: number): BlockSums {
  if (!isChanged) return ownSums;
  // min-p is a share of the largest weight, so it wants weights relative to that one.
  return minP > 0 ? row.summed(ownSums.inverseTemperature) : row.summedFrom(ownSums);
}

/**
 * What is left, from the largest weight down, equals by id: of the weights of at least minP times the largest one the topK
 * largest (0: all), and of those the smallest set that holds topP of their sum.
 */
function restrict(
  row: LogitRow,
  sums: BlockSums,
  { topK, topP, minP = 0 }: Pick<DrawOptions, "topK" | "topP" | "minP">,
): WeightedToken[] {
  const { largest, inverseTemperature } = sums;
  const weightOf = (logit: number) => Math.exp((logit - largest) * inverseTemperature);
  if (topK > 0) {
    const candidates = row
      .topLogits(topK, sums)
      .map(({ token, logit }) => ({ token, weight: weightOf(logit) }))
      .filter(({ weight }) => weight >= minP && weight > 0);
    return nucleus(candidates, topP * massOf(candidates), topP);
  }
  if (minP > 0) {
    const candidates = row.tokensFrom(minP, sums);
    const mass = massOf(candidates);
    return nucleus(candidates.sort(fromTheTop), topP * mass, topP);
  }
  const wanted = topP * sums.total;
  // Each of the tokens below this weighs less than an equal share of what a nucleus leaves out, so all of them together
  // cannot be part of it.
  const floor = ((Math.max(0, 1 - topP) * sums.total) / row.vocabSize) * (1 - 1e-6);
  // A nucleus is mostly few tokens, so it is looked for among those first.
  for (let least = FIRST_LEAST * sums.total; ; least /= 16) {
    const candidates = row.tokensFrom(Math.max(least, floor), sums);
    if (least <= floor || massOf(candidates) > wanted * (1 + 1e-9)) {
      return nucleus(candidates.sort(fromTheTop), wanted, topP);
    }
  }
}

/** The share of all weight that a token has at least which is looked at first. */
const FIRST_LEAST = 2 ** -8;

const fromTheTop = (a: WeightedToken, b: WeightedToken) => b.weight - a.weight || a.token - b.token;

/** The first of these tokens that together hold `wanted`; all of them where topP is 1. */
function nucleus(candidates: readonly WeightedToken[], wanted: number, topP: number): WeightedToken[] {
  if (topP >= 1) return [...candidates];
  let held = 0;
  const count = candidates.findIndex(({ weight }) => {
    if (held >= wanted) return true;
    held += weight;
    return false;
  });
  return count < 0 ? [...candidates] : candidates.slice(0, count);
}

function massOf(tokens: readonly WeightedToken[]): number {
  let mass = 0;
  for (const { weight } of tokens) mass += weight;
  return mass;
}
