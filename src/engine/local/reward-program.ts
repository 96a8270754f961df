/**
 * The graphs of a reward model: whole sequences through the decoder, one number of each at its last token.
 *
 * B sequences of up to T positions, padded on the right, where causality hides the padding from what stands before it, so
 * no mask is needed for it. Nothing is shared between sequences: the prompt of a pair is computed twice. In training the
 * two sequences of a pair are in one batch, since its loss reads both.
 */

import type { ProgramGraph } from "../../compute/program.ts";
import { type Dim, dimMultiply } from "../../graph/dim.ts";
import { gradients } from "../../graph/gradient.ts";
import { attention } from "../../graph/ops/attention.ts";
import { expand } from "../../graph/ops/broadcast.ts";
import { gatherRows } from "../../graph/ops/index.ts";
import { reshape, transpose } from "../../graph/ops/shape.ts";
import { Graph, type Tensor } from "../../graph/tensor.ts";
import { bradleyTerryLoss } from "../../losses/bradley-terry.ts";
import { type Attend, decoderHidden, rotaryInputs } from "../../model/decoder.ts";
import { type DecoderParameters, parameterInputs } from "../../model/decoder-parameters.ts";
import { attentionScale, layerKind, type ModelConfig } from "../../model/model-config.ts";
import { gradientName } from "./programs.ts";

const TOKENS: Dim = "B*T";

/** The form of the weights of every reward model. */
export const REWARD_FORM = { head: "score" } as const;

/**
 * Inputs: the parameters; `ids`, `positions` [B, T], the rotary tables, `causal` [T, T] (0 at and before the diagonal, −10⁹
 * after), `causalWindow` (the same of layers that slide), `rows` [Q] (places on the token axis where rewards are read). Output: `rewards` [Q].
 */
export function scoringGraph(config: ModelConfig): ProgramGraph {
  const { graph, rewardsAt } = rewardGraph(config, false);
  return { graph, outputs: { rewards: rewardsAt(graph.input("rows", "int64", ["Q"])) } };
}

/**
 * Inputs: those of `scoringGraph` with `chosenRows` and `rejectedRows` [Q] in place of `rows`, and `weights` [Q],
 * `centering` []. Outputs: `chosen`, `rejected` [Q], `loss`, and the gradient of each parameter. With `recompute` the
 * backward pass computes each layer again.
 */
export function pairGraph(config: ModelConfig, recompute: boolean): ProgramGraph {
  const { graph, parameters, rewardsAt } = rewardGraph(config, recompute);
  const chosen = rewardsAt(graph.input("chosenRows", "int64", ["Q"]));
  const rejected = rewardsAt(graph.input("rejectedRows", "int64", ["Q"]));
  const weights = graph.input("weights", "float32", ["Q"]);
  const centering = graph.input("centering", "float32", []);
  const loss = bradleyTerryLoss({ chosen, rejected, weights, centering });
  const names = [...parameters.trained.keys()];
  const ofParameters = gradients(loss, [...parameters.trained.values()]);
  const outputs: Record<string, Tensor> = { chosen, rejected, loss };
  names.forEach((name, i) => {
    outputs[gradientName(name)] = ofParameters[i]!;
  });
  return { graph, outputs };
}

function rewardGraph(config: ModelConfig, recompute: boolean) {
  const graph = new Graph();
  const parameters: DecoderParameters = parameterInputs(graph, config, REWARD_FORM);
  const tokens = {
    ids: reshape(graph.input("ids", "int64", ["B", "T"]), [TOKENS]),
    positions: reshape(graph.input("positions", "int64", ["B", "T"]), [TOKENS, 1]),
    rope: rotaryInputs(graph, config),
  };
  const attend = causalAttention(config, {
    full: graph.input("causal", "float32", ["T", "T"]),
    window: graph.input("causalWindow", "float32", ["T", "T"]),
  });
  const hidden = decoderHidden(config, parameters, tokens, attend, { recompute }); // [B·T, H]
  const rewardsAt = (rows: Tensor) => reshape(parameters.linear(gatherRows(hidden, rows), "score"), ["Q"]);
  return { graph, parameters, rewardsAt };
}

/** Attention of each of B sequences to itself. */
function causalAttention(config: ModelConfig, causal: { readonly full: Tensor; readonly window: Tensor }): Attend {
  const { numHeads, numKvHeads, headDim } = config;
  const repeats = numHeads / numKvHeads;
  /** [B·T, heads·D] → [B, heads, T, D] */
  const byHead = (x: Tensor, heads: number) => transpose(reshape(x, ["B", "T", heads, headDim]), [0, 2, 1, 3]);
  const mask = (one: Tensor) => expand(reshape(one, [1, 1, 1, "T", "T"]), ["B", 1, 1, "T", "T"]);
  const masks = { full: mask(causal.full), window: mask(causal.window) };
  return (layer, q, k, v, rotate) => {
    const own = layerKind(config, layer).slides ? masks.window : masks.full;
    const queries = reshape(byHead(rotate(q), numHeads), ["B", numKvHeads, dimMultiply(repeats, "T"), headDim]);
    const grouping = { repeats, scale: attentionScale(config) };
    const attended = attention(queries, byHead(rotate(k), numKvHeads), byHead(v, numKvHeads), own, grouping);
    const rows = transpose(reshape(attended, ["B", numHeads, "T", headDim]), [0, 2, 1, 3]);
    return reshape(rows, [TOKENS, numHeads * headDim]);
  };
}
