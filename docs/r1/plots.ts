/**
 * The plots of docs/r1.md, from the run directory of recipes/r1/tiny/pipeline.yaml:
 *
 *     npx tsx docs/r1/plots.ts runs/r1-tiny-1
 *
 * A curve is a metric of a stage, with its moving average; the charts are those of the report page, as files of their own.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ChartSpec, chart } from "../../src/report/chart.ts";
import { percent } from "../../src/report/numbers.ts";
import { STYLE } from "../../src/report/style.ts";
import { readRun } from "../../src/run/run-reader.ts";

interface Plot {
  readonly file: string;
  readonly stage: string;
  readonly title: string;
  /** By metric: what the legend calls it. */
  readonly metrics: Readonly<Record<string, string>>;
  readonly asShare: boolean;
}

const PLOTS: readonly Plot[] = [
  {
    file: "r1-zero.svg",
    stage: "r1-zero",
    title: "R1-Zero",
    metrics: { solve_rate: "solved", "task/languageConsistency": "words in the prompt's language" },
    asShare: true,
  },
  {
    file: "r1-zero-length.svg",
    stage: "r1-zero",
    title: "R1-Zero: length",
    metrics: { "completions/mean_length": "tokens per answer" },
    asShare: false,
  },
  {
    file: "reasoning-rl.svg",
    stage: "reasoning-rl",
    title: "Reasoning RL",
    metrics: { solve_rate: "solved", "task/languageConsistency": "words in the prompt's language" },
    asShare: true,
  },
  {
    file: "r1.svg",
    stage: "r1",
    title: "RL for all scenarios",
    metrics: { "task/countdown/solveRate": "Countdown solved", "task/helpful": "helpful", "task/harmless": "harmless" },
    asShare: true,
  },
];

const [runDirectory] = process.argv.slice(2);
if (runDirectory === undefined) throw new Error("usage: npx tsx docs/r1/plots.ts RUN_DIRECTORY");

for (const { file, stage, title, metrics, asShare } of PLOTS) {
  const rows = readRun(join(runDirectory, "stages", stage)).metrics;
  const series = Object.entries(metrics).map(([name, label]) => ({
    label,
    points: rows.flatMap((row) => (typeof row[name] === "number" ? [{ x: row.step, y: row[name] }] : [])),
  }));
  const spec: ChartSpec = {
    ...{ title, caption: "", xLabel: "optimizer step", series },
    ...(asShare ? { yMin: 0, yMax: 1, format: percent } : { yMin: 0 }),
  };
  const svg = /<svg[\s\S]*<\/svg>/.exec(chart(spec)?.text ?? "")?.[0];
  if (svg === undefined) throw new Error(`${stage} has none of the metrics ${Object.keys(metrics).join(", ")}`);
  const legend = series.map(({ label }, i) => {
    const [x, y] = [56 + 130 * i, 206];
    return `<path class="line s${i}" d="M${x} ${y - 4}h16"/><text x="${x + 21}" y="${y}">${label}</text>`;
  });
  const whole = svg
    .replace(/<svg viewBox="0 0 340 190"/, '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 440 216" width="660"')
    .replace("</svg>", `${legend.join("")}</svg>`)
    .replace(/(<svg[^>]*>)/, `$1<style>${STYLE.slice(0, STYLE.indexOf(".problem"))}</style>`);
  writeFileSync(new URL(`./${file}`, import.meta.url), `${whole}\n`);
}
