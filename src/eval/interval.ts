/** Confidence intervals of a share. */

/** Standard normal quantile for 95 %, two-sided. */
const Z_95 = 1.959963984540054;

/**
 * The 95 % Wilson score interval (Wilson, JASA 22, 1927) of a share observed in `trials` independent trials. Unlike the
 * normal approximation it stays within [0, 1] and is sensible at 0 and 1. [0, 1] where there were no trials.
 */
export function wilsonInterval(share: number, trials: number): [number, number] {
  if (trials === 0) return [0, 1];
  const z2 = Z_95 ** 2 / trials;
  const centre = (share + z2 / 2) / (1 + z2);
  const half = Math.sqrt(z2 * share * (1 - share) + z2 ** 2 / 4) / (1 + z2);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
