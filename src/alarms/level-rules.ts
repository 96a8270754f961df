/**
 * The alarms that watch one number of each row of metrics: when it is bad, and what to say.
 *
 * A rule is pure: from the stage's rows up to now it computes a level (bad above `raise`), or undefined where the row has
 * nothing to say. What is done about levels (patience, hysteresis) is `monitor.ts`.
 */

import { sumOf } from "../statistics.ts";
import type { AlarmName } from "./alarm.ts";
import { ALARM_LIMITS } from "./thresholds.ts";

/** Metrics by name; null or NaN where a number was not finite. */
export type WatchedRow = { readonly step: number } & Readonly<Record<string, number | null | undefined>>;

/** One watched level. */
export interface LevelRule {
  readonly name: AlarmName;
  /** The reward that it watches, where it watches one. */
  readonly reward?: string;
  readonly raise: number;
  readonly clear: number;
  /** How many rows in succession must be beyond a limit before an alarm is raised. */
  readonly rows: number;
  /** The alarm is for levels below `raise`, not above. */
  readonly below?: boolean;
  /** The level of the newest of `history` (oldest first); infinite where it was not finite. */
  readonly level: (history: readonly WatchedRow[]) => number | undefined;
  readonly message: (level: number) => string;
}

const percent = (share: number) => `${Math.round(share * 100)} %`;

/** A rule on a metric as it is. */
const metric = (name: string) => (history: readonly WatchedRow[]) => {
  const value = history.at(-1)?.[name];
  return typeof value === "number" && !Number.isNaN(value) ? value : undefined;
};

const samplerDifference = metric("sampling/sampling_logp_difference/mean");

/** Of completions of older weights the difference has what training has moved, too; an iteration of none comes first. */
const isSampledAhead = (history: readonly WatchedRow[]) => (metric("staleness/max")(history) ?? 0) > 0;

/** Every level rule, in the order in which alarms of one row are reported. */
export const LEVEL_RULES: readonly LevelRule[] = [
  {
    name: "truncation",
    ...ALARM_LIMITS.truncation,
    level: metric("completions/clipped_ratio"),
    message: (level) =>
      `${percent(level)} of the completions are cut at maxCompletionTokens before they can answer. Raise ` +
      "maxCompletionTokens, or reward brevity.",
  },
  {
    name: "zero-variance",
    ...ALARM_LIMITS.zeroVariance,
    level: metric("frac_reward_zero_std"),
    message: (level) =>
      `${percent(level)} of the groups have equal rewards and teach nothing. Problems are too hard or too easy for this ` +
      "policy: change them, raise groupSize, or set maxSamplingRounds.",
  },
  {
    name: "entropy-collapse",
    ...ALARM_LIMITS.entropy,
    below: true,
    level: entropyShare,
    message: (level) =>
      `The entropy fell to ${percent(level)} of what the stage began with: completions of a group become the same and ` +
      "learning ends. Lower learningRate, raise clipEpsilonHigh, or add entropyCoef.",
  },
  {
    name: "rewards-abstain",
    ...ALARM_LIMITS.abstention,
    level: metric("frac_reward_abstained"),
    message: () =>
      "Every reward abstained from every completion, so nothing is learned. The reasons are in rollouts.jsonl; correct the " +
      "reward or its columns.",
  },
  {
    name: "sampler-difference",
    ...ALARM_LIMITS.samplerDifference,
    level: (history) => (isSampledAhead(history) ? undefined : samplerDifference(history)),
    message: (level) =>
      `Sampler and trainer differ by ${level.toPrecision(2)} nats a token: the ratios of the loss are wrong by that much. ` +
      "Set samplerCorrection, and compare without quantization.",
  },
  {
    name: "gradient-explosion",
    ...ALARM_LIMITS.gradient,
    level: gradientOverMedian,
    message: (level) =>
      Number.isFinite(level)
        ? `The gradient's norm is ${level.toFixed(0)} times the median of the steps before. If it stays, lower learningRate ` +
          "or maxGradNorm."
        : "The gradient is not finite. If it happens again, lower learningRate or maxGradNorm.",
  },
];

const OF_ABSTENTIONS = /^rewards\/(.+)\/(?:frac_abstained|abandoned)$/;

/** The reward whose abstentions the metric of this name is about; undefined for other metrics. */
export function abstainingReward(metric: string): string | undefined {
  return OF_ABSTENTIONS.exec(metric)?.[1];
}

/** The rules that watch one reward. A row without a share of abstentions has none, where the reward was asked. */
export function rewardRules(reward: string): readonly LevelRule[] {
  const at = (row: WatchedRow | undefined, what: string) => row?.[`rewards/${reward}/${what}`];
  const isAbandoned = (row: WatchedRow | undefined) => at(row, "abandoned") === 1;
  return [
    {
      name: "reward-abandoned",
      reward,
      ...ALARM_LIMITS.abandoned,
      level: (history) => (wasAsked(history.at(-1)) ? Number(isAbandoned(history.at(-1))) : undefined),
      message: () =>
        `The reward ${reward} is not asked any more in this session: it hung or died several times in a row, each time ` +
        "costing its time limit. The run goes on without it. Correct the reward, then stop and resume the run.",
    },
    {
      name: "reward-abstains",
      reward,
      ...ALARM_LIMITS.oneAbstention,
      level: (history) => {
        const row = history.at(-1);
        // Another alarm about the same row says more.
        if (isAbandoned(row) || row?.frac_reward_abstained === 1 || !wasAsked(row)) return undefined;
        return at(row, "frac_abstained") ?? 0;
      },
      message: () =>
        `The reward ${reward} abstained from every completion that it was asked about, so it counts for nothing. The ` +
        "reasons are in rollouts.jsonl; correct the reward or its columns, or leave it out.",
    },
  ];

  function wasAsked(row: WatchedRow | undefined): boolean {
    return row !== undefined && ["mean", "frac_abstained"].some((what) => at(row, what) !== undefined);
  }
}

/** The newest entropy over the mean of the stage's first rows that have one. */
function entropyShare(history: readonly WatchedRow[]): number | undefined {
  const { baselineRows } = ALARM_LIMITS.entropy;
  const now = metric("entropy")(history);
  if (now === undefined || !("reward" in history.at(-1)!)) return undefined;
  const first: number[] = [];
  for (const { entropy } of history) {
    if (first.length === baselineRows) break;
    if (typeof entropy === "number" && Number.isFinite(entropy)) first.push(entropy);
  }
  const start = sumOf(first) / baselineRows;
  return first.length < baselineRows || start <= 0 ? undefined : now / start;
}

/** The newest gradient norm over the median of the finite ones before it. */
function gradientOverMedian(history: readonly WatchedRow[]): number | undefined {
  const now = history.at(-1)?.grad_norm;
  if (now === undefined) return undefined;
  if (now === null || !Number.isFinite(now)) return Number.POSITIVE_INFINITY;
  const { window, minRows } = ALARM_LIMITS.gradient;
  const before = history
    .slice(-1 - window, -1)
    .flatMap(({ grad_norm: norm }) => (typeof norm === "number" && Number.isFinite(norm) ? [norm] : []))
    .sort((a, b) => a - b);
  const median = before[Math.floor(before.length / 2)];
  return before.length < minRows || median === undefined || median === 0 ? undefined : now / median;
}
