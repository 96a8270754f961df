/**
 * The shape of a decoder-only language model, normalised from a Hugging Face `config.json`.
 *
 * One description for all families (`families/`): the graph program in `decoder.ts` reads the switches, never the family's
 * name.
 */

/** How RoPE's frequencies are changed for contexts beyond those of pretraining; `rope.ts` has the formulas. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      /** Positions of the pretraining. */
      readonly originalContextTokens: number;
    }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalContextTokens: number;
      /** Multiplies cosine and sine. */
      readonly attentionFactor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Rounds the bounds of the ramp to whole dimensions. */
      readonly truncate: boolean;
    };

/**
 * What stands on the decoder. `tokens`: next-token logits, `*ForCausalLM` of transformers. `score`: one number for a whole
 * sequence, a linear map without bias of the hidden state at its last token, `*ForSequenceClassification` with one label:
 * a reward model.
 */
export type ModelHead = "tokens" | "score";

export interface ModelConfig {
  /** The family of models that it is of (`families/registry.ts`): `model_type` of its `config.json`. */
  readonly architecture: string;
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
  readonly ropeScaling: RopeScaling | null;
  /** The output projection is the embedding matrix. */
  readonly tieWordEmbeddings: boolean;
  /** Query, key and value projections have biases. */
  readonly attentionBias: boolean;
  /** The attention's output projection has a bias. */
  readonly attentionOutputBias: boolean;
  /** The three projections of the MLP have biases. */
  readonly mlpBias: boolean;
  /** RMSNorm over each query and key head before RoPE. */
  readonly qkNorm: boolean;
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** What else `generation_config.json` says (temperature, top_p, …), in its own words: kept, and written back. */
  readonly generationDefaults: Readonly<Record<string, unknown>>;
}
