/**
 * Which learning rates are usual. Published full fine-tuning of pretrained models by reinforcement learning takes 1e-7
 * to 1e-5 (Mini-R1 5e-7, TinyZero and TRL's default 1e-6), by SFT 1e-6 to 1e-4. LoRA's best rate is about ten times the
 * whole model's (Schulman et al., "LoRA Without Regret", Thinking Machines 2025). Below half a billion parameters rates
 * grow here as the inverse square root of the size: a rule of our own, which joins those numbers to the rates of Aha's
 * small recipes (docs/log.md). SFT of random weights is pretraining: 0.003239 − 0.0001395 ln N, the rule of thumb of
 * Kaplan et al. (arXiv:2001.08361, appendix D.6, eq. D.1). There N is without embeddings, here with them, and the rule
 * ends at 10¹⁰, where its value is zero: hence the floor. Only the order of magnitude is used.
 *
 * These are usual values, not rules, so only rates far outside are a finding.
 */

/** What the usual rate depends on. */
export interface RateCircumstances {
  readonly method: "supervised" | "reinforcement";
  readonly parameters: number;
  /** Nothing has trained them yet. */
  readonly random: boolean;
  readonly adapter: boolean;
}

const FULL = { reinforcement: [1e-7, 1e-5], supervised: [1e-6, 1e-4] } as const;
const LORA_FACTOR = 10;
const REFERENCE_SIZE = 5e8;
const LEAST_PRETRAINING_PEAK = 1e-4;
/** Rates beyond the usual by more than this are "far outside". */
export const FAR_FACTOR = 3;
/** With a rate above the usual by more than this factor, a run diverges in its first steps. */
export const DESTRUCTIVE_FACTOR = 100;

/** The lowest and highest usual peak learning rate. */
export function usualLearningRates({ method, parameters, random, adapter }: RateCircumstances): [number, number] {
  if (method === "supervised" && random && !adapter) {
    const peak = Math.max(LEAST_PRETRAINING_PEAK, 0.003239 - 0.0001395 * Math.log(parameters));
    return [peak / 30, 3 * peak];
  }
  const factor = (adapter ? LORA_FACTOR : 1) * Math.max(1, Math.sqrt(REFERENCE_SIZE / parameters));
  const [low, high] = FULL[method];
  return [low * factor, high * factor];
}
