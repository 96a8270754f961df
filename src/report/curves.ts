/** Which curves a stage's page shows, and what to see in each. */

import { percent } from "../number-text.ts";
import type { EvaluationRecord, MetricsRecord } from "../run/records.ts";
import type { RunSnapshot } from "../run/run-reader.ts";
import type { Curve } from "../train/trainer.ts";
import { trainers } from "../train/trainers.ts";
import { type ChartSeries, type ChartSpec, chart } from "./chart.ts";
import type { Html } from "./html.ts";

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

/**
 * How the held-out problems of a stage are answered over its steps: the solve rate, and where problems are answered several
 * times pass@k and the majority vote. Nothing where the other charts show all of it.
 */
function evaluationCurve(run: RunSnapshot, stage: string): Html[] {
  const names = new Set(
    run.evaluations
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
  const series = shown.map(({ name, label }): ChartSeries => {
    return { label, points: heldOutPoints(run, stage, name).map(({ x, y }) => ({ x, y })) };
  });
  const drawn = chart({
    title: "Held-out problems, several answers each",
    caption:
      "pass@k: a problem counts where one of k answers is right. Majority: where the most frequent one is. A solve rate " +
      "that rises to a pass@k which stays is a policy that finds more often what it could find before.",
    ...{ xLabel: "optimizer step", series, evaluations: [], yMin: 0, format: percent },
  });
  return drawn ? [drawn] : [];
}

/** The charts of one stage. Those of a trainer that this program does not know are the general ones. */
export function stageCurves(run: RunSnapshot, stage: string, trainer: string): Html[] {
  const rows = run.metrics.filter((row) => row.stage === stage);
  const { curves: own = [], lossIsNoMeasure } = trainers.find(trainer) ?? {};
  const curves = [...MEASURES, ...own, ...CURVES].flatMap((curve) => {
    if ("loss" in curve.metrics && lossIsNoMeasure) return [];
    const series = Object.entries(curve.metrics).map(([name, label]) => seriesOf(rows, name, label));
    if (series.every(({ points }) => points.every(({ y }) => y === 0))) return [];
    const { metrics: _, heldOut, isShare, ...spec } = curve;
    const evaluations = heldOut && series[0]!.points.length > 0 ? heldOutPoints(run, stage, heldOut) : [];
    const format = isShare ? { format: percent } : {};
    const drawn: ChartSpec = { ...spec, ...format, xLabel: "optimizer step", series, evaluations };
    return chart(drawn) ?? [];
  });
  return [...curves, ...evaluationCurve(run, stage)];
}

function seriesOf(rows: readonly MetricsRecord[], name: string, label: string): ChartSeries {
  const points = rows.flatMap((row) => {
    const y = row[name];
    return typeof y === "number" ? [{ x: row.step, y }] : [];
  });
  return { label, points };
}

/** Held-out evaluations of the stage; that before it is the one after the stage before, or the run's first. */
function heldOutPoints(run: RunSnapshot, stage: string, statistic: string) {
  const sampled = run.evaluations.filter(({ decoding }) => decoding === "sampled");
  const own = sampled.findIndex((record) => record.stage === stage && record.moment !== "before");
  const points = sampled
    .filter((record) => record.stage === stage && record.moment !== "before")
    .map(pointOf(statistic));
  const start = own > 0 ? sampled[own - 1] : undefined;
  return start ? [{ ...pointOf(statistic)(start), x: 0 }, ...points] : points;
}

function pointOf(statistic: string) {
  return (record: EvaluationRecord) => {
    const y = record.statistics[statistic] ?? 0;
    const [low, high] = record.intervals[statistic] ?? [y, y];
    return { x: record.step, y, low: low ?? y, high: high ?? y };
  };
}
