/**
 * What the page needs to show a run without a server: its view, and its numbers. `report.html` carries it, thinned out where
 * the run is long, since a line has fewer pixels than a long run has rows.
 */

import { LiveRun } from "./live-run.ts";
import type { StageColumns } from "./number-table.ts";
import { type RunView, runView } from "./run-answers.ts";

/** Rows of a stage that a frozen page has. */
const MAX_ROWS = 1500;

/** A run, frozen. */
export interface FrozenRun {
  readonly run: RunView;
  readonly columns: Readonly<Record<string, { readonly metrics: StageColumns; readonly timings: StageColumns }>>;
}

/** That of the run in `directory`. Throws RunDirError where its recipe cannot be read. */
export async function frozenRun(directory: string): Promise<FrozenRun> {
  const live = new LiveRun(directory);
  await live.refresh();
  const { recipeYaml: _, events, ...run } = runView(directory, undefined, live);
  const columns = run.stages.map(({ name }) => {
    const metrics = thinned(live.metrics.columns(name, live.metrics.names(name)));
    const timings = thinned(live.timings.columns(name, live.timings.names(name)));
    return [name, { metrics, timings }] as const;
  });
  // The page that carries it has the recipe itself; of the diary the picture of time needs where stages began.
  const kept = events.filter(({ event }) => event !== "checkpoint" && event !== "usage");
  return { run: { ...run, recipeYaml: "", events: kept }, columns: Object.fromEntries(columns) };
}

function thinned({ steps, columns }: StageColumns): StageColumns {
  const stride = Math.max(1, Math.ceil(steps.length / MAX_ROWS));
  // The last row is where the run stands: it is never left out.
  const keep = <T>(values: readonly T[]) => values.filter((_, i) => i % stride === 0 || i === values.length - 1);
  const short = (value: number | null) => (value === null ? null : Number(value.toPrecision(6)));
  const entries = Object.entries(columns).map(([name, values]) => [name, keep(values).map(short)] as const);
  return { steps: keep(steps), columns: Object.fromEntries(entries) };
}
