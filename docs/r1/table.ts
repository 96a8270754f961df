/**
 * The table of docs/r1.md, printed from the run directory of recipes/r1/tiny/pipeline.yaml:
 *
 *     npx tsx docs/r1/table.ts runs/r1-tiny-1
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { percent } from "../../src/report/numbers.ts";
import { PIPELINE_FILES, pipelineSummarySchema } from "../../src/run/pipeline-records.ts";

const STAGES: Readonly<Record<string, string>> = {
  base: "base",
  "r1-zero": "1 R1-Zero",
  "cold-start-sft": "3 SFT on cold-start data",
  "reasoning-rl": "4 reasoning RL",
  "sft-2": "6 SFT on rejection samples",
  r1: "7 RL for all scenarios: **R1**",
  "student-base": "the student's base",
  student: "8 student, distilled",
  "student-rl": "for comparison: RL on the student's base",
  "student-on-policy": "8 student, then on-policy",
};

const [runDirectory] = process.argv.slice(2);
if (runDirectory === undefined) throw new Error("usage: npx tsx docs/r1/table.ts RUN_DIRECTORY");
const summary = pipelineSummarySchema.parse(
  JSON.parse(readFileSync(join(runDirectory, PIPELINE_FILES.summary), "utf8")),
);

const lines = Object.entries(STAGES).map(([name, label]) => {
  const evaluations = summary.stages.find((stage) => stage.name === name)?.evaluations;
  const game = evaluations?.countdown;
  const requests = evaluations?.assistant;
  if (!game || !requests) throw new Error(`${runDirectory} has no evaluations of ${name}`);
  const share = (name: string, { statistics, intervals } = game): string => {
    const interval = intervals[name];
    const around = interval
      ? ` (${percent(interval[0]).replace(" %", "")}–${percent(interval[1]).replace(" %", "")})`
      : "";
    return percent(statistics[name] ?? Number.NaN) + around;
  };
  const only = (name: string): string => percent(game.statistics[name] ?? Number.NaN);
  const number = (name: string, digits: number): string => (game.statistics[name] ?? Number.NaN).toFixed(digits);
  return `| ${[
    label,
    share("solveRate"),
    only("formatRate"),
    only("languageConsistency"),
    number("meanLength", 0),
    number("tries", 1),
    only("falseYes"),
    share("helpful", requests),
    share("harmless", requests),
  ].join(" | ")} |`;
});
const header = '| after stage | solved | form | one language | tokens | tries | false "yes" | helpful | harmless |';
process.stdout.write(`${[header, "|---|---|---|---|---|---|---|---|---|", ...lines].join("\n")}\n`);
process.stderr.write(`${(summary.seconds / 60).toFixed(1)} minutes\n`);
