/** The charts of a stage as the report draws them without a script. */

import { stageCharts } from "../inspect/chart-catalogue.ts";
import { percent } from "../number-text.ts";
import type { MetricsRecord } from "../run/records.ts";
import type { RunSnapshot } from "../run/run-reader.ts";
import { type ChartSeries, type ChartSpec, chart } from "./chart.ts";
import type { Html } from "./html.ts";

/** One figure for each chart of the stage that has something to show. */
export function stageCurves(run: RunSnapshot, stage: string, trainer: string): Html[] {
  const rows = run.metrics.filter((row) => row.stage === stage);
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return stageCharts(stage, trainer, names, run.evaluations).flatMap(
    ({ metrics, heldOut, isShare, id: _, ...spec }) => {
      const measured = metrics.map(({ name, label }) => seriesOf(rows, name, label));
      const series = measured.length > 0 ? measured : heldOut.map(({ label, points }) => ({ label, points }));
      if (series.every(({ points }) => points.every(({ y }) => y === 0))) return [];
      const evaluations = measured.length > 0 ? (heldOut[0]?.points ?? []) : [];
      const drawn: ChartSpec = { ...spec, xLabel: "optimizer step", series, evaluations };
      return chart(isShare ? { ...drawn, format: percent } : drawn) ?? [];
    },
  );
}

function seriesOf(rows: readonly MetricsRecord[], name: string, label: string): ChartSeries {
  const points = rows.flatMap((row) => {
    const y = row[name];
    return typeof y === "number" ? [{ x: row.step, y }] : [];
  });
  return { label, points };
}
