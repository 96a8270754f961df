/** The weights of the reference engine, and AdamW on them in plain JavaScript. */

import type { AdamParams } from "../../src/engine/contract/policy.ts";

/** A weight matrix or vector with its gradient and AdamW moments. */
export interface Parameter {
  readonly weights: Float32Array;
  readonly gradient: Float64Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  /** AdamW leaves one-dimensional parameters undecayed. */
  readonly decays: boolean;
}

export function newParameter(weights: Float32Array, decays: boolean): Parameter {
  return {
    weights,
    gradient: new Float64Array(weights.length),
    firstMoment: new Float32Array(weights.length),
    secondMoment: new Float32Array(weights.length),
    decays,
  };
}

/** AdamW with decoupled decay (Loshchilov & Hutter, arXiv:1711.05101) on the clipped gradient. */
export function adamStep(parameter: Parameter, clip: number, stepCount: number, params: AdamParams): void {
  const { weights, gradient, firstMoment, secondMoment } = parameter;
  const { learningRate, beta1, beta2, epsilon } = params;
  const decay = parameter.decays ? 1 - learningRate * params.weightDecay : 1;
  for (let i = 0; i < weights.length; i++) {
    const slope = gradient[i]! * clip;
    firstMoment[i] = beta1 * firstMoment[i]! + (1 - beta1) * slope;
    secondMoment[i] = beta2 * secondMoment[i]! + (1 - beta2) * slope * slope;
    const direction = firstMoment[i]! / (1 - beta1 ** stepCount);
    const scale = Math.sqrt(secondMoment[i]! / (1 - beta2 ** stepCount)) + epsilon;
    weights[i] = decay * weights[i]! - (learningRate * direction) / scale;
  }
}
