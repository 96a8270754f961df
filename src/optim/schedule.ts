/**
 * Learning-rate schedules: pure functions of (step, total), so that a resumed run needs nothing but its step number.
 *
 * Linear warm-up, then constant, linear or cosine decay to a floor (Loshchilov & Hutter, arXiv:1608.03983, without
 * restarts). Warm-up starts at 1/warmupSteps, not at 0: with a rate of 0 the first step would change nothing.
 */

/** Names of the decays. */
export const SCHEDULES = ["constant", "linear", "cosine"] as const;

export type ScheduleName = (typeof SCHEDULES)[number];

export interface ScheduleConfig {
  /** The peak, reached at the end of the warm-up. */
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  /** Steps of linear warm-up; 0 is none. */
  readonly warmupSteps: number;
  /** The floor as a share of the peak; the constant schedule has none. */
  readonly minLearningRateRatio: number;
}

/**
 * The rate of optimizer step `step` (0-based) out of `totalSteps`. With w warm-up steps:
 * step < w: peak · (step + 1) / w; afterwards, with p = (step − w) / (total − w) in [0, 1):
 * peak · (floor + (1 − floor) · d(p)), d = 1 (constant), 1 − p (linear), (1 + cos πp) / 2 (cosine).
 */
export function learningRateAt(step: number, totalSteps: number, config: ScheduleConfig): number {
  const { learningRate, schedule, warmupSteps, minLearningRateRatio: floor } = config;
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  return learningRate * (floor + (1 - floor) * remaining(schedule, progress));
}

/** The factor of the decay at `progress` in [0, 1]: 1 at the start, 0 at the end. */
function remaining(schedule: ScheduleName, progress: number): number {
  switch (schedule) {
    case "constant":
      return 1;
    case "linear":
      return 1 - progress;
    case "cosine":
      return (1 + Math.cos(Math.PI * progress)) / 2;
    default:
      return schedule satisfies never;
  }
}
