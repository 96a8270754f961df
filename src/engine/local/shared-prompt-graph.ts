/**
 * The graph of a decoding step in which a prompt is read once for all of its sequences: attention to the prompts is a
 * matrix product for each prompt, of the queries of all its sequences, and is joined with each sequence's attention to its
 * own cache. Everything else is the sampling program's (`programs.ts`). Only devices that emulate 16 bits have it, so caches and
 * attention are float32.
 */

import type { ProgramGraph } from "../../compute/program.ts";
import { dimMultiply } from "../../graph/dim.ts";
import { cast } from "../../graph/ops/cast.ts";
import { add } from "../../graph/ops/elementwise.ts";
import { gatherRows } from "../../graph/ops/index.ts";
import { matmul } from "../../graph/ops/matmul.ts";
import { logSumExp, softmax } from "../../graph/ops/normalize.ts";
import { reshape, transpose } from "../../graph/ops/shape.ts";
import { joinAttention, summedCachedAttention } from "../../graph/ops/shared-attention.ts";
import { Graph, type Tensor } from "../../graph/tensor.ts";
import { type Attend, decoderHidden, decoderLogits } from "../../model/decoder.ts";
import { parameterInputs, type WeightForm } from "../../model/decoder-parameters.ts";
import { attentionScale, type ModelConfig } from "../../model/model-config.ts";
import { cachedHeadWidth } from "./key-value-cache.ts";
import { cutHeads, fillHeads, tokenInputs } from "./programs.ts";

/**
 * One new position of B sequences of R prompts, of which the one with the most has G. Inputs: the parameters; `ids` and
 * `positions` [B], the rotary tables, `lastPositions` [B] and `totalLength`, counted from the end of the prompt;
 * `promptBias` [R, P] (0, or −10⁹ behind a prompt's end), `members` [R, G] (the sequences of each prompt; what is too much
 * names any), `places` [B] (of each sequence, in `members` flattened); of each layer `keys.l`, `values.l` [B, kv, M, D′],
 * `promptKeys.l`, `promptValues.l` [R, kv, P, D′]. Outputs: `logits` [B, V], `newKeys.l`, `newValues.l`.
 */
export function sharedPromptGraph(config: ModelConfig, form: WeightForm, mostRows?: number): ProgramGraph {
  const graph = new Graph();
  const { numHeads, numKvHeads, headDim } = config;
  const repeats = numHeads / numKvHeads; // r
  const width = cachedHeadWidth(config); // D′
  const scale = attentionScale(config);
  const parameters = parameterInputs(graph, config, form, mostRows === undefined ? {} : { mostRows });
  const lastPositions = graph.input("lastPositions", "int32", ["B"]);
  const totalLength = graph.input("totalLength", "int32", []);
  const promptBias = reshape(graph.input("promptBias", "float32", ["R", "P"]), ["R", 1, 1, "P"]);
  const members = graph.input("members", "int64", ["R", "G"]);
  const places = graph.input("places", "int64", ["B"]);
  const tokens = tokenInputs(graph, config, ["B"]);
  const outputs: Record<string, Tensor> = {};

  const cache = (name: string, layer: number, rows: string, positions: string) =>
    graph.input(`${name}.${layer}`, "float32", [rows, numKvHeads, positions, width]);
  /** [R, kv, G·r, size] → [B, h, size] */
  const bySequence = (x: Tensor, size: number) => {
    const apart = transpose(reshape(x, ["R", numKvHeads, "G", repeats, size]), [0, 2, 1, 3, 4]);
    return gatherRows(reshape(apart, [dimMultiply("G", "R"), numHeads, size]), places);
  };

  /** Attention of q [B, h, D′] to the prompts. */
  const attendToPrompts = (layer: number, q: Tensor) => {
    const asked = gatherRows(reshape(q, ["B", numKvHeads, repeats, width]), members); // [R, G, kv, r, D′]
    const rows = dimMultiply(repeats, "G");
    const queries = reshape(transpose(asked, [0, 2, 1, 3, 4]), ["R", numKvHeads, rows, width]);
    const keys = cache("promptKeys", layer, "R", "P");
    const scores = add(matmul(queries, keys, { transposeB: true, scale }), promptBias); // [R, kv, G·r, P]
    const output = matmul(softmax(scores), cache("promptValues", layer, "R", "P"));
    return { output: bySequence(output, width), logSums: bySequence(logSumExp(scores), 1) };
  };

  const attend: Attend = (layer, unrotatedQ, unrotatedK, v, rotate) => {
    const heads = (x: Tensor, count: number) => fillHeads(reshape(cast(x, "float32"), ["B", count, headDim]), width);
    const q = heads(rotate(unrotatedQ), numHeads);
    const sequences = (x: Tensor, count: number) => reshape(x, ["B", 1, count * width]);
    const { output, keys, values, logSums } = summedCachedAttention(
      {
        q: sequences(q, numHeads),
        k: sequences(heads(rotate(unrotatedK), numKvHeads), numKvHeads),
        v: sequences(heads(v, numKvHeads), numKvHeads),
        pastKeys: cache("keys", layer, "B", "M"),
        pastValues: cache("values", layer, "B", "M"),
        lastPositions,
        totalLength,
      },
      { numHeads, numKvHeads, scale },
    );
    outputs[`newKeys.${layer}`] = keys;
    outputs[`newValues.${layer}`] = values;
    const own = { output: reshape(output, ["B", numHeads, width]), logSums };
    const joined = cutHeads(joinAttention(own, attendToPrompts(layer, q)), headDim);
    return cast(reshape(joined, unrotatedQ.shape), parameters.dtype);
  };
  const hidden = decoderHidden(config, parameters, tokens, attend);
  return { graph, outputs: { logits: decoderLogits(config, parameters, hidden), ...outputs } };
}
