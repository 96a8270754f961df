/**
 * Weights on a device, and what training keeps beside them.
 *
 * Each number is held once: programs read these tensors, the optimizer writes them. Frozen weights (the base of an adapter)
 * have no gradient and no moments, and may be packed in 4 bits. Where the trunk computes in 16 bits, projections that are
 * trained are held twice: programs read the ones in 16 bits, and the optimizer writes those in float32, of which the former
 * are rounded after each change.
 */

import type {
  Device,
  DeviceTensor,
  HostArrays,
  Kernels,
  OptimizedTensor,
  StoredDType,
  TensorUse,
} from "../../compute/device.ts";
import { fill, read } from "../../compute/host-memory.ts";
import { Scope } from "../../compute/scope.ts";
import { CheckpointError, EngineError } from "../../errors.ts";
import { type FloatDType, type HalfDType, isHalf } from "../../graph/tensor-type.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec, parameterSpecs } from "../../model/parameters.ts";
import { codesName, type Nf4Values, nf4Lengths, scalesName, storageOf } from "../../model/quantization.ts";
import type { AdamParams, OptimStepResult } from "../contract/policy.ts";
import { LossScale } from "./loss-scale.ts";
import type { PendingResults } from "./pending-results.ts";

/** What a program reads as its parameters: tensors by the names of its inputs. */
export interface Weights {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
}

type FloatTensors = ReadonlyMap<string, DeviceTensor<"float32">>;

/** Writes the f32 values of a parameter into memory that is given. */
export type WriteParameter = (parameter: ParameterSpec, values: Float32Array) => void | Promise<void>;

/** A tensor of zeros for each parameter, by name. */
function zerosOf(device: Device, specs: readonly ParameterSpec[], use: TensorUse): FloatTensors {
  return new Map(specs.map(({ name, shape }) => [name, device.allocate("float32", shape, use)]));
}

/** Dtype in which programs read a parameter. */
export type DTypeOf = (spec: ParameterSpec) => FloatDType;

const TRAINING: TensorUse = "gradients and moments";

const allFloat32: DTypeOf = () => "float32";

/** Parameters in f32, by name; those that programs read in 16 bits also so. */
export class DenseWeights implements Weights {
  readonly specs: readonly ParameterSpec[];
  /** The numbers themselves. */
  readonly masters: FloatTensors;
  /** What programs read: the same tensors, or rounded ones. */
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  readonly #device: Device;
  readonly #dtypeOf: DTypeOf;
  readonly #rounded: ReadonlyMap<string, DeviceTensor<HalfDType>>;

  /** All of them zero. */
  constructor(
    device: Device,
    specs: readonly ParameterSpec[],
    dtypeOf: DTypeOf = allFloat32,
    use: TensorUse = "weights",
  ) {
    this.#device = device;
    this.#dtypeOf = dtypeOf;
    this.specs = specs;
    this.masters = zerosOf(device, specs, use);
    this.#rounded = new Map(
      specs.flatMap((spec) => {
        const dtype = dtypeOf(spec);
        return isHalf(dtype) ? [[spec.name, device.allocate(dtype, spec.shape, use)] as const] : [];
      }),
    );
    this.tensors = new Map<string, DeviceTensor>([...this.masters, ...this.#rounded]);
  }

  /** Parameters with values that `write` gives, one after another. */
  static async from(
    device: Device,
    specs: readonly ParameterSpec[],
    write: WriteParameter,
    dtypeOf: DTypeOf = allFloat32,
  ): Promise<DenseWeights> {
    const weights = new DenseWeights(device, specs, dtypeOf);
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
      await fill(this.#device, this.masters.get(spec.name)!, (values) => write(spec, values));
    }
    await this.changed();
  }

  /** To be called when the numbers were written: what programs read in 16 bits is rounded anew. */
  async changed(): Promise<void> {
    if (this.#rounded.size === 0) return;
    const sources = [...this.#rounded.keys()].map((name) => this.masters.get(name)!);
    await this.#device.kernels.round(sources, [...this.#rounded.values()]);
  }

  /** The values of a parameter, to be read only, and only until a program or the optimizer runs. */
  values(name: string): Promise<Float32Array> {
    return read(this.#device, this.masters.get(name)!);
  }

  /** The same values in memory of their own. */
  copy(): DenseWeights {
    const copy = new DenseWeights(this.#device, this.specs, this.#dtypeOf);
    const whole = { sourceStart: 0, sourceStride: 0, targetStart: 0, targetStride: 0, count: 1 };
    const copyAll = (sources: ReadonlyMap<string, DeviceTensor>, targets: ReadonlyMap<string, DeviceTensor>) => {
      for (const [name, source] of sources) {
        this.#device.copy({ source, target: targets.get(name)!, ...whole, length: elementCount(source.dims) });
      }
    };
    copyAll(this.masters, copy.masters);
    copyAll(this.#rounded, copy.#rounded);
    return copy;
  }

  /** Moves every value by `share` of the way to that of `other`, a policy of the same model. */
  async mix(other: DenseWeights, share: number): Promise<void> {
    await this.#device.kernels.mix([...this.masters.values()], [...other.masters.values()], share);
    await this.changed();
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
    for (const tensors of [this.masters, this.#rounded]) for (const tensor of tensors.values()) tensor.dispose();
  }
}

/** Writes the values of a parameter in the form in which it is held. */
export interface WriteModel {
  readonly float32: WriteParameter;
  readonly half: (parameter: ParameterSpec, values: Uint16Array, dtype: HalfDType) => void | Promise<void>;
  readonly nf4: (parameter: ParameterSpec, values: Nf4Values) => void | Promise<void>;
}

/** Every parameter of a model, in the form in which it is held. */
export class ModelWeights implements Weights {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  /** The parameters in f32: all of them, unless some are packed, or frozen in 16 bits. */
  readonly dense: DenseWeights;
  readonly #packed: Scope;
  /** How many policies hold it. */
  #holders = 1;

  private constructor(dense: DenseWeights, packed: ReadonlyMap<string, DeviceTensor>, scope: Scope) {
    this.dense = dense;
    this.tensors = new Map([...dense.tensors, ...packed]);
    this.#packed = scope;
  }

  /**
   * A model whose values `write` gives, in the order of its parameters. What is `frozen`, as the base of an adapter is, is
   * held in 16 bits alone where programs read it so.
   */
  static async from(
    device: Device,
    config: ModelConfig,
    form: WeightForm,
    write: WriteModel,
    { frozen = form.lora !== undefined }: { readonly frozen?: boolean } = {},
  ): Promise<ModelWeights> {
    const specs = parameterSpecs(config);
    const read = new Map(specs.map((spec) => [spec, storageOf(spec, form)]));
    const isTrained = !frozen && form.quantization === undefined;
    const stored = new Map(specs.map((spec) => [spec, isTrained ? "float32" : read.get(spec)!]));
    const dense = new DenseWeights(
      device,
      specs.filter((spec) => stored.get(spec) === "float32"),
      (spec) => read.get(spec) as FloatDType,
    );
    const packed = new Map<string, DeviceTensor>();
    const scope = new Scope();
    const allocate = <D extends StoredDType>(name: string, dtype: D, dims: readonly number[]): DeviceTensor<D> => {
      const tensor = scope.hold(device.allocate(dtype, dims, "weights"));
      packed.set(name, tensor);
      return tensor;
    };
    try {
      for (const spec of specs) {
        const { name, shape } = spec;
        switch (stored.get(spec)!) {
          case "float32":
            await fill(device, dense.masters.get(name)!, (values) => write.float32(spec, values));
            break;
          case "bfloat16":
          case "float16": {
            const dtype = stored.get(spec) as HalfDType;
            await fill(device, allocate(name, dtype, shape), (values) => write.half(spec, values, dtype));
            break;
          }
          case "nf4": {
            const lengths = nf4Lengths(elementCount(shape));
            const codes = allocate(codesName(name), "uint8", [lengths.codes]);
            const scales = allocate(scalesName(name), "float32", [lengths.scales]);
            await fill(device, codes, (own) => fill(device, scales, (beside) => write.nf4(spec, nf4Of(own, beside))));
          }
        }
      }
      await dense.changed();
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

interface WithLoss {
  readonly loss: number;
}

type StepOutcome = OptimStepResult & { readonly gradNorm: number };

/** Gradients and Adam moments of the weights that are trained; made on first use, because sampling needs none. */
export class OptimizerState {
  readonly firstMoments: DenseWeights;
  readonly secondMoments: DenseWeights;
  /** AdamW steps taken. */
  steps = 0;
  /** Data that were trained on since the last step. */
  dataCount = 0;
  /** What the next gradients are multiplied by, where they are computed in float16. */
  lossScale: LossScale | undefined;
  readonly #device: Device;
  readonly #weights: DenseWeights;
  readonly #specs: readonly ParameterSpec[];
  readonly #gradients: FloatTensors;
  readonly #parameters: readonly OptimizedTensor[];
  /** True while the gradients hold something. */
  #hasGradient = false;
  /** False where a loss whose gradient was added was not finite. */
  #lossIsFinite = true;
  /** Gradients of a micro-batch that are to be added; made for the first one that is not the first of its step. */
  #addends: FloatTensors | undefined;

  constructor(device: Device, weights: DenseWeights, { scalesLoss = false }: { readonly scalesLoss?: boolean } = {}) {
    const { specs, masters } = weights;
    this.#device = device;
    this.#weights = weights;
    this.#specs = specs;
    this.lossScale = scalesLoss ? new LossScale() : undefined;
    this.#gradients = zerosOf(device, specs, TRAINING);
    this.firstMoments = new DenseWeights(device, specs, allFloat32, TRAINING);
    this.secondMoments = new DenseWeights(device, specs, allFloat32, TRAINING);
    this.#parameters = specs.map(({ name, shape }) => ({
      values: masters.get(name)!,
      gradient: this.#gradients.get(name)!,
      firstMoment: this.firstMoments.masters.get(name)!,
      secondMoment: this.secondMoments.masters.get(name)!,
      decays: shape.length > 1,
    }));
  }

  /** Where the gradients of the next micro-batch are to be written: the sum itself, while there is nothing in it. */
  get batchGradients(): FloatTensors {
    if (!this.#hasGradient) return this.#gradients;
    this.#addends ??= zerosOf(this.#device, this.#specs, TRAINING);
    return this.#addends;
  }

  /** Adds what was written into `batchGradients` to the sum. */
  async accumulate(): Promise<void> {
    if (this.#hasGradient) {
      await this.#device.kernels.add([...this.#gradients.values()], [...this.#addends!.values()]);
    }
    this.#hasGradient = true;
  }

  /** Reads the results of a pass whose gradient was accumulated. */
  async resultsOf<T extends WithLoss>(pass: PendingResults<T>): Promise<T> {
    const results = await pass.read(this.#device.kernels);
    this.#noteLoss(results);
    return results;
  }

  /**
   * One AdamW step on the accumulated gradient, which is used up by it; none where the loss or the norm is not finite.
   *
   * @throws EngineError where there is no gradient.
   */
  async step(params: AdamParams): Promise<StepOutcome> {
    const lossIsFinite = this.#takeLoss();
    return this.#update((await this.#takeNorm([])).norm, { ...params, lossIsFinite });
  }

  /** The same after a pass whose results were not read yet: they come with the norm, in the one transfer of a step. */
  async stepAfter<T extends WithLoss>(pass: PendingResults<T>, params: AdamParams): Promise<T & StepOutcome> {
    const before = this.#takeLoss();
    try {
      const { norm, others } = await this.#takeNorm(pass.tensors);
      const results = pass.from(others);
      const lossIsFinite = before && Number.isFinite(results.loss);
      return { ...results, ...(await this.#update(norm, { ...params, lossIsFinite })) };
    } finally {
      pass.dispose();
    }
  }

  #noteLoss({ loss }: WithLoss): void {
    this.#lossIsFinite &&= Number.isFinite(loss);
  }

  /** Whether the loss of every pass since the last step was finite. The next step begins anew, also where this one fails. */
  #takeLoss(): boolean {
    const lossIsFinite = this.#lossIsFinite;
    this.#lossIsFinite = true;
    return lossIsFinite;
  }

  /** The norm of the gradient, which is used up, and the numbers of `others`. */
  #takeNorm(others: readonly DeviceTensor<"float32">[]): ReturnType<Kernels["norm"]> {
    if (!this.#hasGradient) throw new EngineError("optimStep needs a gradient: call forwardBackward first.");
    this.#hasGradient = false;
    this.dataCount = 0;
    return this.#device.kernels.norm(
      this.#parameters.map(({ gradient }) => gradient),
      others,
    );
  }

  /** The step on a gradient of this norm, as it was computed. */
  async #update(
    norm: number,
    { lossIsFinite, ...params }: AdamParams & { readonly lossIsFinite: boolean },
  ): Promise<StepOutcome> {
    const { kernels } = this.#device;
    const scale = this.lossScale?.value ?? 1;
    const scaled = this.lossScale && { lossScale: scale };
    const gradNorm = norm / scale;
    if (!lossIsFinite || !Number.isFinite(gradNorm)) {
      if (lossIsFinite) this.lossScale?.overflowed();
      return { gradNorm, applied: false, ...scaled };
    }
    this.steps++;
    const isClipped = params.maxGradNorm > 0 && gradNorm > params.maxGradNorm;
    const clipping = isClipped ? params.maxGradNorm / gradNorm : 1;
    await kernels.adamW(this.#parameters, this.steps, clipping / scale, params);
    await this.#weights.changed();
    this.lossScale?.stepTaken();
    return { gradNorm, applied: true, ...scaled };
  }

  dispose(): void {
    for (const tensors of [this.#gradients, this.#addends]) {
      for (const tensor of tensors?.values() ?? []) tensor.dispose();
    }
    this.firstMoments.dispose();
    this.secondMoments.dispose();
  }
}
