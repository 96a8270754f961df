/**
 * AdamW (Loshchilov & Hutter, arXiv:1711.05101) with clipping by global norm, over plain arrays.
 *
 * The optimizer is memory-bound and a small part of a step, so the CPU device runs it here, on the tensors' own memory,
 * rather than as a graph: every element is read and written once.
 */

/** One parameter and what is kept for it; all of one length, f32. */
export interface OptimizedParameter {
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  /** Decoupled decay applies: true for matrices, false for gains and biases. */
  readonly decays: boolean;
}

export interface AdamWOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

/** √Σ g² over all parameters, summed in f64. */
export function globalNorm(parameters: readonly Pick<OptimizedParameter, "gradient">[]): number {
  let total = 0;
  for (const { gradient } of parameters) {
    let sum = 0;
    for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * gradient[i]!;
    total += sum;
  }
  return Math.sqrt(total);
}

/**
 * Step number `step` (from 1) with gradients times `gradientScale`:
 * m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; w ← w − lr·(m̂/(√v̂ + ε) + decay·w), m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).
 */
export function adamWStep(
  parameters: readonly OptimizedParameter[],
  step: number,
  gradientScale: number,
  options: AdamWOptions,
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay } = options;
  const correction1 = 1 / (1 - beta1 ** step);
  const correction2 = 1 / (1 - beta2 ** step);
  for (const { values, gradient, firstMoment, secondMoment, decays } of parameters) {
    const decay = decays ? weightDecay : 0;
    for (let i = 0; i < values.length; i++) {
      const g = gradient[i]! * gradientScale;
      const m = beta1 * firstMoment[i]! + (1 - beta1) * g;
      const v = beta2 * secondMoment[i]! + (1 - beta2) * g * g;
      firstMoment[i] = m;
      secondMoment[i] = v;
      const update = (m * correction1) / (Math.sqrt(v * correction2) + epsilon);
      values[i] = values[i]! - learningRate * (update + decay * values[i]!);
    }
  }
}
