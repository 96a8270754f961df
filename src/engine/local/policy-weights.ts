/**
 * The policy and its reference, as the embedded engine holds them.
 *
 * Without an adapter the policy is the model, all of it is trained, and a reference is a frozen copy. With an adapter,
 * the model is a base that is never written, and only the adapter is trained. The reference is the same base with the
 * adapter off; the adapter's scale is an input of every program. If the adapter was already trained when the reference
 * was frozen, the reference is the base with a copy of the adapter as it was then: a few million numbers, never a
 * second model.
 */

import type { Device, DeviceTensor } from "../../compute/device.ts";
import { tensorOf } from "../../compute/host-memory.ts";
import { EngineError } from "../../errors.ts";
import { LORA_SCALE_INPUT, type WeightForm } from "../../model/decoder-parameters.ts";
import { adaptedParameters, loraScale } from "../../model/lora.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { DenseWeights, type ModelWeights, type Weights } from "./weights.ts";

/** The weights that a policy starts with. They become its own. */
export interface InitialWeights {
  readonly model: ModelWeights;
  /** Exactly where the form has an adapter. */
  readonly adapter?: DenseWeights | undefined;
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
    device: Device,
    config: ModelConfig,
    form: WeightForm,
    { model, adapter }: InitialWeights,
    { frozen = false }: { readonly frozen?: boolean | undefined } = {},
  ) {
    this.#config = config;
    this.#form = form;
    this.#model = model;
    this.#on = tensorOf(device, "float32", [], Float32Array.of(form.lora ? loraScale(form.lora) : 0));
    this.#off = tensorOf(device, "float32", [], Float32Array.of(0));
    this.trained = adapter ?? (frozen || form.quantization ? undefined : model.dense);
    this.current = this.#weights(this.trained);
  }

  /** The reference: a copy, or `off`; undefined where none was frozen. */
  get reference(): DenseWeights | "off" | undefined {
    return this.#reference;
  }

  /** What programs read as the reference; undefined where none was frozen. */
  get referenceWeights(): Weights | undefined {
    if (this.#reference === undefined) return undefined;
    return this.#reference === "off" ? this.#weights(this.trained, this.#off) : this.#weights(this.#reference);
  }

  /** Makes the current weights the reference. */
  async freeze(): Promise<void> {
    this.forgetReference();
    const isOff = this.trained === undefined || (this.#form.lora !== undefined && (await this.#isZero(this.trained)));
    this.#reference = isOff ? "off" : this.trained.copy();
  }

  /**
   * Moves the reference, which must be there, by `share` of the way to the policy. Throws EngineError for an adapter: a
   * point between two products of low rank does not have that low rank.
   */
  async mixReference(share: number): Promise<void> {
    if (this.#form.lora || !(this.#reference instanceof DenseWeights)) {
      throw new EngineError("The reference of an adapter can be frozen, not mixed with the policy: give a share of 1.");
    }
    await this.#reference.mix(this.trained!, share);
  }

  /** Makes a reference, whose values are to be read into what is returned. */
  newReference(): DenseWeights {
    this.forgetReference();
    const copy = this.trained!.copy();
    this.#reference = copy;
    return copy;
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
  async #isZero(adapter: DenseWeights): Promise<boolean> {
    for (const { b } of adaptedParameters(this.#config, this.#form.lora!)) {
      if (!(await adapter.values(b.name)).every((value) => value === 0)) return false;
    }
    return true;
  }
}
