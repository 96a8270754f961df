/**
 * Draws the picture of a Countdown run that the README and docs/real-model.md show:
 *
 *     npx tsx docs/draw-rise.ts runs/countdown-tiny-1 docs/countdown-tiny.svg
 *
 * Two curves over the iterations of R1-Zero, each faint as measured and bold as a moving mean.
 */

import { writeFileSync } from "node:fs";
import { readRun } from "../src/run/run-reader.ts";
import { mean } from "../src/statistics.ts";

/** Size of a panel in the picture's units, and where its curves' zero and top are. */
const WIDTH = 260;
const BOTTOM = 170;
const TOP = 30;
/** Values on either side that a moving mean takes, fewer near the ends. */
const REACH = 5;

interface Panel {
  readonly title: string;
  readonly left: number;
  readonly top: number;
  readonly marks: readonly string[];
  readonly values: readonly number[];
}

const [runDirectory, picture] = process.argv.slice(2);
if (runDirectory === undefined || picture === undefined) {
  throw new Error("usage: npx tsx docs/draw-rise.ts RUN_DIRECTORY PICTURE.svg");
}
const rows = readRun(runDirectory).metrics.filter((row) => row.stage === "r1-zero");
const valuesOf = (metric: string) => rows.map((row) => Number(row[metric]));
const [solved, tries] = [valuesOf("solve_rate"), valuesOf("tries/mean")];
const panels: Panel[] = [
  { title: "solved, of training problems", left: 44, top: 1, marks: ["0 %", "50 %", "100 %"], values: solved },
  { title: "tries per answer", left: 364, top: 10, marks: ["0", "5", "10"], values: tries },
];
const ends = (values: readonly number[], digits: number) =>
  `from ${mean(values.slice(0, REACH)).toFixed(digits)} to ${mean(values.slice(-REACH)).toFixed(digits)}`;
const label =
  `Over ${rows.length} iterations the share of training problems that is solved rises ${ends(solved, 2)}, ` +
  `and the tries per answer ${ends(tries, 1)}.`;
const svg =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 200" role="img" aria-label="${label}" ` +
  `font-family="system-ui, sans-serif" font-size="11" fill="#777">${panels.map(drawn).join("")}</svg>\n`;
writeFileSync(picture, svg);

function drawn({ title, left, top, marks, values }: Panel): string {
  const right = left + WIDTH;
  const grid = marks.map((mark, i) => {
    const y = BOTTOM - ((BOTTOM - TOP) * i) / (marks.length - 1);
    const line = `<line x1="${left}" x2="${right}" y1="${y}" y2="${y}" stroke="#8884"/>`;
    return `${line}<text x="${left - 6}" y="${y + 4}" text-anchor="end">${mark}</text>`;
  });
  const path = (points: readonly number[], style: string) => {
    const place = (value: number, i: number) =>
      `${(left + (WIDTH * i) / (points.length - 1)).toFixed(1)} ${(BOTTOM - ((BOTTOM - TOP) * value) / top).toFixed(1)}`;
    return `<path d="M${points.map(place).join("L")}" fill="none" ${style}/>`;
  };
  const smooth = values.map((_, i) => {
    const reach = Math.min(REACH, i, values.length - 1 - i);
    return mean(values.slice(i - reach, i + reach + 1));
  });
  return [
    `<text x="${left}" y="18" font-weight="bold">${title}</text>`,
    ...grid,
    path(values, 'stroke="#3b82f6" stroke-opacity="0.3"'),
    path(smooth, 'stroke="#3b82f6" stroke-width="2"'),
    `<text x="${left}" y="192">0</text>`,
    `<text x="${right}" y="192" text-anchor="end">${values.length} iterations of R1-Zero</text>`,
  ].join("");
}
