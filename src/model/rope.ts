/**
 * RoPE's frequencies, plain and scaled for contexts longer than those of pretraining.
 *
 * Plain (arXiv:2104.09864, §3.2): fᵢ = θ^(−2i/D) for i = 0 … D/2 − 1. The scalings change fᵢ once and for all, whatever the
 * length of a sequence; those that depend on it (dynamic NTK, LongRoPE) are not here, and `hf-rope.ts` refuses them.
 *
 * Every operation rounds to f32 in the order of transformers' code, which computes them in f32: at position 100,000 one
 * unit in the last place of a frequency turns an angle by 0.006.
 */

import type { ModelConfig, RopeScaling } from "./model-config.ts";

const f32 = Math.fround;

/**
 * Radians per position for each pair of a head's numbers, f32 [D/2], and the factor on cosine and sine (1 except for
 * YaRN).
 */
export function rotaryFrequencies(config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">): {
  frequencies: Float32Array;
  attentionFactor: number;
} {
  const { headDim, ropeTheta, ropeScaling } = config;
  const powers = Float32Array.from({ length: headDim / 2 }, (_, i) => ropeTheta ** f32((2 * i) / headDim));
  switch (ropeScaling?.type) {
    case undefined:
      return { frequencies: powers.map((power) => 1 / power), attentionFactor: 1 };
    case "linear":
      return { frequencies: powers.map((power) => f32(1 / power) / ropeScaling.factor), attentionFactor: 1 };
    case "llama3":
      return { frequencies: powers.map((power) => llama3(f32(1 / power), ropeScaling)), attentionFactor: 1 };
    case "yarn": {
      const [low, high] = yarnRamp(headDim, ropeTheta, ropeScaling);
      const frequencies = powers.map((power, i) => yarn(power, i, low, high, ropeScaling.factor));
      return { frequencies, attentionFactor: f32(ropeScaling.attentionFactor) };
    }
  }
}

/**
 * Llama 3.1 (arXiv:2407.21783; the rule is that of Meta's code): frequencies that turn fewer than `lowFrequencyFactor`
 * times in the original context are divided by `factor`, those that turn more than `highFrequencyFactor` times stay, and
 * between the two the result is interpolated by the number of turns.
 */
function llama3(frequency: number, scaling: Extract<RopeScaling, { type: "llama3" }>): number {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextTokens } = scaling;
  const wavelength = f32((2 * Math.PI) / frequency);
  if (wavelength < f32(originalContextTokens / high)) return frequency;
  if (wavelength > f32(originalContextTokens / low)) return frequency / factor;
  const smooth = f32(f32(f32(originalContextTokens / wavelength) - low) / (high - low));
  return f32(f32(f32(1 - smooth) * frequency) / factor) + f32(smooth * frequency);
}

/**
 * YaRN's "NTK-by-parts" (arXiv:2309.00071, §3.2): dimension i keeps its frequency up to `low`, has it divided by `factor`
 * from `high` on, and a mixture of both in between.
 */
function yarn(power: number, i: number, low: number, high: number, factor: number): number {
  const ramp = Math.min(1, Math.max(0, f32(f32(i - f32(low)) / f32(high - low))));
  const kept = f32(1 - ramp);
  const interpolated = f32(1 / f32(factor * power));
  return f32(interpolated * f32(1 - kept)) + f32(f32(1 / power) * kept);
}

/** The dimensions that turn `betaFast` and `betaSlow` times in the original context (ibid., equation 17's inverse). */
function yarnRamp(
  headDim: number,
  theta: number,
  scaling: Extract<RopeScaling, { type: "yarn" }>,
): [low: number, high: number] {
  const dimensionOf = (turns: number) =>
    (headDim * Math.log(scaling.originalContextTokens / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [fast, slow] = [dimensionOf(scaling.betaFast), dimensionOf(scaling.betaSlow)];
  const low = Math.max(scaling.truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(scaling.truncate ? Math.ceil(slow) : slow, headDim - 1);
  // A ramp of no length would divide by zero.
  return [low, low === high ? high + 0.001 : high];
}
