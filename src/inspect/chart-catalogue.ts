/**
 * Which charts a stage has on the dashboard and in the report, and what to see in each: those that every policy is measured
 * by, those of its trainer, and whatever else is worth a look.
 */

import type { Curve } from "../train/trainer.ts";
import { trainers } from "../train/trainers.ts";
import type { EvaluationHead } from "./live-run.ts";

/** What a policy is measured by, whichever trainer it has. */
const MEASURES: readonly Curve[] = [
  {
    title: "Solve rate",
    caption: "Share of training answers that are right, and the same on problems it never trains on.",
    metrics: { solve_rate: "training problems" },
    yMin: 0,
    isShare: true,
    heldOut: "solveRate",
  },
  {
    title: "Reward",
    caption: "What the rules gave on average: the only thing that this stage learns from.",
    metrics: { reward: "reward" },
  },
];

/** Whatever else is worth a look, after what the trainer itself shows. */
const CURVES: readonly Curve[] = [
  {
    title: "Tries",
    caption: "Attempts per answer. Rising tries mean that the model searches longer before it settles.",
    metrics: { "tries/mean": "tries" },
    yMin: 0,
    heldOut: "tries",
  },
  {
    title: "Length",
    caption: "Tokens per answer, and those of answers that ended by themselves.",
    metrics: { "completions/mean_length": "all", "completions/mean_terminated_length": "ended" },
    yMin: 0,
  },
  {
    title: "Form",
    caption: "Well-formed answers should stay near the top, answers cut at the length limit near the bottom.",
    metrics: { format_rate: "well-formed", "completions/clipped_ratio": "cut off" },
    yMin: 0,
    yMax: 1,
    isShare: true,
  },
  {
    title: "Groups without signal",
    caption: "Groups whose answers all got the same reward teach nothing.",
    metrics: { frac_reward_zero_std: "share of groups" },
    yMin: 0,
    yMax: 1,
    isShare: true,
  },
  {
    title: "Loss",
    caption: "Cross-entropy of the demonstrations' tokens, in nats.",
    metrics: { loss: "loss", eval_loss: "on held-out demonstrations" },
  },
  {
    title: "Entropy",
    caption: "How undecided the policy is per token, in nats. Near zero it has stopped exploring.",
    metrics: { entropy: "entropy" },
    yMin: 0,
  },
  {
    title: "Distance from the reference",
    caption: "KL divergence (k3) from the policy that the stage started with.",
    metrics: { kl: "KL" },
    yMin: 0,
  },
  {
    title: "Clipped tokens",
    caption: "Share of tokens whose probability had already moved as far as one update may move it.",
    metrics: { "clip_ratio/high_mean": "upwards", "clip_ratio/low_mean": "downwards" },
    yMin: 0,
    isShare: true,
  },
  {
    title: "Gradient norm",
    caption: "Size of each step's gradient before clipping. Spikes announce trouble.",
    metrics: { grad_norm: "norm" },
    yMin: 0,
  },
  {
    title: "Learning rate",
    caption: "As the schedule sets it.",
    metrics: { learning_rate: "rate" },
    yMin: 0,
  },
];

/** A point of a held-out evaluation. */
export interface HeldOutPoint {
  readonly x: number;
  readonly y: number;
  readonly low: number;
  readonly high: number;
}

/** A line of held-out evaluations, each point with its 95 % interval. */
export interface HeldOutSeries {
  readonly label: string;
  readonly points: readonly HeldOutPoint[];
}

/** A chart of a stage: metrics by name with their labels, and held-out evaluations beside them. */
export interface StageChart {
  /** Names it in addresses. */
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly metrics: readonly { readonly name: string; readonly label: string }[];
  readonly heldOut: readonly HeldOutSeries[];
  readonly yMin?: number;
  readonly yMax?: number;
  readonly isShare: boolean;
}

/** What the catalogue has to know of an evaluation. */
export type ChartedEvaluation = Pick<
  EvaluationHead,
  "stage" | "step" | "moment" | "decoding" | "statistics" | "intervals"
>;

/** The charts of a stage that has these metrics. Those of a trainer that this program does not know are the general ones. */
export function stageCharts(
  stage: string,
  trainer: string,
  names: readonly string[],
  evaluations: readonly ChartedEvaluation[],
): StageChart[] {
  const { curves: own = [], lossIsNoMeasure } = trainers.find(trainer) ?? {};
  const charts = [...MEASURES, ...own, ...CURVES].flatMap((curve): StageChart[] => {
    if ("loss" in curve.metrics && lossIsNoMeasure) return [];
    const metrics = Object.entries(curve.metrics)
      .filter(([name]) => names.includes(name))
      .map(([name, label]) => ({ name, label }));
    if (metrics.length === 0) return [];
    const { metrics: _, heldOut, isShare = false, ...spec } = curve;
    const points = heldOut === undefined ? [] : heldOutPoints(evaluations, stage, heldOut);
    const series = points.length === 0 ? [] : [{ label: "held-out problems", points }];
    return [{ id: idOf(curve.title), ...spec, isShare, metrics, heldOut: series }];
  });
  return [...charts, ...severalAnswersChart(stage, evaluations)];
}

/**
 * How the held-out problems of a stage are answered over its steps: the solve rate, and where problems are answered several
 * times pass@k and the majority vote. Nothing where the other charts show all of it.
 */
function severalAnswersChart(stage: string, evaluations: readonly ChartedEvaluation[]): StageChart[] {
  const names = new Set(
    evaluations
      .filter((record) => record.stage === stage && record.decoding === "sampled")
      .flatMap(({ statistics }) => Object.keys(statistics)),
  );
  // A chart has three lines at most: of several k the largest, which is farthest from the solve rate.
  const ks = [...names].flatMap((name) => /^passAt(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  const shown = [
    { name: "solveRate", label: "solved" },
    ...(ks.length > 0 ? [{ name: `passAt${Math.max(...ks)}`, label: `pass@${Math.max(...ks)}` }] : []),
    ...(names.has("majorityRate") ? [{ name: "majorityRate", label: "majority" }] : []),
  ];
  if (shown.length === 1) return [];
  return [
    {
      id: "held-out",
      title: "Held-out problems, several answers each",
      caption:
        "pass@k: a problem counts where one of k answers is right. Majority: where the most frequent one is. A solve rate " +
        "that rises to a pass@k which stays is a policy that finds more often what it could find before.",
      metrics: [],
      heldOut: shown.map(({ name, label }) => ({ label, points: heldOutPoints(evaluations, stage, name) })),
      yMin: 0,
      isShare: true,
    },
  ];
}

/** Held-out evaluations of the stage; that before it is the one after the stage before, or the run's first. */
function heldOutPoints(evaluations: readonly ChartedEvaluation[], stage: string, statistic: string): HeldOutPoint[] {
  const sampled = evaluations.filter(({ decoding }) => decoding === "sampled");
  const isOwn = (record: ChartedEvaluation) => record.stage === stage && record.moment !== "before";
  const own = sampled.filter(isOwn).flatMap((record) => pointOf(record, statistic, record.step));
  const first = sampled.findIndex(isOwn);
  const start = first > 0 ? sampled[first - 1] : undefined;
  // A stage that was not evaluated yet begins where the newest evaluation was.
  const before = start ?? (first < 0 ? sampled.at(-1) : undefined);
  return [...(before ? pointOf(before, statistic, 0) : []), ...own];
}

function pointOf(record: ChartedEvaluation, statistic: string, x: number): HeldOutPoint[] {
  const y = record.statistics[statistic];
  if (y === undefined || y === null) return [];
  const [low, high] = record.intervals[statistic] ?? [y, y];
  return [{ x, y, low: low ?? y, high: high ?? y }];
}

function idOf(title: string): string {
  return title.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}
