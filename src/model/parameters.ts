/**
 * The parameters of a decoder: one for each tensor of a Hugging Face checkpoint, in its orientation ([out, in],
 * y = x·Wᵀ), so that loading and saving copy and never rearrange.
 *
 * Projections that read the same input are not fused into one matrix: splitting their results, and joining their
 * gradients, costs more than the larger product gains (docs/log.md).
 */

import type { ModelConfig, ModelHead } from "./model-config.ts";

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** The tensor of the checkpoint. */
  readonly checkpointName: string;
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Every parameter of the model, in the order in which they are stored and updated; that of a score is [1, H]. */
export function parameterSpecs(config: ModelConfig, head: ModelHead = "tokens"): ParameterSpec[] {
  const { vocabSize: V, hiddenSize: H, intermediateSize: I, numHeads, numKvHeads, headDim: D } = config;
  const queryWidth = numHeads * D;
  const kvWidth = numKvHeads * D;
  const specs: ParameterSpec[] = [];
  const add = (name: string, checkpointName: string, shape: readonly number[]) =>
    specs.push({ name, shape, checkpointName });

  add("embed", "model.embed_tokens.weight", [V, H]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const at = `model.layers.${layer}`;
    const here = `layers.${layer}`;
    add(`${here}.attnNorm`, `${at}.input_layernorm.weight`, [H]);
    for (const [part, rows] of [
      ["q", queryWidth],
      ["k", kvWidth],
      ["v", kvWidth],
    ] as const) {
      add(`${here}.${part}`, `${at}.self_attn.${part}_proj.weight`, [rows, H]);
      if (config.attentionBias) add(`${here}.${part}Bias`, `${at}.self_attn.${part}_proj.bias`, [rows]);
    }
    if (config.qkNorm) {
      add(`${here}.qNorm`, `${at}.self_attn.q_norm.weight`, [D]);
      add(`${here}.kNorm`, `${at}.self_attn.k_norm.weight`, [D]);
    }
    add(`${here}.attnOut`, `${at}.self_attn.o_proj.weight`, [H, queryWidth]);
    if (config.attentionOutputBias) add(`${here}.attnOutBias`, `${at}.self_attn.o_proj.bias`, [H]);
    if (config.postNorms) add(`${here}.attnPostNorm`, `${at}.post_attention_layernorm.weight`, [H]);
    add(`${here}.mlpNorm`, `${at}.${config.postNorms ? "pre_feedforward" : "post_attention"}_layernorm.weight`, [H]);
    for (const [part, tensor, rows, columns] of [
      ["gate", "gate_proj", I, H],
      ["up", "up_proj", I, H],
      ["mlpDown", "down_proj", H, I],
    ] as const) {
      add(`${here}.${part}`, `${at}.mlp.${tensor}.weight`, [rows, columns]);
      if (config.mlpBias) add(`${here}.${part}Bias`, `${at}.mlp.${tensor}.bias`, [rows]);
    }
    if (config.postNorms) add(`${here}.mlpPostNorm`, `${at}.post_feedforward_layernorm.weight`, [H]);
  }
  add("finalNorm", "model.norm.weight", [H]);
  if (head === "score") add("score", "score.weight", [1, H]);
  else if (!config.tieWordEmbeddings) add("head", "lm_head.weight", [V, H]);
  return specs;
}

/** Parameter values by name, f32, in the shapes of `parameterSpecs`. */
export type ParameterValues = Map<string, Float32Array>;
