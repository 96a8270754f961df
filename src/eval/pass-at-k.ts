/** pass@k: the chance that at least one of k samples solves a problem. */

/**
 * The unbiased estimate 1 − C(n − c, k) / C(n, k) from n samples of which c solve the problem, as a product that never
 * forms a binomial (Chen et al., arXiv:2107.03374, §2.1).
 *
 * @throws RangeError where k is not in 1 … n or c not in 0 … n.
 */
export function passAtK(samples: number, solved: number, k: number): number {
  if (!(k >= 1 && k <= samples)) throw new RangeError(`pass@${k} needs between 1 and ${samples} samples`);
  if (!(solved >= 0 && solved <= samples)) throw new RangeError(`${solved} of ${samples} samples cannot be solved`);
  if (samples - solved < k) return 1;
  let allFail = 1;
  for (let i = samples - solved + 1; i <= samples; i++) allFail *= 1 - k / i;
  return 1 - allFail;
}

/** The k of 2, 4, 8, … up to the number of samples: those that an evaluation reports (pass@1 is the solve rate). */
export function reportedKs(samples: number): number[] {
  const ks: number[] = [];
  for (let k = 2; k <= samples; k *= 2) ks.push(k);
  return ks;
}
