/**
 * The parameters of a decoder: their names here, their shapes, and where each part stands in a Hugging Face checkpoint.
 *
 * Weights keep the checkpoint's orientation ([out, in], y = x·Wᵀ), so projections that read the same input are one
 * matrix whose rows are the checkpoint's matrices one after another: a fused matrix is a plain concatenation in memory,
 * and loading, saving and adapters address its parts as row ranges.
 */

import type { ModelConfig } from "./model-config.ts";

/** Rows of a parameter that are one tensor of the checkpoint. */
export interface CheckpointSlice {
  readonly checkpointName: string;
  readonly shape: readonly number[];
}

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** In memory order; together they fill the parameter. */
  readonly slices: readonly CheckpointSlice[];
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Every parameter of the model, in the order in which they are stored and updated. */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  const { vocabSize: V, hiddenSize: H, intermediateSize: I, numHeads, numKvHeads, headDim: D } = config;
  const queryWidth = numHeads * D;
  const kvWidth = numKvHeads * D;
  const specs: ParameterSpec[] = [];
  const single = (name: string, checkpointName: string, shape: readonly number[]) =>
    specs.push({ name, shape, slices: [{ checkpointName, shape }] });
  const stacked = (name: string, columns: number | null, parts: readonly (readonly [string, number])[]) => {
    const shapeOf = (rows: number) => (columns === null ? [rows] : [rows, columns]);
    specs.push({
      name,
      shape: shapeOf(parts.reduce((sum, [, rows]) => sum + rows, 0)),
      slices: parts.map(([checkpointName, rows]) => ({ checkpointName, shape: shapeOf(rows) })),
    });
  };

  single("embed", "model.embed_tokens.weight", [V, H]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const at = `model.layers.${layer}`;
    const here = `layers.${layer}`;
    single(`${here}.attnNorm`, `${at}.input_layernorm.weight`, [H]);
    const projections = [
      [`${at}.self_attn.q_proj`, queryWidth],
      [`${at}.self_attn.k_proj`, kvWidth],
      [`${at}.self_attn.v_proj`, kvWidth],
    ] as const;
    stacked(
      `${here}.qkv`,
      H,
      projections.map(([name, rows]) => [`${name}.weight`, rows] as const),
    );
    if (config.attentionBias) {
      stacked(
        `${here}.qkvBias`,
        null,
        projections.map(([name, rows]) => [`${name}.bias`, rows] as const),
      );
    }
    if (config.qkNorm) {
      single(`${here}.qNorm`, `${at}.self_attn.q_norm.weight`, [D]);
      single(`${here}.kNorm`, `${at}.self_attn.k_norm.weight`, [D]);
    }
    single(`${here}.attnOut`, `${at}.self_attn.o_proj.weight`, [H, queryWidth]);
    single(`${here}.mlpNorm`, `${at}.post_attention_layernorm.weight`, [H]);
    stacked(`${here}.gateUp`, H, [
      [`${at}.mlp.gate_proj.weight`, I],
      [`${at}.mlp.up_proj.weight`, I],
    ]);
    single(`${here}.mlpDown`, `${at}.mlp.down_proj.weight`, [H, I]);
  }
  single("finalNorm", "model.norm.weight", [H]);
  if (!config.tieWordEmbeddings) single("head", "lm_head.weight", [V, H]);
  return specs;
}

/** Parameter values by name, f32, in the shapes of `parameterSpecs`. */
export type ParameterValues = Map<string, Float32Array>;
