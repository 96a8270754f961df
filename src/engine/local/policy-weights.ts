/**
 * The policy and its reference, as the embedded engine holds them.
 *
 * Without an adapter the policy is the model, all of it is trained, and a reference is a frozen copy. With one, the model
 * is a base that nobody writes and the adapter is what is trained; the reference is the same base with the adapter off
 * (its scale is an input of every program), or, where the adapter had learned something already when the reference was
 * frozen, with a copy of the adapter as it was: a few million numbers, never a second model.
 */

import type { DeviceTensor, Runtime } from "../../compute/runtime.ts";
import { EngineError } from "../../errors.ts";
import { LORA_SCALE_INPUT, type WeightForm } from "../../model/decoder-parameters.ts";
import { adaptedParameters, adapterSpecs, loraScale } from "../../model/lora.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import type { ParameterValues } from "../../model/parameters.ts";
import { DenseWeights, type ModelValues, ModelWeights, type Weights } from "./weights.ts";

/** The values that a policy starts with; memory as `DenseWeights` and `ModelWeights` demand it. */
export interface PolicyValues {
  readonly model: ModelValues;
  /** By the names of `adapterSpecs`; exactly where the form has an adapter. */
  readonly adapter?: ParameterValues | undefined;
}

export class PolicyWeights {
  /** What the optimizer moves; undefined where nothing can be trained (packed or shared weights without an adapter). */
  readonly trained: DenseWeights | undefined;
  /** What programs read as the policy being trained. */
  readonly current: Weights;
  readonly #config: ModelConfig;
  readonly #form: WeightForm;
  readonly #model: ModelWeights;
  /** s, and 0: each an input of one number. */
  readonly #on: DeviceTensor;
  readonly #off: DeviceTensor;
  /** `off`: the base with the adapter off. */
  #reference: DenseWeights | "off" | undefined;

  /** `frozen`: the model's own weights are not trained. */
  constructor(
    runtime: Runtime,
    config: ModelConfig,
    form: WeightForm,
    { model, adapter }: PolicyValues,
    frozen = false,
  ) {
    this.#config = config;
    this.#form = form;
    this.#model = new ModelWeights(runtime, config, form, model);
    this.#on = runtime.zeros("float32", []);
    this.#off = runtime.zeros("float32", []);
    if (form.lora) {
      (this.#on.data as Float32Array)[0] = loraScale(form.lora);
      this.trained = new DenseWeights(runtime, adapterSpecs(config, form.lora), adapter!);
    } else {
      this.trained = frozen || form.quantization ? undefined : this.#model.dense;
    }
    this.current = this.#weights(this.trained);
  }

  /** What programs read as the reference; undefined where none was frozen. */
  get reference(): Weights | undefined {
    if (this.#reference === undefined) return undefined;
    return this.#reference === "off" ? this.#weights(this.trained, this.#off) : this.#weights(this.#reference);
  }

  /** The reference for a saved state: `off`, or the values of the copy. */
  get savedReference(): ParameterValues | "off" | undefined {
    return this.#reference instanceof DenseWeights ? this.#reference.all() : this.#reference;
  }

  /** Makes the current weights the reference. */
  freeze(): void {
    this.forgetReference();
    const isOff = this.trained === undefined || (this.#form.lora !== undefined && this.#isZero(this.trained));
    this.#reference = isOff ? "off" : this.trained.copy();
  }

  /**
   * Moves the reference, which must be there, by `share` of the way to the policy. Throws EngineError for an adapter: the
   * way between two products of low rank is not one of that rank.
   */
  mixReference(share: number): void {
    if (this.#form.lora || !(this.#reference instanceof DenseWeights)) {
      throw new EngineError("The reference of an adapter can be frozen, not mixed with the policy: give a share of 1.");
    }
    this.#reference.mix(this.trained!, share);
  }

  /** Makes a reference whose values are read into the memory that is returned. */
  emptyReference(): ParameterValues {
    this.forgetReference();
    const copy = this.trained!.copy();
    this.#reference = copy;
    return copy.all();
  }

  /** Makes the base, with the adapter off, the reference. */
  referenceOff(): void {
    this.forgetReference();
    this.#reference = "off";
  }

  forgetReference(): void {
    if (this.#reference instanceof DenseWeights) this.#reference.dispose();
    this.#reference = undefined;
  }

  dispose(): void {
    this.forgetReference();
    if (this.#form.lora) this.trained?.dispose();
    this.#model.dispose();
    this.#on.dispose();
    this.#off.dispose();
  }

  /** The whole policy with these trained weights, the adapter scaled by `scale`. */
  #weights(trained: DenseWeights | undefined, scale: DeviceTensor = this.#on): Weights {
    const adapter = this.#form.lora ? [[LORA_SCALE_INPUT, scale] as const] : [];
    return { tensors: new Map([...this.#model.tensors, ...(trained?.tensors ?? []), ...adapter]) };
  }

  /** Whether every B is zero: then the adapter changes nothing, whatever its A. */
  #isZero(adapter: DenseWeights): boolean {
    const { lora } = this.#form;
    return adaptedParameters(this.#config, lora!).every(({ b }) =>
      adapter.values(b.name).every((value) => value === 0),
    );
  }
}
