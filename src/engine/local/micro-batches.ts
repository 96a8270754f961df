/**
 * Cuts ragged data into micro-batches with little padding.
 *
 * A micro-batch is R prompts of up to P positions and S completions of up to C positions (`programs.ts`); it costs
 * R·P + S·C token positions. Sequences are sorted and cut greedily under a budget of positions. Sorting by length wastes
 * least padding, sorting by prompt shares prompts best; both are tried and the cheaper plan is taken. The plan is a
 * function of the data alone, so a run repeats.
 */

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

/**
 * Every datum in exactly one micro-batch of at most `budgetTokens` positions (one sequence may exceed it alone). With
 * `sharePrompts` false each sequence has a prompt row of its own.
 */
export function planMicroBatches(
  data: readonly ScoreDatum[],
  budgetTokens: number,
  { sharePrompts = true }: { readonly sharePrompts?: boolean } = {},
): MicroBatch[] {
  const indices = data.map((_, i) => i);
  const promptIds = sharePrompts ? distinctPrompts(data) : indices;
  const length = (i: number) => data[i]!.completionTokens.length;
  const byLength = [...indices].sort((a, b) => length(b) - length(a) || promptIds[a]! - promptIds[b]! || a - b);
  const byPrompt = [...indices].sort((a, b) => promptIds[a]! - promptIds[b]! || length(b) - length(a) || a - b);
  const plans = [byLength, byPrompt].map((order) => cut(order, data, promptIds, budgetTokens));
  const cost = (plan: readonly MicroBatch[]) => plan.reduce((sum, batch) => sum + microBatchTokens(batch), 0);
  return cost(plans[0]!) <= cost(plans[1]!) ? plans[0]! : plans[1]!;
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

function cut(
  order: readonly number[],
  data: readonly ScoreDatum[],
  promptIds: readonly number[],
  budget: number,
): MicroBatch[] {
  const batches: MicroBatch[] = [];
  let members: number[] = [];
  let prompts = new Set<number>();
  let promptLength = 1;
  let completionLength = 1;
  const flush = () => {
    if (members.length > 0) batches.push(build(members, promptIds, promptLength, completionLength));
    members = [];
    prompts = new Set();
    promptLength = 1;
    completionLength = 1;
  };
  for (const datum of order) {
    const grown = () => ({
      prompt: Math.max(promptLength, data[datum]!.promptTokens.length - 1),
      completion: Math.max(completionLength, data[datum]!.completionTokens.length),
      rows: prompts.size + (prompts.has(promptIds[datum]!) ? 0 : 1),
    });
    let next = grown();
    if (members.length > 0 && next.prompt * next.rows + next.completion * (members.length + 1) > budget) {
      flush();
      next = grown();
    }
    members.push(datum);
    prompts.add(promptIds[datum]!);
    promptLength = next.prompt;
    completionLength = next.completion;
  }
  flush();
  return batches;
}

function build(
  members: readonly number[],
  promptIds: readonly number[],
  promptLength: number,
  completionLength: number,
): MicroBatch {
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
  return { promptLength, completionLength, promptRows, sequences };
}
