/** What `aha eval` prints: a table for people, a line of JSON for programs. */

import type { Comparison, McNemar } from "../eval/compare.ts";
import type { Evaluation } from "../eval/evaluate.ts";

/** A second model's answers to the same problems. */
export interface Compared {
  readonly model: string;
  readonly evaluation: Evaluation;
  readonly comparison: Comparison;
}

/** One line: what was asked (`about`), statistics and intervals, and under `compared` those of a second model with the
 * differences (second minus first). */
export function evaluationJson(about: object, { statistics, intervals }: Evaluation, compared?: Compared): string {
  const second = compared && {
    model: compared.model,
    statistics: compared.evaluation.statistics,
    intervals: compared.evaluation.intervals,
    ...compared.comparison,
  };
  return `${JSON.stringify({ ...about, statistics, intervals, ...(second && { compared: second }) })}\n`;
}

/** A line for each statistic, with its interval. */
export function evaluationTable({ statistics, intervals }: Evaluation): string {
  return rows(
    Object.entries(statistics).map(([name, value]) => {
      const interval = intervals[name];
      return { name, text: `${number(value)}${interval ? `  (95 %: ${range(interval)})` : ""}` };
    }),
  );
}

/** A line for each statistic that both models have: its difference, and whether that is more than luck. */
export function comparisonTable({ model, evaluation, comparison }: Compared): string {
  const { differences, mcNemar } = comparison;
  const lines = Object.entries(differences).map(([name, { difference, interval }]) => {
    const isReal = interval[0] > 0 || interval[1] < 0;
    const value = number(evaluation.statistics[name]!);
    const text = `${value}${signed(difference).padStart(10)}  (95 %: ${range(interval)})${isReal ? "  *" : ""}`;
    return { name, text };
  });
  return (
    `\nAgainst it, on the same problems: ${model}\n${rows(lines)}` +
    "The second number is the difference, second minus first; * where 0 is outside its interval (paired bootstrap).\n" +
    (mcNemar ? mcNemarText(mcNemar) : "")
  );
}

function mcNemarText({ onlyFirst, onlySecond, pValue }: McNemar): string {
  return (
    `First answers: ${onlyFirst} problems only the first solves, ${onlySecond} only the second; McNemar's exact test: ` +
    `p = ${pValue < 0.001 ? pValue.toExponential(1) : pValue.toFixed(3)}.\n`
  );
}

function rows(lines: readonly { readonly name: string; readonly text: string }[]): string {
  const width = Math.max(0, ...lines.map(({ name }) => name.length)) + 2;
  return lines.map(({ name, text }) => `${name.padEnd(width)}${text}\n`).join("");
}

const number = (value: number) => value.toFixed(3).padStart(9);
const signed = (value: number) => `${value < 0 ? "" : "+"}${value.toFixed(3)}`;
const range = ([low, high]: readonly [number, number]) => `${low.toFixed(3)} to ${high.toFixed(3)}`;
