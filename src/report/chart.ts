/**
 * A line chart as inline SVG: raw values faint, a moving average in front, held-out evaluations as points with their
 * confidence interval. Colours come from the page's style, so that a chart follows light and dark. Its content is also
 * given in words, for readers who cannot see it.
 */

import { linearScale } from "../inspect/linear-scale.ts";
import { niceTicks } from "../inspect/ticks.ts";
import { plain } from "../number-text.ts";
import { type Html, html } from "./html.ts";

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
}

export interface ChartSeries {
  readonly label: string;
  readonly points: readonly ChartPoint[];
}

export interface ChartSpec {
  readonly title: string;
  /** What to see in it, one sentence. */
  readonly caption: string;
  readonly xLabel: string;
  /** At most three. */
  readonly series: readonly ChartSeries[];
  /** Held-out evaluations: a value and its interval. */
  readonly evaluations?: readonly (ChartPoint & { readonly low: number; readonly high: number })[];
  /** Fixed lower or upper end of the y axis; fitted to the values where absent. */
  readonly yMin?: number;
  readonly yMax?: number;
  readonly format?: (value: number) => string;
}

const WIDTH = 340;
const HEIGHT = 190;
const MARGIN = { top: 12, right: 14, bottom: 34, left: 46 };
/** More points than this are thinned out: the line has fewer pixels. */
const MAX_POINTS = 600;

/** The chart as a `<figure>`; nothing where there are no values. */
export function chart(spec: ChartSpec): Html | undefined {
  const series = spec.series.filter(({ points }) => points.length > 0);
  const all = series.flatMap(({ points }) => points);
  if (all.length === 0) return undefined;
  const evaluations = spec.evaluations ?? [];
  const format = spec.format ?? plain;
  const xs = [...all, ...evaluations].map(({ x }) => x);
  const ys = [...all.map(({ y }) => y), ...evaluations.flatMap(({ low, high }) => [low, high])];
  const xTicks = niceTicks(least(xs), most(xs), 5);
  const yTicks = niceTicks(spec.yMin ?? least(ys), spec.yMax ?? most(ys), 4);
  const x = linearScale(least(xs), most(xs), MARGIN.left, WIDTH - MARGIN.right);
  const y = linearScale(
    Math.min(yTicks[0]!, spec.yMin ?? least(ys)),
    Math.max(yTicks.at(-1)!, spec.yMax ?? most(ys)),
    HEIGHT - MARGIN.bottom,
    MARGIN.top,
  );
  const path = (points: readonly ChartPoint[]) =>
    thin(points)
      .map((point, i) => `${i === 0 ? "M" : "L"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`)
      .join("");
  return html`<figure class="chart">
<figcaption><h3>${spec.title}</h3><p>${spec.caption}</p></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${inWords(spec, series, format)}">
${yTicks.map(
  (
    tick,
  ) => html`<line class="gridline" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(tick)}" y2="${y(tick)}"/>
<text class="tick" x="${MARGIN.left - 7}" y="${y(tick) + 4}" text-anchor="end">${format(tick)}</text>`,
)}
${xTicks.map((tick) => html`<text class="tick" x="${x(tick)}" y="${HEIGHT - MARGIN.bottom + 16}" text-anchor="middle">${plain(tick)}</text>`)}
<text class="tick" x="${(MARGIN.left + WIDTH - MARGIN.right) / 2}" y="${HEIGHT - 3}" text-anchor="middle">${spec.xLabel}</text>
${series.map(
  ({ points }, i) => html`${points.length > 8 ? html`<path class="raw s${i}" d="${path(points)}"/>` : undefined}
<path class="line s${i}" d="${path(points.length > 8 ? movingAverage(points) : points)}"/>`,
)}
${evaluations.map(
  (
    point,
  ) => html`<line class="whisker" x1="${x(point.x)}" x2="${x(point.x)}" y1="${y(point.low)}" y2="${y(point.high)}"/>
<circle class="dot" cx="${x(point.x)}" cy="${y(point.y)}" r="4"/>`,
)}
</svg>
${legend(series, evaluations.length > 0)}
</figure>`;
}

function legend(series: readonly ChartSeries[], hasEvaluations: boolean): Html | undefined {
  if (series.length < 2 && !hasEvaluations) return undefined;
  return html`<p class="legend">${series.map(({ label }, i) => html`<span class="key c${i}">${label}</span>`)}${
    hasEvaluations ? html`<span class="key held-out">held-out problems, 95 % interval</span>` : undefined
  }</p>`;
}

function inWords(spec: ChartSpec, series: readonly ChartSeries[], format: (value: number) => string): string {
  const each = series.map(({ label, points }) => {
    const ends = `${format(points[0]!.y)} at ${plain(points[0]!.x)}, ${format(points.at(-1)!.y)} at ${plain(points.at(-1)!.x)}`;
    const values = points.map(({ y }) => y);
    return `${label}: ${ends}; least ${format(least(values))}, most ${format(most(values))}`;
  });
  const held = (spec.evaluations ?? []).map((point) => `held-out ${format(point.y)} at ${plain(point.x)}`);
  return `${spec.title} by ${spec.xLabel}. ${[...each, ...held].join(". ")}.`;
}

/** Mean over a window of about a twentieth of the points, centred; shorter at the ends. */
export function movingAverage(points: readonly ChartPoint[]): ChartPoint[] {
  const radius = Math.max(1, Math.round(points.length / 40));
  // Sums of what came before: the windows of a long run would be millions of points each time.
  const before = [0];
  for (const { y } of points) before.push(before.at(-1)! + y);
  return points.map(({ x }, i) => {
    const reach = Math.min(radius, i, points.length - 1 - i);
    return { x, y: (before[i + reach + 1]! - before[i - reach]!) / (2 * reach + 1) };
  });
}

function thin(points: readonly ChartPoint[]): readonly ChartPoint[] {
  if (points.length <= MAX_POINTS) return points;
  const stride = points.length / MAX_POINTS;
  const kept = Array.from({ length: MAX_POINTS }, (_, i) => points[Math.floor(i * stride)]!);
  return [...kept, points.at(-1)!];
}

// Not Math.min(...values): a long run has more points than a call takes arguments.
const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
