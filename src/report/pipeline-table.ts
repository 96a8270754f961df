/** The table of a pipeline: a line a stage, and what its model reached on each held-out suite. */

import { clock, percent, plain } from "../number-text.ts";
import type { PipelineSummary, SuiteResult } from "../run/pipeline-records.ts";

/** One line. */
export interface PipelineTableRow {
  readonly name: string;
  readonly note: string | undefined;
  readonly cells: readonly string[];
}

/** Ready to print. */
export interface PipelineTable {
  readonly header: readonly string[];
  readonly rows: readonly PipelineTableRow[];
}

/** Statistics that count something, and may still lie between 0 and 1; tasks' own are shares where they do. */
const COUNTS = /length|tries|words|margin|loss|reward/i;

/** A statistic of a result with its interval, as people read it; a dash where the result has none. */
export function statisticCell({ statistics, intervals }: SuiteResult, name: string): string {
  const value = statistics[name];
  const interval = intervals[name];
  const isShare = !COUNTS.test(name) && value !== null && value !== undefined && value >= 0 && value <= 1;
  const shown = isShare ? percent : plain;
  return interval === undefined ? shown(value) : `${shown(value)} (${shown(interval[0])} to ${shown(interval[1])})`;
}

/** Whether any stage was measured so, by the suite or by any. */
function hasStatistic(stages: PipelineSummary["stages"], name: string, suite?: string): boolean {
  return stages.some(({ evaluations }) =>
    Object.entries(evaluations).some(
      ([of, { statistics }]) => (suite === undefined || of === suite) && name in statistics,
    ),
  );
}

/** The table: stage, its state, its time, and each column in the suites that have it; all, where none has. */
export function pipelineTable({ stages, suites, columns }: PipelineSummary): PipelineTable {
  const shown = suites.flatMap((suite) =>
    columns
      .filter((name) => hasStatistic(stages, name, suite) || !hasStatistic(stages, name))
      .map((name) => ({ suite, name })),
  );
  const title = ({ suite, name }: { suite: string; name: string }) => (suites.length > 1 ? `${suite} ${name}` : name);
  const rows = stages.map((stage): PipelineTableRow => {
    const made = stage.rows ? `${stage.rows.train + stage.rows.test} rows` : stage.output.type;
    const results = shown.map(({ suite, name }) => {
      const result = stage.evaluations[suite];
      return result === undefined ? "" : statisticCell(result, name);
    });
    return {
      name: stage.name,
      note: stage.note,
      cells: [stage.name, stage.kind, stage.session, clock(stage.seconds), made, ...results],
    };
  });
  return { header: ["stage", "kind", "status", "time", "made", ...shown.map(title)], rows };
}
