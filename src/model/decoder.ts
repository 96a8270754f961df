/**
 * The decoder as a graph program, written once: sampling, scoring and training differ only in the attention that they
 * pass in (over a key-value cache, or over whole sequences with a gradient) and in where they read the result.
 *
 * Tokens of all sequences lie one after another on one axis N, so that every projection is one matrix product and no
 * operation but attention knows of sequences. Pre-norm residual blocks: RMSNorm, grouped-query attention with RoPE (and
 * RMSNorm of each query and key head where the model has it, Qwen3: arXiv:2505.09388), RMSNorm, SwiGLU. A projection has
 * a bias where the model has a parameter for it.
 */

import type { Dim } from "../graph/dim.ts";
import { rotaryEmbedding } from "../graph/ops/attention.ts";
import { add } from "../graph/ops/elementwise.ts";
import { rmsNorm } from "../graph/ops/normalize.ts";
import { reshape } from "../graph/ops/shape.ts";
import { swiglu } from "../graph/ops/swiglu.ts";
import { recomputed } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { DecoderParameters } from "./decoder-parameters.ts";
import type { ModelConfig } from "./model-config.ts";
import { rotaryFrequencies } from "./rope.ts";

/** Where the tokens are: N tokens, each with its position in its own sequence. */
export interface DecoderTokens {
  readonly ids: Tensor; // int64 [N]
  readonly positions: Tensor; // int64 [N, 1]
  readonly cos: Tensor; // [positions, D/2]
  readonly sin: Tensor; // [positions, D/2]
}

/**
 * Attention of one layer: q [N, h·D], k and v [N, kv·D]; returns [N, h·D]. It rotates q and k to their positions, with
 * `rotate` or by an operation that does both.
 */
export type Attend = (layer: number, q: Tensor, k: Tensor, v: Tensor, rotate: (x: Tensor) => Tensor) => Tensor;

/**
 * The hidden states after the last norm, [N, H]. With `recompute`, gradient checkpointing by layers (Chen et al.,
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
  const { linear } = parameters;
  const norm = (x: Tensor, name: string) => rmsNorm(x, parameters.get(name), config.rmsNormEpsilon);

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
    const attended = attend(layer, q, k, v, (heads) => rotate(heads, tokens));
    const x = add(input, linear(attended, `${at}.attnOut`));
    const mlpInput = norm(x, `${at}.mlpNorm`);
    const activated = swiglu(linear(mlpInput, `${at}.gate`), linear(mlpInput, `${at}.up`));
    return add(x, linear(activated, `${at}.mlpDown`));
  };

  const embedded = parameters.embed(tokens.ids); // [N, H]
  let x = embeddingNoise ? add(embedded, embeddingNoise) : embedded;
  for (let layer = 0; layer < config.numLayers; layer++) {
    x = recompute ? recomputed(x, (input) => block(input, layer)) : block(x, layer);
  }
  return norm(x, "finalNorm");
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

function rotate(x: Tensor, { positions, cos, sin }: DecoderTokens): Tensor {
  const [n, width] = x.shape as [Dim, Dim];
  return reshape(rotaryEmbedding(reshape(x, [n, 1, width]), positions, cos, sin), x.shape);
}

/** Cosine and sine of position · frequency for positions 0 … count − 1, each [count, D/2] (arXiv:2104.09864, §3.2). */
export function rotaryTables(config: ModelConfig, count: number): { cos: Float32Array; sin: Float32Array } {
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
