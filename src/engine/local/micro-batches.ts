/**
 * Cuts ragged data into micro-batches that compute little beside the tokens themselves.
 *
 * A micro-batch is R prompts of up to P positions and S completions of up to C positions (`programs.ts`), so it computes
 * R·P + S·C positions: the longest completion decides what all of them cost. Each completion position also attends to all R
 * prompts, its own and (masked) the others. Small batches waste least on both, but every batch has costs of its own.
 *
 * Two orders of the data are tried, by length (least padding) and by prompt (prompts are shared best). Each order is cut
 * into runs of neighbours by dynamic programming: best(i) = min over j of cost(i … j−1) + best(j), among the batches that
 * keep the budget. The cheaper plan is taken. It is a function of the data and the costs alone, so a run repeats.
 */

import type { ModelConfig } from "../../model/model-config.ts";
import type { ScoreDatum } from "../contract/sampler.ts";

export interface MicroBatch {
  /** Positions per prompt row: the longest prompt less its last token, at least 1. */
  readonly promptLength: number; // P
  readonly completionLength: number; // C
  /** A datum (by index) for each distinct prompt. */
  readonly promptRows: readonly number[]; // R
  readonly sequences: readonly { readonly datum: number; readonly promptRow: number }[]; // S
}

/** Token positions that a micro-batch computes. */
export function microBatchTokens({ promptLength, completionLength, promptRows, sequences }: MicroBatch): number {
  return promptLength * promptRows.length + completionLength * sequences.length;
}

/** What a micro-batch costs beside its positions, in positions. */
export interface MicroBatchCosts {
  /** A batch by itself: its calls, and reading all weights once. */
  readonly batch: number;
  /** One position's attention to one key. */
  readonly key: number;
}

/**
 * The costs for a model, from its arithmetic: a position takes 2·n operations, n the parameters, and 4·L·h·D a key
 * (L layers, h heads of width D). A batch's own cost is an estimate, not a measurement: on two cores reading n weights some
 * three times takes about as long as 16 positions, and the calls of a tiny model (n = 0.25 million) as long as 600.
 */
export function microBatchCosts(
  { numLayers, numHeads, headDim }: ModelConfig,
  parameterCount: number,
): MicroBatchCosts {
  return {
    batch: 16 + CALL_PARAMETERS / parameterCount,
    key: (2 * numLayers * numHeads * headDim) / parameterCount,
  };
}

/** So many parameters times positions are computed in the time that the calls of a batch take. */
const CALL_PARAMETERS = 1.5e8;

export interface MicroBatchPlanning {
  /** With `false` each sequence has a prompt row of its own. */
  readonly sharePrompts?: boolean;
  readonly costs?: MicroBatchCosts;
}

/** Every datum in exactly one micro-batch of at most `budgetTokens` positions (one sequence may exceed it alone). */
export function planMicroBatches(
  data: readonly ScoreDatum[],
  budgetTokens: number,
  { sharePrompts = true, costs = { batch: 16, key: 0 } }: MicroBatchPlanning = {},
): MicroBatch[] {
  const indices = data.map((_, i) => i);
  const promptIds = sharePrompts ? distinctPrompts(data) : indices;
  const length = (i: number) => data[i]!.completionTokens.length;
  const byLength = [...indices].sort((a, b) => length(b) - length(a) || promptIds[a]! - promptIds[b]! || a - b);
  const byPrompt = [...indices].sort((a, b) => promptIds[a]! - promptIds[b]! || length(b) - length(a) || a - b);
  const plans = [byLength, byPrompt].map((order) => cut({ order, data, promptIds, budgetTokens, costs }));
  const { order, ends } = plans[0]!.cost <= plans[1]!.cost ? plans[0]! : plans[1]!;
  return ends.map((end, batch) => build(order.slice(ends[batch - 1] ?? 0, end), data, promptIds));
}

/** For each datum the number of its prompt, equal for equal prompts. */
function distinctPrompts(data: readonly ScoreDatum[]): number[] {
  const known = new Map<string, number>();
  return data.map(({ promptTokens }) => {
    const key = promptTokens.join(",");
    const id = known.get(key) ?? known.size;
    known.set(key, id);
    return id;
  });
}

interface CutData {
  readonly order: readonly number[];
  readonly data: readonly ScoreDatum[];
  readonly promptIds: readonly number[];
  readonly budgetTokens: number;
  readonly costs: MicroBatchCosts;
}

/** Where the runs of neighbours end that together cost least. */
function cut({ order, data, promptIds, budgetTokens, costs }: CutData): {
  readonly order: readonly number[];
  readonly cost: number;
  readonly ends: readonly number[];
} {
  const count = order.length;
  const best = new Float64Array(count + 1);
  const endOfFirst = new Int32Array(count);
  for (let start = count - 1; start >= 0; start--) {
    best[start] = Number.POSITIVE_INFINITY;
    const prompts = new Set<number>();
    let P = 1;
    let C = 1;
    for (let end = start + 1; end <= count; end++) {
      const { promptTokens, completionTokens } = data[order[end - 1]!]!;
      prompts.add(promptIds[order[end - 1]!]!);
      P = Math.max(P, promptTokens.length - 1);
      C = Math.max(C, completionTokens.length);
      const [R, S] = [prompts.size, end - start];
      const positions = R * P + S * C;
      if (positions > budgetTokens && S > 1) break;
      const keys = R * P * P + S * C * (R * P + C);
      const cost = costs.batch + positions + costs.key * keys + best[end]!;
      if (cost >= best[start]!) continue;
      best[start] = cost;
      endOfFirst[start] = end;
    }
  }
  const ends: number[] = [];
  for (let start = 0; start < count; start = endOfFirst[start]!) ends.push(endOfFirst[start]!);
  return { order, cost: best[0]!, ends };
}

function build(members: readonly number[], data: readonly ScoreDatum[], promptIds: readonly number[]): MicroBatch {
  const rowOf = new Map<number, number>();
  const promptRows: number[] = [];
  const sequences = members.map((datum) => {
    const prompt = promptIds[datum]!;
    let promptRow = rowOf.get(prompt);
    if (promptRow === undefined) {
      promptRow = promptRows.length;
      rowOf.set(prompt, promptRow);
      promptRows.push(datum);
    }
    return { datum, promptRow };
  });
  return {
    promptLength: Math.max(1, ...promptRows.map((datum) => data[datum]!.promptTokens.length - 1)),
    completionLength: Math.max(1, ...members.map((datum) => data[datum]!.completionTokens.length)),
    promptRows,
    sequences,
  };
}
