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

/** What one layer's attention sees, and how it encodes positions. */
export interface LayerKind {
  /** It attends to the last `slidingWindow` positions only, its own among them. */
  readonly slides: boolean;
  /** RoPE of the whole model, that of its local layers (`localRope`), or none (NoPE, arXiv:2501.18795). */
  readonly rope: "global" | "local" | "none";
}

/** The function of an MLP's gate: x·σ(x), or GELU by its approximation with tanh (arXiv:1606.08415, §2). */
export type GateActivation = "silu" | "gelu_tanh";

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
  readonly activation: GateActivation;
  /** RMSNorms multiply by 1 + w instead of w. */
  readonly offsetNorms: boolean;
  /** What attention and MLP add to the residual stream passes through an RMSNorm of its own. */
  readonly postNorms: boolean;
  /** Embeddings are multiplied by √H as they enter the first layer. */
  readonly scalesEmbedding: boolean;
  /** Scores are q·k / √ of this; null: of D. */
  readonly queryPreAttnScalar: number | null;
  /** Positions that a sliding layer attends to, its own included; null where no layer slides. */
  readonly slidingWindow: number | null;
  /** RoPE of the layers that have not the model's; null where there are none. */
  readonly localRope: Pick<ModelConfig, "ropeTheta" | "ropeScaling"> | null;
  /** One for each layer; empty where all of them attend to everything, with the model's RoPE. */
  readonly layers: readonly LayerKind[];
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** What else `generation_config.json` says (temperature, top_p, …), in its own words: kept, and written back. */
  readonly generationDefaults: Readonly<Record<string, unknown>>;
}

/** The switches of the plain decoder: what Llama and the families like it have in common. */
export const PLAIN_DECODER = {
  activation: "silu",
  offsetNorms: false,
  postNorms: false,
  scalesEmbedding: false,
  queryPreAttnScalar: null,
  slidingWindow: null,
  localRope: null,
  layers: [],
} as const satisfies Partial<ModelConfig>;

const PLAIN_LAYER: LayerKind = { slides: false, rope: "global" };

/** The kind of a layer. */
export function layerKind(config: Pick<ModelConfig, "layers">, layer: number): LayerKind {
  return config.layers[layer] ?? PLAIN_LAYER;
}

/** Whether some layer is of this kind. */
export function someLayer(
  config: Pick<ModelConfig, "layers" | "numLayers">,
  isOne: (kind: LayerKind) => boolean,
): boolean {
  return Array.from({ length: config.numLayers }, (_, layer) => layerKind(config, layer)).some(isOne);
}

/** The factor on attention's scores: 1/√D, unless the model has a scalar of its own. */
export function attentionScale({ headDim, queryPreAttnScalar }: ModelConfig): number {
  return (queryPreAttnScalar ?? headDim) ** -0.5;
}

/** The window of the layers that slide; null where it hides nothing in any context that the model has. */
export function effectiveWindow({ slidingWindow, maxContextTokens }: ModelConfig): number | null {
  return slidingWindow !== null && slidingWindow < maxContextTokens ? slidingWindow : null;
}
