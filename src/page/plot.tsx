/**
 * A line chart over uPlot: raw values faint and a smoothed line in front, held-out evaluations as points with their
 * interval, the time in which an alarm rang as a band. Cursors of all charts of a page move together; dragging zooms, a
 * double click shows all again. Its content is told in words too, and its newest values stand in the legend.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { plain } from "../number-text.ts";
import { isPrinting } from "./theme.ts";

/** A line. `x` rises; a null is a gap in nothing but this line. */
export interface PlotSeries {
  readonly label: string;
  readonly x: readonly number[];
  readonly y: readonly (number | null)[];
  /** Which of the colours, and its dashes. */
  readonly colour: number;
}

/** Points with intervals. */
export interface PlotPoints {
  readonly label: string;
  readonly colour: number;
  readonly points: readonly { readonly x: number; readonly y: number; readonly low: number; readonly high: number }[];
}

/** A span in which an alarm rang. */
export interface PlotBand {
  readonly from: number;
  /** undefined: it rings still. */
  readonly to: number | undefined;
  readonly label: string;
}

export interface PlotProps {
  readonly title: string;
  readonly xLabel: string;
  readonly series: readonly PlotSeries[];
  readonly points?: readonly PlotPoints[];
  readonly bands?: readonly PlotBand[];
  readonly yMin?: number | undefined;
  readonly yMax?: number | undefined;
  /** What the axis spans while nobody has zoomed in, whatever values have come; as far as they go if absent. */
  readonly xRange?: readonly [number, number];
  readonly isLog?: boolean;
  readonly smoothing: number;
  readonly format?: (value: number) => string;
  readonly height?: number;
  /** Charts of one key move their cursors together. */
  readonly syncKey?: string;
}

/** Colours are the style sheet's; lines differ by their dashes too. */
export const COLOURS = ["--blue", "--amber", "--teal", "--violet", "--rose", "--olive"] as const;
/** The dashes of each. */
export const DASHES: readonly (readonly number[])[] = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [12, 4]];

/** The exponential mean that TensorBoard draws, without its bias to 0 at the beginning; `weight` 0 changes nothing. */
export function smooth(values: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight === 0) return [...values];
  let mean = 0;
  let count = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = mean * weight + (1 - weight) * value;
    count++;
    return mean / (1 - weight ** count);
  });
}

/** Rows that the mean reaches over at the right end of the slider, as a share of all rows. */
const WIDEST_MEAN = 1 / 12;

/** The weight for a place of the slider (0 to 1) and a number of rows: a long run is smoothed over more of them. */
export function weightOf(smoothing: number, rows: number): number {
  const reach = smoothing * rows * WIDEST_MEAN;
  return reach <= 1 ? 0 : 1 - 1 / reach;
}

/** What the data of a chart are made of; columns grow in place. */
function partsOf({ series, points, smoothing }: PlotProps): unknown[] {
  return [smoothing, JSON.stringify(points), ...series.flatMap(({ x, y }) => [x, x.length, y, y.length])];
}

/** The data, made again only where something of them has changed: a cursor that moves draws the component again, too. */
function useAligned(props: PlotProps): uPlot.AlignedData {
  const made = useRef<{ readonly parts: readonly unknown[]; readonly data: uPlot.AlignedData } | undefined>(undefined);
  const parts = partsOf(props);
  const before = made.current?.parts;
  if (before === undefined || before.length !== parts.length || parts.some((part, i) => part !== before[i])) {
    made.current = { parts, data: aligned(props) };
  }
  return made.current!.data;
}

/** All series over one axis: values where a line has none are undefined, which connects over them. */
function aligned(props: PlotProps): uPlot.AlignedData {
  const { series, points = [], smoothing } = props;
  const first = series[0]?.x ?? [];
  const isOneAxis = points.length === 0 && series.every(({ x }) => x === first);
  const xs = isOneAxis
    ? [...first]
    : [...new Set([...series.flatMap(({ x }) => x), ...points.flatMap((one) => one.points.map(({ x }) => x))])].sort(
        (a, b) => a - b,
      );
  const place = isOneAxis ? undefined : new Map(xs.map((x, i) => [x, i]));
  const onAxis = (x: readonly number[], y: readonly (number | null)[]) => {
    if (place === undefined) return [...y];
    const column: (number | null | undefined)[] = Array(xs.length).fill(undefined);
    for (const [i, one] of x.entries()) column[place.get(one)!] = y[i] ?? null;
    return column;
  };
  const lines = series.flatMap(({ x, y }) => [onAxis(x, y), onAxis(x, smooth(y, weightOf(smoothing, y.length)))]);
  const dots = points.map((one) =>
    onAxis(
      one.points.map(({ x }) => x),
      one.points.map(({ y }) => y),
    ),
  );
  return [xs, ...lines, ...dots] as uPlot.AlignedData;
}

/** How far ticks are apart where there are whole numbers only. */
const WHOLE_STEPS = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power)).flat();

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(props: PlotProps, width: number, onCursor: (index: number | null) => void): uPlot.Options {
  const { series, points = [], bands = [], isLog = false, format = plain, yMin, yMax, height = 190, syncKey } = props;
  const soft = css("--soft");
  const axis = { stroke: soft, font: "11px system-ui, sans-serif", ticks: { show: false }, gap: 6 };
  const lines = series.flatMap(({ label, colour }): uPlot.Series[] => {
    const stroke = css(COLOURS[colour % COLOURS.length]!);
    const dash = [...DASHES[colour % DASHES.length]!];
    const raw = props.smoothing > 0;
    return [
      { label: `${label} (raw)`, stroke: `${stroke}55`, width: 1, show: raw, points: { show: false }, spanGaps: true },
      { label, stroke, width: 2, dash, points: { show: false }, spanGaps: true },
    ];
  });
  const dots = points.map(({ label, colour }): uPlot.Series => {
    const stroke = colour < 0 ? css("--ink") : css(COLOURS[colour % COLOURS.length]!);
    return {
      label,
      stroke,
      width: 0,
      paths: () => null,
      points: { show: true, size: 8, fill: stroke, stroke },
      spanGaps: false,
    };
  });
  const range: uPlot.Range.Function = (_, low, high) => {
    if (isLog) return [Math.max(low, 1e-12) / 1.3, Math.max(high, 1e-12) * 1.3];
    const intervals = points.flatMap((one) => one.points.flatMap((point) => [point.low, point.high]));
    const least = Math.min(low ?? 0, yMin ?? low ?? 0, ...intervals);
    const most = Math.max(high ?? 1, yMax ?? high ?? 1, ...intervals);
    if (least === most) return [least - (Math.abs(least) || 1) * 0.1, most + (Math.abs(most) || 1) * 0.1];
    const [from, to] = uPlot.rangeNum(least, most, 0.06, true);
    return [yMin ?? from!, yMax ?? to!];
  };
  return {
    width,
    height,
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false },
      points: { size: 6 },
      ...(syncKey !== undefined && { sync: { key: syncKey, setSeries: false, scales: ["x", null] } }),
    },
    scales: {
      x: { time: false, ...(props.xRange && { range: spanOf(props.xRange) }) },
      y: { range, ...(isLog && { distr: 3 as const }) },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        values: (_, values) => values.map((value) => plain(value)),
        size: 28,
        // There is no step 1.5.
        ...(series.every(({ x }) => x.every(Number.isInteger)) && { incrs: WHOLE_STEPS }),
      },
      {
        ...axis,
        grid: { stroke: css("--line"), width: 1 },
        values: (_, values) => values.map((value) => (value === null ? "" : format(value))),
        size: 54,
      },
    ],
    series: [{ label: props.xLabel }, ...lines, ...dots],
    hooks: {
      drawClear: [(plot) => drawBands(plot, bands)],
      draw: [(plot) => drawIntervals(plot, points)],
      setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)],
    },
  };
}

/** The horizontal axis where it does not follow the values: all of it, or what somebody has zoomed in on. */
function spanOf([from, to]: readonly [number, number]): uPlot.Range.Function {
  return ({ data: [xs] }, low, high) => {
    const isAll = low === null || xs.length === 0 || (low <= xs[0]! && high >= xs.at(-1)!);
    return isAll ? [from, to] : [low, high];
  };
}

/** The time in which alarms rang, behind everything. */
function drawBands(plot: uPlot, bands: readonly PlotBand[]): void {
  const { ctx, bbox } = plot;
  for (const { from, to, label } of bands) {
    const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
    const right = Math.min(
      bbox.left + bbox.width,
      to === undefined ? bbox.left + bbox.width : plot.valToPos(to, "x", true),
    );
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    ctx.save();
    ctx.fillStyle = css("--alarm-back");
    ctx.fillRect(left, bbox.top, Math.max(2 * devicePixelRatio, right - left), bbox.height);
    ctx.fillStyle = css("--bad");
    ctx.fillRect(left, bbox.top, 1.5 * devicePixelRatio, bbox.height);
    ctx.font = `600 ${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.fillText(label, left + 5 * devicePixelRatio, bbox.top + 3 * devicePixelRatio);
    ctx.restore();
  }
}

/** Whiskers of held-out evaluations. */
function drawIntervals(plot: uPlot, points: readonly PlotPoints[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { points: each, colour } of points) {
    ctx.strokeStyle = colour < 0 ? css("--ink") : css(COLOURS[colour % COLOURS.length]!);
    ctx.lineWidth = 1.4 * devicePixelRatio;
    for (const { x, low, high } of each) {
      const at = plot.valToPos(x, "x", true);
      ctx.beginPath();
      ctx.moveTo(at, plot.valToPos(low, "y", true));
      ctx.lineTo(at, plot.valToPos(high, "y", true));
      ctx.stroke();
    }
  }
  ctx.restore();
}

/** Half of what is printed on of a sheet (A4 or Letter, print.css), in CSS pixels: two charts stand beside each other. */
const WIDTH_ON_PAPER = 330;

/** The chart, with its legend. */
export function Plot(props: PlotProps) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const [cursor, setCursor] = useState<number | null>(null);
  const data = useAligned(props);
  const newest = useRef(data);
  newest.current = data;
  const { series, points = [], bands = [], format = plain } = props;
  const shape = JSON.stringify([
    series.map(({ label, colour }) => [label, colour]),
    points.map(({ label, colour, points: each }) => [label, colour, each]),
    ...[bands, props.isLog, props.smoothing > 0, props.yMin, props.yMax, props.xLabel, props.xRange, props.height],
  ]);
  useEffect(() => {
    const node = holder.current!;
    const make = () => {
      plot.current?.destroy();
      const width = isPrinting() ? WIDTH_ON_PAPER : Math.max(200, node.clientWidth);
      plot.current = new uPlot(options(latest.current, width, setCursor), newest.current, node);
    };
    make();
    const resized = new ResizeObserver(() => {
      if (isPrinting()) return;
      const width = Math.max(200, node.clientWidth);
      if (plot.current && plot.current.width !== width) plot.current.setSize({ width, height: plot.current.height });
    });
    resized.observe(node);
    addEventListener("aha-theme", make);
    return () => {
      removeEventListener("aha-theme", make);
      resized.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [shape]);
  useEffect(() => {
    const drawn = plot.current;
    if (drawn === undefined || drawn.data === data) return;
    // Somebody who has zoomed in looks at something: new rows must not take it away.
    const { min, max } = drawn.scales.x!;
    const old = drawn.data[0];
    const [first, last] = latest.current.xRange ?? [old[0], old.at(-1)];
    const isZoomed = typeof min === "number" && old.length > 1 && (min !== first || max !== last);
    drawn.setData(data, !isZoomed);
    if (isZoomed) drawn.redraw();
  });
  const at = cursor === null ? undefined : data[0][cursor];
  return (
    <div class="plot">
      <div ref={holder} role="img" aria-label={inWords(props)} />
      <p class="legend">
        {series.map(({ label, colour }, i) => {
          const column = data[2 + 2 * i] as readonly (number | null | undefined)[];
          const value = cursor === null ? column.findLast((one) => typeof one === "number") : column[cursor];
          return (
            <span key={label} class={`key c${colour % COLOURS.length}`}>
              {label} <b>{typeof value === "number" ? format(value) : ""}</b>
            </span>
          );
        })}
        {points.map(({ label, colour, points: each }) => {
          const near = at === undefined ? each.at(-1) : each.findLast(({ x }) => x <= at);
          return (
            <span key={label} class={`key held-out ${colour < 0 ? "" : `c${colour % COLOURS.length}`}`}>
              {label} <b>{near ? format(near.y) : ""}</b>
            </span>
          );
        })}
        {at !== undefined && (
          <span class="at">
            {props.xLabel} {plain(at)}
          </span>
        )}
      </p>
    </div>
  );
}

function inWords({ title, xLabel, series, points = [], bands = [], format = plain }: PlotProps): string {
  const lines = series.map(({ label, x, y }) => {
    const numbers = y.filter((value) => value !== null);
    if (numbers.length === 0) return `${label}: no values`;
    const [first, last] = [numbers[0]!, numbers.at(-1)!];
    const [low, high] = [numbers.reduce((a, b) => Math.min(a, b)), numbers.reduce((a, b) => Math.max(a, b))];
    return `${label}: ${format(first)} at first, ${format(last)} at ${plain(x.at(-1)!)}; least ${format(low)}, most ${format(high)}`;
  });
  const held = points.map(({ label, points: each }) => {
    return `${label}: ${each.map(({ x, y }) => `${format(y)} at ${plain(x)}`).join(", ")}`;
  });
  const rang = bands.map(({ from, to }) => `an alarm from ${plain(from)} to ${to === undefined ? "now" : plain(to)}`);
  return `${title} by ${xLabel}. ${[...lines, ...held, ...rang].join(". ")}.`;
}
