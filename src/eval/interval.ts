/**
 * 95 % confidence intervals of means over problems.
 *
 * Several completions of one problem are not independent: they succeed and fail together. So the unit that varies is the
 * problem (a *cluster*), and a mean over all completions is the ratio of two sums over problems, whose variance is that of
 * a ratio estimator (Cochran, Sampling Techniques, 3rd ed., §2.11; Miller, arXiv:2411.00640, §2.2, for evaluations).
 */

/** Standard normal quantile for 95 %, two-sided. */
const Z_95 = 1.959963984540054;

/** What one problem adds to a mean: its sum over the things that were counted, and their number. */
export interface Cluster {
  readonly sum: number;
  readonly count: number;
}

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

/** Σ sum / Σ count; undefined where nothing was counted. */
export function ratioOf(clusters: readonly Cluster[]): number | undefined {
  const count = clusters.reduce((total, cluster) => total + cluster.count, 0);
  return count === 0 ? undefined : clusters.reduce((total, cluster) => total + cluster.sum, 0) / count;
}

/**
 * The 95 % interval of a share (every counted thing is in [0, 1]) over problems: Wilson's, with the number of independent
 * trials that has the variance of the clusters, n* = p(1 − p)/v (Korn and Graubard, Survey Methodology 24, 1998, who do so
 * for another interval). n* is at least the number of problems and at most that of counted things. With one completion for
 * each problem that is Wilson's interval; where all agree, so that v = 0, that of as many trials as problems.
 */
export function shareInterval(clusters: readonly Cluster[]): [number, number] | undefined {
  const share = ratioOf(clusters);
  if (share === undefined) return undefined;
  const count = clusters.reduce((total, cluster) => total + cluster.count, 0);
  const problems = clusters.filter((cluster) => cluster.count > 0).length;
  const variance = varianceOfRatio(clusters, share);
  const effective = variance > 0 ? (share * (1 - share)) / variance : 0;
  return wilsonInterval(share, Math.max(problems, Math.min(effective, count)));
}

/** The 95 % interval of any mean over problems: ± Student's t · √v; undefined of fewer than two problems. */
export function meanInterval(clusters: readonly Cluster[]): [number, number] | undefined {
  const mean = ratioOf(clusters);
  const problems = clusters.filter((cluster) => cluster.count > 0).length;
  if (mean === undefined || problems < 2) return undefined;
  const half = studentQuantile95(problems - 1) * Math.sqrt(varianceOfRatio(clusters, mean));
  return [mean - half, mean + half];
}

/** n/(n − 1) · Σ (sumᵢ − R·countᵢ)² / (Σ countᵢ)² over the n problems that count; 0 of one. */
function varianceOfRatio(clusters: readonly Cluster[], ratio: number): number {
  const counted = clusters.filter((cluster) => cluster.count > 0);
  const n = counted.length;
  if (n < 2) return 0;
  const count = counted.reduce((total, cluster) => total + cluster.count, 0);
  const squares = counted.reduce((total, cluster) => total + (cluster.sum - ratio * cluster.count) ** 2, 0);
  return ((n / (n - 1)) * squares) / count ** 2;
}

/**
 * Student's t quantile for 95 %, two-sided: exact for 1 and 2 degrees of freedom, else the expansion in 1/ν (Abramowitz
 * and Stegun, 26.7.5), within 0.1 % for 3 and closer beyond.
 */
export function studentQuantile95(degrees: number): number {
  const z = Z_95;
  if (degrees === 1) return Math.tan(Math.PI * 0.475);
  if (degrees === 2) return 0.95 * Math.sqrt(2 / (1 - 0.95 ** 2));
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160,
  ];
  return terms.reduce((sum, term, i) => sum + term / degrees ** (i + 1), z);
}
