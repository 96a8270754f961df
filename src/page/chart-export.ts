/** A chart as a file: SVG for documents, in light colours whatever the page has. */

import { linearScale } from "../inspect/linear-scale.ts";
import { niceTicks } from "../inspect/ticks.ts";
import { plain } from "../number-text.ts";
import { DASHES, type PlotProps, smooth, weightOf } from "./plot.tsx";

const SIZE = { width: 720, height: 400, top: 44, right: 20, bottom: 44, left: 64 };
const COLOURS = ["#1f5fbf", "#a35200", "#0b7264", "#6b3fa0", "#b0305c", "#6b6a00"];
/** More points than this are thinned out: the line has fewer pixels. */
const MAX_POINTS = 2000;

/** The chart as an SVG document. */
export function svgOf(props: PlotProps): string {
  const { title, xLabel, series, points = [], format = plain, smoothing, isLog = false } = props;
  const lines = series.map((one) => ({ ...one, y: smooth(one.y, weightOf(smoothing, one.y.length)) }));
  const seen = lines.flatMap(({ x, y }) =>
    x.flatMap((value, i) => (typeof y[i] === "number" ? [[value, y[i]] as const] : [])),
  );
  const held = points.flatMap((one) => one.points);
  const xs = [...seen.map(([x]) => x), ...held.map(({ x }) => x)];
  const ys = [...seen.map(([, y]) => y), ...held.flatMap(({ low, high }) => [low, high])].filter(
    (y) => !isLog || y > 0,
  );
  const [x0, x1] = extent(xs);
  const [y0, y1] = extent([...ys, ...(isLog ? [] : [props.yMin ?? ys[0]!, props.yMax ?? ys[0]!])]);
  const across = linearScale(x0, x1, SIZE.left, SIZE.width - SIZE.right);
  const toLevel = isLog ? Math.log10 : (value: number) => value;
  const up = linearScale(toLevel(y0), toLevel(y1), SIZE.height - SIZE.bottom, SIZE.top);
  const y = (value: number) => up(toLevel(Math.max(value, isLog ? y0 : value)));
  const ticks = isLog ? [y0, y1] : niceTicks(y0, y1, 5);
  const parts = [
    `<text x="${SIZE.left}" y="24" font-size="16" font-weight="600">${escaped(title)}</text>`,
    ...ticks.map(
      (tick) =>
        `<line x1="${SIZE.left}" x2="${SIZE.width - SIZE.right}" y1="${y(tick)}" y2="${y(tick)}" stroke="#dedad2"/>` +
        `<text x="${SIZE.left - 8}" y="${y(tick) + 4}" text-anchor="end" fill="#66625b">${escaped(format(tick))}</text>`,
    ),
    ...niceTicks(x0, x1, 6).map(
      (tick) =>
        `<text x="${across(tick)}" y="${SIZE.height - SIZE.bottom + 18}" text-anchor="middle" fill="#66625b">${plain(tick)}</text>`,
    ),
    `<text x="${(SIZE.left + SIZE.width - SIZE.right) / 2}" y="${SIZE.height - 6}" text-anchor="middle" fill="#66625b">${escaped(xLabel)}</text>`,
    ...lines.map(({ x, y: column, colour }) => {
      const dash = DASHES[colour % DASHES.length]!.join(" ");
      const path = pathOf(x, column, across, y);
      return `<path d="${path}" fill="none" stroke="${COLOURS[colour % COLOURS.length]}" stroke-width="2" stroke-dasharray="${dash}"/>`;
    }),
    ...held.map(
      ({ x, y: value, low, high }) =>
        `<line x1="${across(x)}" x2="${across(x)}" y1="${y(low)}" y2="${y(high)}" stroke="#1d1c1a"/>` +
        `<circle cx="${across(x)}" cy="${y(value)}" r="4" fill="#1d1c1a"/>`,
    ),
    ...lines.map(
      ({ label, colour }, i) =>
        `<text x="${SIZE.width - SIZE.right}" y="${24 + 16 * i}" text-anchor="end" fill="${COLOURS[colour % COLOURS.length]}">${escaped(label)}</text>`,
    ),
  ];
  const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE.width}" height="${SIZE.height}" font-family="system-ui, sans-serif" font-size="12">`;
  return `${head}<rect width="100%" height="100%" fill="#ffffff"/>${parts.join("\n")}</svg>\n`;
}

function pathOf(
  x: readonly number[],
  column: readonly (number | null)[],
  across: (value: number) => number,
  up: (value: number) => number,
): string {
  const stride = Math.max(1, Math.floor(x.length / MAX_POINTS));
  let path = "";
  for (let i = 0; i < x.length; i += stride) {
    const value = column[i];
    if (typeof value === "number")
      path += `${path === "" ? "M" : "L"}${across(x[i]!).toFixed(1)} ${up(value).toFixed(1)}`;
  }
  return path;
}

function extent(values: readonly number[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 1];
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Lets the browser save a text. */
export function saveFile(name: string, type: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
