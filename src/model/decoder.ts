/**
 * The decoder as a graph program, written once: sampling, scoring and training differ only in the attention that they
 * pass in (over a key-value cache, or over whole sequences with a gradient) and in where they read the result.
 *
 * Tokens of all sequences lie one after another on one axis N, so that every projection is one matrix product and no
 * operation but attention knows of sequences. Pre-norm residual blocks: RMSNorm, grouped-query attention with RoPE (and
 * RMSNorm of each query and key head where the model has it, Qwen3: arXiv:2505.09388), RMSNorm, a gated MLP. A projection
 * has a bias where the model has a parameter for it. Everything else that models differ in is a switch of `ModelConfig`.
 *
 * The trunk may compute in 16 bits: residual stream, projections, activations. Embedding, norms, rotation, attention and head
 * compute in float32 whatever the trunk does, and round once at their end, except for the last norm, which does not round.
 */

import type { Dim } from "../graph/dim.ts";
import { rotaryEmbedding } from "../graph/ops/attention.ts";
import { cast } from "../graph/ops/cast.ts";
import { add, multiply } from "../graph/ops/elementwise.ts";
import { geglu } from "../graph/ops/geglu.ts";
import { rmsNorm } from "../graph/ops/normalize.ts";
import { reshape } from "../graph/ops/shape.ts";
import { swiglu } from "../graph/ops/swiglu.ts";
import { recomputed } from "../graph/recompute.ts";
import type { Graph, Tensor } from "../graph/tensor.ts";
import type { FloatDType } from "../graph/tensor-type.ts";
import type { DecoderParameters } from "./decoder-parameters.ts";
import { type LayerKind, layerKind, type ModelConfig } from "./model-config.ts";
import { parameterKind } from "./parameter-kinds.ts";
import { parameterSpecs } from "./parameters.ts";
import { rotaryFrequencies } from "./rope.ts";

/** Where the tokens are: N tokens, each with its position in its own sequence. */
export interface DecoderTokens {
  readonly ids: Tensor; // int64 [N]
  readonly positions: Tensor; // int64 [N, 1]
  /** RoPE by the names of `LayerKind.rope`; "local" only where the model has such layers. */
  readonly rope: { readonly global: RotaryInputs; readonly local?: RotaryInputs };
}

/** Cosine and sine by position. */
export interface RotaryInputs {
  readonly cos: Tensor; // [positions, D/2]
  readonly sin: Tensor; // [positions, D/2]
}

/**
 * Attention of one layer: q [N, h·D], k and v [N, kv·D]; returns [N, h·D], all in the trunk's dtype. It rotates q and k to their positions, with
 * `rotate` or by an operation that does both.
 */
export type Attend = (layer: number, q: Tensor, k: Tensor, v: Tensor, rotate: (x: Tensor) => Tensor) => Tensor;

/**
 * The hidden states after the last norm, float32 [N, H]. With `recompute`, gradient checkpointing by layers (Chen et al.,
 * arXiv:1604.06174): of each layer only its input is kept for a backward pass, which computes the layer again.
 * `embeddingNoise` [N, H] is added to the tokens' embeddings.
 */
export function decoderHidden(
  config: ModelConfig,
  parameters: DecoderParameters,
  tokens: DecoderTokens,
  attend: Attend,
  {
    recompute = false,
    embeddingNoise,
  }: { readonly recompute?: boolean; readonly embeddingNoise?: Tensor | undefined } = {},
): Tensor {
  const { linear, dtype } = parameters;
  // Made before the layers: a layer that is computed again has to read the same tensors.
  const gains = new Map(
    parameterSpecs(config)
      .filter(({ name }) => parameterKind(name) === "norm")
      .map(({ name }) => {
        const weight = parameters.get(name);
        return [name, config.offsetNorms ? add(weight, weight.graph.scalar(1)) : weight];
      }),
  );
  const wideNorm = (x: Tensor, name: string) => rmsNorm(cast(x, "float32"), gains.get(name)!, config.rmsNormEpsilon);
  const norm = (x: Tensor, name: string) => cast(wideNorm(x, name), dtype);
  const gated = config.activation === "gelu_tanh" ? geglu : swiglu;

  const block = (input: Tensor, layer: number): Tensor => {
    const at = `layers.${layer}`;
    const normed = norm(input, `${at}.attnNorm`);
    let q = linear(normed, `${at}.q`);
    let k = linear(normed, `${at}.k`);
    const v = linear(normed, `${at}.v`);
    if (config.qkNorm) {
      q = perHead(q, config.numHeads, config.headDim, (heads) => norm(heads, `${at}.qNorm`));
      k = perHead(k, config.numKvHeads, config.headDim, (heads) => norm(heads, `${at}.kNorm`));
    }
    const postNorm = (x: Tensor, name: string) => (config.postNorms ? norm(x, name) : x);
    const attended = attend(layer, q, k, v, (heads) => rotate(heads, tokens, layerKind(config, layer).rope));
    const x = add(input, postNorm(linear(attended, `${at}.attnOut`), `${at}.attnPostNorm`));
    const mlpInput = norm(x, `${at}.mlpNorm`);
    const activated = gated(linear(mlpInput, `${at}.gate`), linear(mlpInput, `${at}.up`));
    return add(x, postNorm(linear(activated, `${at}.mlpDown`), `${at}.mlpPostNorm`));
  };

  const rows = parameters.embed(tokens.ids); // [N, H]
  const embedded = config.scalesEmbedding ? multiply(rows, rows.graph.scalar(Math.sqrt(config.hiddenSize))) : rows;
  let x = cast(embeddingNoise ? add(embedded, embeddingNoise) : embedded, dtype);
  for (let layer = 0; layer < config.numLayers; layer++) {
    x = recompute ? recomputed(x, (input) => block(input, layer)) : block(x, layer);
  }
  return wideNorm(x, "finalNorm");
}

/** Next-token logits [N, V] of hidden states [N, H]. */
export function decoderLogits(config: ModelConfig, parameters: DecoderParameters, hidden: Tensor): Tensor {
  return parameters.linear(hidden, config.tieWordEmbeddings ? "embed" : "head");
}

/** Applies `transform` to x [N, heads·D] as [N, heads, D]. */
function perHead(x: Tensor, heads: number, headDim: number, transform: (x: Tensor) => Tensor): Tensor {
  const n: Dim = x.shape[0]!;
  return reshape(transform(reshape(x, [n, heads, headDim])), x.shape);
}

function rotate(x: Tensor, { positions, rope }: DecoderTokens, kind: LayerKind["rope"]): Tensor {
  if (kind === "none") return x;
  const { cos, sin } = rope[kind]!;
  const [n, width] = x.shape as [Dim, Dim];
  const rotated = rotaryEmbedding(reshape(cast(x, "float32"), [n, 1, width]), positions, cos, sin);
  return cast(reshape(rotated, x.shape), x.dtype as FloatDType);
}

/** Cosine and sine of position · frequency for positions 0 … count − 1, each [count, D/2] (arXiv:2104.09864, §3.2). */
export function rotaryTables(
  config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">,
  count: number,
): { cos: Float32Array; sin: Float32Array } {
  const half = config.headDim / 2;
  // At least 64 bytes: V8 keeps smaller arrays on its heap and moves them, and the runtime reads these in place.
  const table = () => new Float32Array(new ArrayBuffer(Math.max(64, count * half * 4)), 0, count * half);
  const [cos, sin] = [table(), table()];
  const { frequencies, attentionFactor } = rotaryFrequencies(config);
  for (const [i, frequency] of frequencies.entries()) {
    for (let position = 0; position < count; position++) {
      // transformers holds the angles in f32: rounding as it does keeps the two models' numbers equal.
      const angle = Math.fround(position * frequency);
      cos[position * half + i] = attentionFactor * Math.cos(angle);
      sin[position * half + i] = attentionFactor * Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** Names of the inputs of a program that have the rotary tables, f32 [positions, D/2] each. */
const ROTARY_INPUTS = { global: ["cos", "sin"], local: ["localCos", "localSin"] } as const;

/** The tables of every RoPE that the model has, by the names of those inputs. */
export function rotaryInputTables(config: ModelConfig, count: number): Map<string, Float32Array> {
  const tables = new Map<string, Float32Array>();
  for (const [names, rope] of [
    [ROTARY_INPUTS.global, config],
    [ROTARY_INPUTS.local, config.localRope],
  ] as const) {
    if (rope === null) continue;
    const { cos, sin } = rotaryTables({ ...rope, headDim: config.headDim }, count);
    tables.set(names[0], cos);
    tables.set(names[1], sin);
  }
  return tables;
}

/** Declares those inputs for tables of K positions. */
export function rotaryInputs(graph: Graph, config: ModelConfig): DecoderTokens["rope"] {
  const declare = ([cos, sin]: readonly [string, string]): RotaryInputs => {
    const shape = ["K", config.headDim / 2];
    return { cos: graph.input(cos, "float32", shape), sin: graph.input(sin, "float32", shape) };
  };
  const global = declare(ROTARY_INPUTS.global);
  return config.localRope === null ? { global } : { global, local: declare(ROTARY_INPUTS.local) };
}
