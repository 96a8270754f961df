/**
 * The graphs of a reward model: whole sequences through the decoder, one number of each at its last token.
 *
 * B sequences of up to T positions, padded on the right, where causality hides the padding from what stands before it, so
 * no mask is needed for it. Nothing is shared between sequences: the prompt of a pair is computed twice. In training the
 * two sequences of a pair are in one batch, since its loss reads both.
 */

import type { ProgramGraph } from "../../compute/program.ts";
import { type Dim, dimMultiply } from "../../graph/dim.ts";
import { pullBack } from "../../graph/gradient.ts";
import { attention } from "../../graph/ops/attention.ts";
import { expand } from "../../graph/ops/broadcast.ts";
import { cast } from "../../graph/ops/cast.ts";
import { gatherRows } from "../../graph/ops/index.ts";
import { reshape, transpose } from "../../graph/ops/shape.ts";
import { Graph, type Tensor } from "../../graph/tensor.ts";
import type { FloatDType } from "../../graph/tensor-type.ts";
import { bradleyTerryLoss } from "../../losses/bradley-terry.ts";
import { type Attend, decoderHidden, rotaryInputs } from "../../model/decoder.ts";
import { type DecoderParameters, parameterInputs, type WeightForm } from "../../model/decoder-parameters.ts";
import { attentionScale, layerKind, type ModelConfig } from "../../model/model-config.ts";
import { gradientName, LOSS_SCALE_INPUT } from "./programs.ts";
import { scalesLoss } from "./trunk.ts";

const TOKENS: Dim = "B*T";

/** The form of the weights of a reward model. */
export function rewardForm(dtype: FloatDType): WeightForm {
  return { head: "score", dtype };
}

/**
 * Inputs: the parameters; `ids`, `positions` [B, T], the rotary tables, `causal` [T, T] (0 at and before the diagonal, −10⁹
 * after), `causalWindow` (the same of layers that slide), `rows` [Q] (places on the token axis where rewards are read). Output: `rewards` [Q].
 */
export function scoringGraph(config: ModelConfig, dtype: FloatDType = "float32"): ProgramGraph {
  const { graph, rewardsAt } = rewardGraph(config, dtype, false);
  return { graph, outputs: { rewards: rewardsAt(graph.input("rows", "int64", ["Q"])) } };
}

/**
 * Inputs: those of `scoringGraph` with `chosenRows` and `rejectedRows` [Q] in place of `rows`, and `weights` [Q],
 * `centering` []. Outputs: `chosen`, `rejected` [Q], `loss`, and the gradient of each parameter (of float16 times `LOSS_SCALE_INPUT`). With `recompute` the
 * backward pass computes each layer again.
 */
export function pairGraph(config: ModelConfig, recompute: boolean, dtype: FloatDType = "float32"): ProgramGraph {
  const { graph, parameters, rewardsAt } = rewardGraph(config, dtype, recompute);
  const chosen = rewardsAt(graph.input("chosenRows", "int64", ["Q"]));
  const rejected = rewardsAt(graph.input("rejectedRows", "int64", ["Q"]));
  const weights = graph.input("weights", "float32", ["Q"]);
  const centering = graph.input("centering", "float32", []);
  const loss = bradleyTerryLoss({ chosen, rejected, weights, centering });
  const names = [...parameters.trained.keys()];
  const seed = scalesLoss(dtype) ? graph.input(LOSS_SCALE_INPUT, "float32", []) : graph.scalar(1);
  const ofParameters = pullBack(new Map([[loss, seed]]), [...parameters.trained.values()]);
  const outputs: Record<string, Tensor> = { chosen, rejected, loss };
  names.forEach((name, i) => {
    outputs[gradientName(name)] = cast(ofParameters[i]!, "float32");
  });
  return { graph, outputs };
}

function rewardGraph(config: ModelConfig, dtype: FloatDType, recompute: boolean) {
  const graph = new Graph();
  const parameters: DecoderParameters = parameterInputs(graph, config, rewardForm(dtype));
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
    const heads = (x: Tensor, count: number) => byHead(cast(x, "float32"), count);
    const queries = reshape(heads(rotate(q), numHeads), ["B", numKvHeads, dimMultiply(repeats, "T"), headDim]);
    const grouping = { repeats, scale: attentionScale(config) };
    const attended = attention(queries, heads(rotate(k), numKvHeads), heads(v, numKvHeads), own, grouping);
    const rows = transpose(reshape(attended, ["B", numHeads, "T", headDim]), [0, 2, 1, 3]);
    return cast(reshape(rows, [TOKENS, numHeads * headDim]), q.dtype as FloatDType);
  };
}
