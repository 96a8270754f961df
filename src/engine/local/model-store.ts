/**
 * Where the embedded engine keeps models and states. It is handed in: `folder-store.ts` keeps them in folders, and nothing
 * else of the engine knows of files.
 */

import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { SaveDtype } from "../../model/hf-config.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import type { ParameterSpec } from "../../model/parameters.ts";
import type { LossScaleState } from "./loss-scale.ts";
import type { DenseWeights } from "./weights.ts";

/** A set of tensors, one for each parameter that is trained: the model's, or an adapter's alone. */
export type SetName = "weights" | "firstMoments" | "secondMoments" | "reference";

/** What is saved of a model that is trained; a set that is absent was never made. */
export interface EngineState {
  readonly optimizerSteps: number;
  /** The reference is the base with the adapter off: nothing to save. */
  readonly referenceOff: boolean;
  /** Where gradients are computed times a scale. */
  readonly lossScale?: LossScaleState;
  readonly sets: { readonly weights: DenseWeights } & Partial<Record<SetName, DenseWeights>>;
}

/** A model to be written. */
export interface StoredModel {
  readonly config: ModelConfig;
  readonly form: WeightForm;
  /** Asked for one parameter after another: those that are trained. */
  readonly valuesOf: (parameter: ParameterSpec) => Promise<Float32Array>;
  /** What an adapter names as its base. */
  readonly base?: string;
}

/** A place is a directory, or another name that the store knows. */
export interface ModelStore {
  /** Writes a state, whole. */
  saveState(place: string, state: EngineState): Promise<void>;
  /**
   * Reads a state of parameters `specs` into the weights that `target` gives for each set. Throws CheckpointError where a
   * tensor is missing or of another shape: a checkpoint of another model; then `target` was not asked.
   */
  loadState(
    place: string,
    specs: readonly ParameterSpec[],
    target: (set: SetName) => DenseWeights,
  ): Promise<Pick<EngineState, "optimizerSteps" | "referenceOff" | "lossScale">>;
  /** Writes a model, or its adapter where it has one, in the layouts of Hugging Face. */
  saveModel(place: string, model: StoredModel, dtype: SaveDtype | undefined): Promise<void>;
}
