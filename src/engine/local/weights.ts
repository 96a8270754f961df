/**
 * Weights in memory that ONNX Runtime reads in place, and what training keeps beside them.
 *
 * Each number is held once: programs read this memory, the optimizer writes it. Frozen weights (the base of an adapter)
 * have no gradient and no moments, and may be packed in 4 bits.
 */

import { allocate, type DeviceTensor, type Runtime, type TensorData } from "../../compute/runtime.ts";
import { CheckpointError, EngineError } from "../../errors.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import {
  codesName,
  type Nf4Values,
  nf4Lengths,
  type Storage,
  scalesName,
  storageOf,
} from "../../model/quantization.ts";
import { adamWStep, globalNorm, type OptimizedParameter } from "../../optim/adamw.ts";
import type { AdamParams, OptimStepResult } from "../contract/policy.ts";

/** Refuses to write weights that no one could use. `what` has diverged. @throws CheckpointError naming the first such one. */
export function requireFinite(values: ParameterValues, what: "policy" | "model"): void {
  for (const [name, numbers] of values) {
    if (numbers.every(Number.isFinite)) continue;
    throw new CheckpointError(
      `Cannot save: ${name} has values that are not finite. The ${what} has diverged; use an earlier checkpoint.`,
    );
  }
}

/** Memory for a parameter's values, as ONNX Runtime needs it. */
export function allocateFloats(length: number): Float32Array {
  return allocate("float32", length) as Float32Array;
}

/** Memory for a packed matrix of so many elements, as ONNX Runtime needs it. */
export function allocateNf4(elements: number): Nf4Values {
  const lengths = nf4Lengths(elements);
  return { codes: allocate("uint8", lengths.codes) as Uint8Array, scales: allocateFloats(lengths.scales) };
}

/** What a program reads as its parameters: tensors by the names of its inputs. */
export interface Weights {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
}

/** Parameters in f32, by name. */
export class DenseWeights implements Weights {
  readonly specs: readonly ParameterSpec[];
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  readonly #runtime: Runtime;

  /** `values` must come from `allocateFloats`; they are used in place. */
  constructor(runtime: Runtime, specs: readonly ParameterSpec[], values: ParameterValues) {
    this.#runtime = runtime;
    this.specs = specs;
    this.tensors = new Map(
      specs.map(({ name, shape }) => [name, runtime.view("float32", shape, values.get(name) as TensorData)]),
    );
  }

  values(name: string): Float32Array {
    return this.tensors.get(name)!.data as Float32Array;
  }

  /** All values by name: the memory itself, not a copy. */
  all(): ParameterValues {
    return new Map(this.specs.map(({ name }) => [name, this.values(name)]));
  }

  /** The same values in memory of their own. */
  copy(): DenseWeights {
    const values: ParameterValues = new Map();
    for (const { name, shape } of this.specs) {
      const target = allocateFloats(elementCount(shape));
      target.set(this.values(name));
      values.set(name, target);
    }
    return new DenseWeights(this.#runtime, this.specs, values);
  }

  /** Moves every value by `share` of the way to that of `other`, a policy of the same model. */
  mix(other: DenseWeights, share: number): void {
    for (const { name } of this.specs) {
      const own = this.values(name);
      const target = other.values(name);
      for (let i = 0; i < own.length; i++) own[i] = (1 - share) * own[i]! + share * target[i]!;
    }
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
  }
}

/** Memory for so many bfloat16 numbers, as ONNX Runtime needs it. */
export function allocateBfloat16(length: number): Uint16Array {
  return allocate("bfloat16", length) as Uint16Array;
}

/** The values of a model by parameter name, each as `storageOf` says. */
export interface ModelValues {
  readonly float32: ParameterValues;
  readonly bfloat16: ReadonlyMap<string, Uint16Array>;
  readonly nf4: ReadonlyMap<string, Nf4Values>;
}

/** Every parameter of a model, in the form in which it is held. */
export class ModelWeights implements Weights {
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  /** The parameters in f32: all of them, unless some are packed. */
  readonly dense: DenseWeights;
  readonly #packed = new Map<string, DeviceTensor>();

  /** Memory must come from the functions above; it is used in place. */
  constructor(runtime: Runtime, config: ModelConfig, form: WeightForm, values: ModelValues) {
    const specs = parameterSpecs(config);
    const held = (storage: Storage) => specs.filter((spec) => storageOf(spec, form.quantization) === storage);
    this.dense = new DenseWeights(runtime, held("float32"), values.float32);
    for (const { name, shape } of held("bfloat16")) {
      this.#packed.set(name, runtime.view("bfloat16", shape, values.bfloat16.get(name)!));
    }
    for (const { name } of held("nf4")) {
      const { codes, scales } = values.nf4.get(name)!;
      this.#packed.set(codesName(name), runtime.view("uint8", [codes.length], codes));
      this.#packed.set(scalesName(name), runtime.view("float32", [scales.length], scales));
    }
    this.tensors = new Map([...this.dense.tensors, ...this.#packed]);
  }

  dispose(): void {
    this.dense.dispose();
    for (const tensor of this.#packed.values()) tensor.dispose();
  }
}

/** Gradients and Adam moments of the weights that are trained; made on first use, because sampling needs none. */
export class OptimizerState {
  /** Accumulated gradients, by parameter name. */
  readonly gradients: ReadonlyMap<string, DeviceTensor>;
  readonly parameters: readonly OptimizedParameter[];
  readonly firstMoments: ParameterValues = new Map();
  readonly secondMoments: ParameterValues = new Map();
  /** AdamW steps taken. */
  steps = 0;
  /** True while `gradients` hold something. */
  hasGradient = false;
  /** Data that were trained on since the last step. */
  dataCount = 0;
  /** False where a loss whose gradient is in `gradients` was not finite. */
  lossIsFinite = true;
  readonly #zeros: () => ReadonlyMap<string, DeviceTensor>;
  /** Gradients of a micro-batch that are to be added; made for the first one that is not the first of its step. */
  #addends: ReadonlyMap<string, DeviceTensor> | undefined;

  constructor(runtime: Runtime, weights: DenseWeights) {
    this.#zeros = () => new Map(weights.specs.map(({ name, shape }) => [name, runtime.zeros("float32", shape)]));
    this.gradients = this.#zeros();
    this.parameters = weights.specs.map(({ name, shape }) => {
      const firstMoment = new Float32Array(elementCount(shape));
      const secondMoment = new Float32Array(elementCount(shape));
      this.firstMoments.set(name, firstMoment);
      this.secondMoments.set(name, secondMoment);
      const gradient = this.gradients.get(name)!.data as Float32Array;
      return { values: weights.values(name), gradient, firstMoment, secondMoment, decays: shape.length > 1 };
    });
  }

  /** Where the gradients of the next micro-batch are to be written: `gradients` itself, while there is nothing in it. */
  get batchGradients(): ReadonlyMap<string, DeviceTensor> {
    if (!this.hasGradient) return this.gradients;
    this.#addends ??= this.#zeros();
    return this.#addends;
  }

  /** Adds what was written into `batchGradients` to `gradients`. */
  accumulate(): void {
    if (this.hasGradient) {
      for (const [name, tensor] of this.gradients) {
        const sum = tensor.data as Float32Array;
        const addend = this.batchGradients.get(name)!.data as Float32Array;
        for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + addend[i]!;
      }
    }
    this.hasGradient = true;
  }

  /** What a state keeps of it, beside `steps`. */
  get moments(): { readonly firstMoments: ParameterValues; readonly secondMoments: ParameterValues } {
    return { firstMoments: this.firstMoments, secondMoments: this.secondMoments };
  }

  /**
   * One AdamW step on what `gradients` hold, which are used up by it; none where the loss or the norm is not finite.
   *
   * @throws EngineError where they hold nothing.
   */
  step(params: AdamParams): OptimStepResult {
    if (!this.hasGradient) throw new EngineError("optimStep needs a gradient: call forwardBackward first.");
    const { lossIsFinite } = this;
    this.hasGradient = false;
    this.dataCount = 0;
    this.lossIsFinite = true;
    const gradNorm = globalNorm(this.parameters);
    if (!lossIsFinite || !Number.isFinite(gradNorm)) return { gradNorm, applied: false };
    this.steps++;
    const clipped = params.maxGradNorm > 0 && gradNorm > params.maxGradNorm;
    adamWStep(this.parameters, this.steps, clipped ? params.maxGradNorm / gradNorm : 1, params);
    return { gradNorm, applied: true };
  }

  dispose(): void {
    for (const tensors of [this.gradients, this.#addends]) {
      for (const tensor of tensors?.values() ?? []) tensor.dispose();
    }
  }
}
