/**
 * The parameters of one policy in memory that ONNX Runtime reads in place, and what training keeps beside them.
 */

import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import type { OptimizedParameter } from "../../optim/adamw.ts";
import { allocate, type DeviceTensor, type Runtime, type TensorData } from "../../runtime/runtime.ts";

/** Memory for a parameter's values, as ONNX Runtime needs it. */
export function allocateFloats(length: number): Float32Array {
  return allocate("float32", length) as Float32Array;
}

/** The weights of a policy, as tensors by parameter name. */
export class Weights {
  readonly specs: readonly ParameterSpec[];
  readonly tensors: ReadonlyMap<string, DeviceTensor>;

  /** `values` must come from `allocateFloats`; they are used in place. */
  constructor(runtime: Runtime, config: ModelConfig, values: ParameterValues) {
    this.specs = parameterSpecs(config);
    this.tensors = new Map(
      this.specs.map(({ name, shape }) => [name, runtime.view("float32", shape, values.get(name) as TensorData)]),
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
  copy(runtime: Runtime, config: ModelConfig): Weights {
    const values: ParameterValues = new Map();
    for (const { name, shape } of this.specs) {
      const target = allocateFloats(elementCount(shape));
      target.set(this.values(name));
      values.set(name, target);
    }
    return new Weights(runtime, config, values);
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
  }
}

/** Gradients and Adam moments; allocated on first use, because a policy that only samples needs none. */
export class OptimizerState {
  /** Accumulated gradients, by parameter name. */
  readonly gradients: ReadonlyMap<string, DeviceTensor>;
  /** Gradients of the running micro-batch. */
  readonly batchGradients: ReadonlyMap<string, DeviceTensor>;
  readonly parameters: readonly OptimizedParameter[];
  readonly firstMoments: ParameterValues = new Map();
  readonly secondMoments: ParameterValues = new Map();
  /** AdamW steps taken. */
  steps = 0;
  /** True while `gradients` hold something. */
  hasGradient = false;
  /** False where a loss whose gradient is in `gradients` was not finite. */
  lossIsFinite = true;

  constructor(runtime: Runtime, weights: Weights) {
    const zeros = () => new Map(weights.specs.map(({ name, shape }) => [name, runtime.zeros("float32", shape)]));
    this.gradients = zeros();
    this.batchGradients = zeros();
    this.parameters = weights.specs.map(({ name, shape }) => {
      const firstMoment = new Float32Array(elementCount(shape));
      const secondMoment = new Float32Array(elementCount(shape));
      this.firstMoments.set(name, firstMoment);
      this.secondMoments.set(name, secondMoment);
      const gradient = this.gradients.get(name)!.data as Float32Array;
      return { values: weights.values(name), gradient, firstMoment, secondMoment, decays: shape.length > 1 };
    });
  }

  /** Adds `batchGradients` to `gradients`. */
  accumulate(): void {
    for (const [name, tensor] of this.gradients) {
      const sum = tensor.data as Float32Array;
      const addend = this.batchGradients.get(name)!.data as Float32Array;
      if (this.hasGradient) for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + addend[i]!;
      else sum.set(addend);
    }
    this.hasGradient = true;
  }

  dispose(): void {
    for (const tensors of [this.gradients, this.batchGradients]) {
      for (const tensor of tensors.values()) tensor.dispose();
    }
  }
}
