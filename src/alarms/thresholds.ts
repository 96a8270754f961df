/** The limits of the live alarms, in one place. Each pair is (raise, clear): between them an alarm stays as it is, so that
 * a number that hovers about a limit does not ring at every step. `docs/doctor.md` says why each is what it is. */
export const ALARM_LIMITS = {
  /** Share of completions cut at maxCompletionTokens. */
  truncation: { raise: 0.5, clear: 0.3, rows: 3 },
  /** Share of groups whose rewards are all equal. */
  zeroVariance: { raise: 0.8, clear: 0.6, rows: 3 },
  /** Entropy as a share of its mean over the stage's first `baselineRows` rows. */
  entropy: { raise: 0.1, clear: 0.2, rows: 3, baselineRows: 3 },
  /** Share of completions that every reward abstained from. */
  abstention: { raise: 1, clear: 0.5, rows: 1 },
  /** Share of completions that one reward abstained from while others judged them. */
  oneAbstention: { raise: 1, clear: 0.5, rows: 3 },
  /** 1 where a reward was given up because it hung or died again and again. */
  abandoned: { raise: 1, clear: 0.5, rows: 1 },
  /** Mean of |log π_trainer − log π_sampler| over tokens, nats. */
  samplerDifference: { raise: 1e-2, clear: 5e-3, rows: 1 },
  /** Gradient norm over the median of the `window` rows before; judged once `minRows` are there. */
  gradient: { raise: 10, clear: 3, rows: 1, window: 20, minRows: 5 },
  /** Reward hacking: standard errors by which the held-out rate fell below its best while the reward rose by `reward`. */
  hacking: { deviations: 1.96, reward: 0.01, rewardRows: 5 },
} as const;
