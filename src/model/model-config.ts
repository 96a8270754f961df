/**
 * The shape of a decoder-only language model, normalised from a Hugging Face `config.json`.
 *
 * One description for the family (Qwen3, and by its switches Qwen2): the graph program in `decoder.ts` reads
 * the switches, never the architecture's name.
 */

/** Architectures whose checkpoints are read and written. */
export const ARCHITECTURES = ["qwen2", "qwen3"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export interface ModelConfig {
  readonly architecture: Architecture;
  readonly vocabSize: number; // V
  readonly hiddenSize: number; // H
  readonly intermediateSize: number; // I
  readonly numLayers: number; // L
  readonly numHeads: number; // h
  readonly numKvHeads: number; // kv; divides numHeads
  readonly headDim: number; // D; need not be hiddenSize / numHeads
  /** `max_position_embeddings`: the most positions of one sequence. */
  readonly maxContextTokens: number;
  readonly rmsNormEpsilon: number;
  readonly ropeTheta: number;
  /** The output projection is the embedding matrix. */
  readonly tieWordEmbeddings: boolean;
  /** Query, key and value projections have biases. */
  readonly attentionBias: boolean;
  /** RMSNorm over each query and key head before RoPE. */
  readonly qkNorm: boolean;
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}
