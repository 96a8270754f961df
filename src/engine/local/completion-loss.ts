/**
 * From hidden states to what the engine returns for completion tokens: log-probabilities, entropies, the loss and its
 * gradient. Two graphs of one mathematics:
 *
 * - whole: the logits [S·C, V] are one tensor, and its gradient another;
 * - chunked, for a vocabulary with which they would not fit: a loop over J chunks of U tokens each. A token's loss reads
 *   the logits of no other token, so a chunk's forward pass, loss and gradient are done together and the largest tensor
 *   is [U, V] (Hsu et al., "Liger Kernel", arXiv:2410.10989, §3.2; its kernel is for cross-entropy, this loop for every
 *   per-token loss). Nothing is computed twice. Chunks hold completion tokens only: no padding but what fills the last.
 *
 * A loss whose terms read several tokens of a sequence cannot be chunked so: it needs a first loop for log-probabilities
 * and a second one, which computes the logits again, for the gradient.
 */

import { forEachChunk } from "../../graph/chunk-loop.ts";
import type { Dim } from "../../graph/dim.ts";
import { pullBack } from "../../graph/gradient.ts";
import { sum } from "../../graph/ops/broadcast.ts";
import { multiply, stopGradient, subtract } from "../../graph/ops/elementwise.ts";
import { gatherRows, pickLast } from "../../graph/ops/index.ts";
import { keepOnly } from "../../graph/ops/keep-only.ts";
import { logProbability } from "../../graph/ops/log-probability.ts";
import { matmul } from "../../graph/ops/matmul.ts";
import { largest, logSumExp, softmax } from "../../graph/ops/normalize.ts";
import { after, reshape } from "../../graph/ops/shape.ts";
import type { Graph, Tensor } from "../../graph/tensor.ts";
import { type LossInputName, lossInputs, tokenLoss } from "../../losses/engine-losses.ts";
import { isCrossEntropy, type LossSpec } from "../../losses/loss-spec.ts";

/** What a loss reads of each completion token besides its log-probability. */
export type LossColumn = "weights" | "entropyWeights" | LossInputName;

/** The columns of a datum that a loss reads; none without a loss. */
export function lossColumns(loss: LossSpec | null): readonly LossColumn[] {
  if (!loss) return [];
  return ["weights", ...(loss.entropyBonus ? ["entropyWeights" as const] : []), ...lossInputs(loss)];
}

/** The last part of a sequence program. */
export interface CompletionPart {
  readonly graph: Graph;
  /** Hidden states of completion positions, [S·C, H]. */
  readonly hidden: Tensor;
  /** Logits [n, V], temperature included, of hidden states [n, H]. */
  readonly logitsOf: (hidden: Tensor) => Tensor;
  readonly loss: LossSpec | null;
  /** Whether each token's distribution is that over some tokens of the vocabulary only (input `keptTokens`). */
  readonly restricted: boolean;
  /** What gradients are multiplied by, float32 []: 1, or the scale of the loss. */
  readonly gradientSeed: Tensor;
  /** What the gradient of the loss is taken with respect to. */
  readonly trained: readonly Tensor[];
}

/** `logprobs` and `entropies`, one for each token; of cross-entropy `margins` too; with a loss also the scalar `total` and a gradient of each trained tensor. */
export interface CompletionResults {
  readonly logprobs: Tensor;
  readonly entropies: Tensor;
  readonly margins?: Tensor;
  readonly total?: Tensor;
  readonly gradients: readonly Tensor[];
}

/**
 * One tensor of logits. Adds the inputs `targets` (int64) and `lossColumns`, each [S·C] like the results, and where
 * `restricted` `keptTokens` (int32) [S·C, W].
 */
export function wholeCompletions(part: CompletionPart): CompletionResults {
  const { hidden, logitsOf, loss, trained, gradientSeed } = part;
  const inputs = tokenInputs(part, [hidden.shape[0]!]);
  const results = tokenResults(logitsOf(hidden), loss, inputs);
  if (!results.total) return { ...results, gradients: [] };
  return { ...results, gradients: pullBack(new Map([[results.total, gradientSeed]]), trained) as Tensor[] };
}

/**
 * J chunks of U tokens. Adds the inputs `targets` (int64) and `lossColumns`, each [J, U] like the results, where
 * `restricted` `keptTokens` (int32) [J, U, W], `logitRows`
 * [J, U] (the completion position, of S·C, of each token) and for a loss `logitPlaces` [S·C] (the place among the J·U of
 * each position's token; for padding a place whose weight is 0, so that no gradient comes from there).
 */
export function chunkedCompletions(part: CompletionPart): CompletionResults {
  const { graph, hidden, logitsOf, loss, trained, gradientSeed } = part;
  const rows = graph.input("logitRows", "int64", ["J", "U"]);
  const operands = { states: gatherRows(hidden, rows), ...tokenInputs(part, ["J", "U"]) };
  const loop = forEachChunk(operands, ({ states, ...inputs }) => {
    const chunk = states!; // [U, H]
    const { total, ...perToken } = tokenResults(logitsOf(chunk), loss, inputs);
    if (!total) return { stacked: perToken, summed: {} };
    // A chunk is a leaf here: these are the gradients of what is trained in the head alone.
    const [toChunk, ...toTrained] = pullBack(new Map([[total, gradientSeed]]), [chunk, ...trained]) as [
      Tensor,
      ...(Tensor | undefined)[],
    ];
    const ofHead = toTrained.flatMap((gradient, i) => (gradient ? [[`${i}`, gradient] as const] : []));
    const summed = Object.fromEntries(ofHead);
    return { stacked: { ...perToken, total, toChunk }, summed };
  });
  const { logprobs, entropies, margins, total, toChunk } = loop.stacked;
  if (!total || !toChunk) return { logprobs: logprobs!, entropies: entropies!, gradients: [] };

  const width = hidden.shape[1]!;
  const places = graph.input("logitPlaces", "int64", [hidden.shape[0]!]);
  const toHidden = gatherRows(reshape(toChunk, ["J*U", width]), places); // [S·C, H]
  const seeds = new Map([[hidden, toHidden]]);
  for (const [i, gradient] of Object.entries(loop.summed)) seeds.set(trained[Number(i)]!, gradient);
  const results = { logprobs: logprobs!, entropies: entropies!, ...(margins && { margins }), total: sum(total) };
  return { ...results, gradients: pullBack(seeds, trained) as Tensor[] };
}

type TokenInputs = Readonly<Record<string, Tensor>>;

function tokenInputs({ graph, loss, restricted }: CompletionPart, shape: readonly Dim[]): TokenInputs {
  const targets = graph.input("targets", "int64", shape);
  const columns = lossColumns(loss).map((name) => [name, graph.input(name, "float32", shape)] as const);
  const kept = restricted ? { keptTokens: graph.input("keptTokens", "int32", [...shape, "W"]) } : {};
  return { targets, ...Object.fromEntries(columns), ...kept };
}

/** Of n tokens with logits [n, V]: log-probabilities and entropies [n], of cross-entropy margins [n], and Σ weight · term − Σ entropyWeight · entropy. */
function tokenResults(
  unrestricted: Tensor,
  loss: LossSpec | null,
  inputs: TokenInputs,
): { readonly logprobs: Tensor; readonly entropies: Tensor; readonly margins?: Tensor; readonly total?: Tensor } {
  const logits = inputs.keptTokens ? keepOnly(unrestricted, inputs.keptTokens) : unrestricted;
  const logprobs = logProbability(logits, inputs.targets!);
  // H = ln Z − Σ p·z; without an entropy bonus for metrics only, which saves its gradient's tensors of the logits' size.
  const scores = loss?.entropyBonus ? logits : stopGradient(logits);
  const meanLogits = rowProducts(softmax(scores), scores);
  const entropies = reshape(subtract(logSumExp(scores), meanLogits), logprobs.shape);
  if (!loss) return { logprobs, entropies };
  const perToken = { logprobs, entropies, ...(isCrossEntropy(loss) && { margins: margins(logits, inputs) }) };
  // The gradient, which begins with the weights, waits for all that is read of the logits: it can let go of them then and
  // take the memory of the probabilities, two tensors of that size less.
  const weights = after(inputs.weights!, entropies, ...(perToken.margins ? [perToken.margins] : []));
  const weighted = sum(
    multiply(
      tokenLoss(loss, logprobs, (name) => inputs[name]!),
      weights,
    ),
  );
  if (!loss.entropyBonus) return { ...perToken, total: weighted };
  return { ...perToken, total: subtract(weighted, sum(multiply(entropies, inputs.entropyWeights!))) };
}

/** By how much the logit of each target is below the largest one, [n]: 0 where it is that one. */
function margins(logits: Tensor, { targets }: TokenInputs): Tensor {
  const scores = stopGradient(logits);
  return subtract(pickLast(scores, targets!), reshape(largest(scores), targets!.shape));
}

/** Σ_v aᵥ·bᵥ of each row of a, b [n, V], as [n, 1]; a product of matrices, which has no tensor of its operands' size. */
function rowProducts(a: Tensor, b: Tensor): Tensor {
  const [n, width] = a.shape as [Dim, number];
  return reshape(matmul(reshape(a, [n, 1, width]), reshape(b, [n, width, 1])), [n, 1]);
}
