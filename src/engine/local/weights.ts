/**
 * Weights on a device, and what training keeps beside them.
 *
 * Each number is held once: programs read these tensors, the optimizer writes them. Frozen weights (the base of an adapter)
 * have no gradient and no moments, and may be packed in 4 bits.
 */

import type { Device, DeviceTensor, HostArrays, OptimizedTensor, StoredDType } from "../../compute/device.ts";
import { fill, read } from "../../compute/host-memory.ts";
import { Scope } from "../../compute/scope.ts";
import { CheckpointError, EngineError } from "../../errors.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec, parameterSpecs } from "../../model/parameters.ts";
import { codesName, type Nf4Values, nf4Lengths, scalesName, storageOf } from "../../model/quantization.ts";
import type { AdamParams, OptimStepResult } from "../contract/policy.ts";

/** What a program reads as its parameters: tensors by the names of its inputs. */
export interface Weights {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
}

type FloatTensors = ReadonlyMap<string, DeviceTensor<"float32">>;

/** Writes the f32 values of a parameter into memory that is given. */
export type WriteParameter = (parameter: ParameterSpec, values: Float32Array) => void | Promise<void>;

/** A tensor of zeros for each parameter, by name. */
function zerosOf(device: Device, specs: readonly ParameterSpec[]): FloatTensors {
  return new Map(specs.map(({ name, shape }) => [name, device.allocate("float32", shape)]));
}

/** Parameters in f32, by name. */
export class DenseWeights implements Weights {
  readonly specs: readonly ParameterSpec[];
  readonly tensors: FloatTensors;
  readonly #device: Device;

  /** All of them zero. */
  constructor(device: Device, specs: readonly ParameterSpec[]) {
    this.#device = device;
    this.specs = specs;
    this.tensors = zerosOf(device, specs);
  }

  /** Parameters with values that `write` gives, one after another. */
  static async from(device: Device, specs: readonly ParameterSpec[], write: WriteParameter): Promise<DenseWeights> {
    const weights = new DenseWeights(device, specs);
    try {
      await weights.fill(write);
    } catch (error) {
      weights.dispose();
      throw error;
    }
    return weights;
  }

  /** Replaces all values. */
  async fill(write: WriteParameter): Promise<void> {
    for (const spec of this.specs) {
      await fill(this.#device, this.tensors.get(spec.name)!, (values) => write(spec, values));
    }
  }

  /** The values of a parameter, to be read only, and only until a program or the optimizer runs. */
  values(name: string): Promise<Float32Array> {
    return read(this.#device, this.tensors.get(name)!);
  }

  /** The same values in memory of their own. */
  copy(): DenseWeights {
    const copy = new DenseWeights(this.#device, this.specs);
    for (const { name, shape } of this.specs) {
      const [source, target] = [this.tensors.get(name)!, copy.tensors.get(name)!];
      const whole = { sourceStart: 0, sourceStride: 0, targetStart: 0, targetStride: 0, count: 1 };
      this.#device.copy({ source, target, ...whole, length: elementCount(shape) });
    }
    return copy;
  }

  /** Moves every value by `share` of the way to that of `other`, a policy of the same model. */
  async mix(other: DenseWeights, share: number): Promise<void> {
    await this.#device.kernels.mix([...this.tensors.values()], [...other.tensors.values()], share);
  }

  /** Refuses to write weights that no one could use. @throws CheckpointError naming the first parameter that diverged. */
  async requireFinite(): Promise<void> {
    for (const { name } of this.specs) {
      if ((await this.values(name)).every(Number.isFinite)) continue;
      throw new CheckpointError(
        `Cannot save: ${name} has values that are not finite. The model has diverged; use an earlier checkpoint.`,
      );
    }
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
  }
}

/** Writes the values of a parameter in the form in which it is held. */
export interface WriteModel {
  readonly float32: WriteParameter;
  readonly bfloat16: (parameter: ParameterSpec, values: Uint16Array) => void | Promise<void>;
  readonly nf4: (parameter: ParameterSpec, values: Nf4Values) => void | Promise<void>;
}

/** Every parameter of a model, in the form in which it is held. */
export class ModelWeights implements Weights {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  /** The parameters in f32: all of them, unless some are packed. */
  readonly dense: DenseWeights;
  readonly #packed: Scope;
  /** How many policies hold it. */
  #holders = 1;

  private constructor(dense: DenseWeights, packed: ReadonlyMap<string, DeviceTensor>, scope: Scope) {
    this.dense = dense;
    this.tensors = new Map([...dense.tensors, ...packed]);
    this.#packed = scope;
  }

  /** A model whose values `write` gives, in the order of its parameters. */
  static async from(device: Device, config: ModelConfig, form: WeightForm, write: WriteModel): Promise<ModelWeights> {
    const specs = parameterSpecs(config);
    const stored = new Map(specs.map((spec) => [spec, storageOf(spec, form.quantization)]));
    const dense = new DenseWeights(
      device,
      specs.filter((spec) => stored.get(spec) === "float32"),
    );
    const packed = new Map<string, DeviceTensor>();
    const scope = new Scope();
    const allocate = <D extends StoredDType>(name: string, dtype: D, dims: readonly number[]): DeviceTensor<D> => {
      const tensor = scope.hold(device.allocate(dtype, dims));
      packed.set(name, tensor);
      return tensor;
    };
    try {
      for (const spec of specs) {
        const { name, shape } = spec;
        switch (stored.get(spec)!) {
          case "float32":
            await fill(device, dense.tensors.get(name)!, (values) => write.float32(spec, values));
            break;
          case "bfloat16":
            await fill(device, allocate(name, "bfloat16", shape), (values) => write.bfloat16(spec, values));
            break;
          case "nf4": {
            const lengths = nf4Lengths(elementCount(shape));
            const codes = allocate(codesName(name), "uint8", [lengths.codes]);
            const scales = allocate(scalesName(name), "float32", [lengths.scales]);
            await fill(device, codes, (own) => fill(device, scales, (beside) => write.nf4(spec, nf4Of(own, beside))));
          }
        }
      }
      return new ModelWeights(dense, packed, scope);
    } catch (error) {
      scope.dispose();
      dense.dispose();
      throw error;
    }
  }

  /** The same weights for one more holder, who disposes of them, too. */
  shared(): ModelWeights {
    this.#holders++;
    return this;
  }

  /** Releases the memory where the last holder disposes of it. */
  dispose(): void {
    if (--this.#holders > 0) return;
    this.dense.dispose();
    this.#packed.dispose();
  }
}

const nf4Of = (codes: HostArrays["uint8"], scales: HostArrays["float32"]): Nf4Values => ({ codes, scales });

/** Gradients and Adam moments of the weights that are trained; made on first use, because sampling needs none. */
export class OptimizerState {
  readonly firstMoments: DenseWeights;
  readonly secondMoments: DenseWeights;
  /** AdamW steps taken. */
  steps = 0;
  /** Data that were trained on since the last step. */
  dataCount = 0;
  readonly #device: Device;
  readonly #specs: readonly ParameterSpec[];
  readonly #gradients: FloatTensors;
  readonly #parameters: readonly OptimizedTensor[];
  /** True while the gradients hold something. */
  #hasGradient = false;
  /** False where a loss whose gradient was added was not finite. */
  #lossIsFinite = true;
  /** Gradients of a micro-batch that are to be added; made for the first one that is not the first of its step. */
  #addends: FloatTensors | undefined;

  constructor(device: Device, { specs, tensors }: DenseWeights) {
    this.#device = device;
    this.#specs = specs;
    this.#gradients = zerosOf(device, specs);
    this.firstMoments = new DenseWeights(device, specs);
    this.secondMoments = new DenseWeights(device, specs);
    this.#parameters = specs.map(({ name, shape }) => ({
      values: tensors.get(name)!,
      gradient: this.#gradients.get(name)!,
      firstMoment: this.firstMoments.tensors.get(name)!,
      secondMoment: this.secondMoments.tensors.get(name)!,
      decays: shape.length > 1,
    }));
  }

  /** Where the gradients of the next micro-batch are to be written: the sum itself, while there is nothing in it. */
  get batchGradients(): FloatTensors {
    if (!this.#hasGradient) return this.#gradients;
    this.#addends ??= zerosOf(this.#device, this.#specs);
    return this.#addends;
  }

  /** Adds what was written into `batchGradients` to the sum. */
  async accumulate(): Promise<void> {
    if (this.#hasGradient) {
      await this.#device.kernels.add([...this.#gradients.values()], [...this.#addends!.values()]);
    }
    this.#hasGradient = true;
  }

  /** Takes note of a loss whose gradient was accumulated. */
  noteLoss(loss: number): void {
    this.#lossIsFinite &&= Number.isFinite(loss);
  }

  /**
   * One AdamW step on the accumulated gradient, which is used up by it; none where the loss or the norm is not finite.
   *
   * @throws EngineError where there is no gradient.
   */
  async step(params: AdamParams): Promise<OptimStepResult & { readonly gradNorm: number }> {
    if (!this.#hasGradient) throw new EngineError("optimStep needs a gradient: call forwardBackward first.");
    const lossIsFinite = this.#lossIsFinite;
    this.#hasGradient = false;
    this.dataCount = 0;
    this.#lossIsFinite = true;
    const { kernels } = this.#device;
    const gradNorm = await kernels.norm(this.#parameters.map(({ gradient }) => gradient));
    if (!lossIsFinite || !Number.isFinite(gradNorm)) return { gradNorm, applied: false };
    this.steps++;
    const isClipped = params.maxGradNorm > 0 && gradNorm > params.maxGradNorm;
    await kernels.adamW(this.#parameters, this.steps, isClipped ? params.maxGradNorm / gradNorm : 1, params);
    return { gradNorm, applied: true };
  }

  dispose(): void {
    for (const tensors of [this.#gradients, this.#addends]) {
      for (const tensor of tensors?.values() ?? []) tensor.dispose();
    }
    this.firstMoments.dispose();
    this.secondMoments.dispose();
  }
}
