/**
 * The report of a run that was given up: why, what the last steps looked like, and how to go on. It makes no comparison:
 * there is no "after".
 */

import { z } from "zod";
import { count, plain } from "../number-text.ts";
import { recipeToYaml } from "../run/recipe-file.ts";
import type { EventRecord, MetricsRecord } from "../run/records.ts";
import type { RunSnapshot } from "../run/run-reader.ts";
import { alarmsHtml } from "./alarm-table.ts";
import { stageCurves } from "./curves.ts";
import { type Html, html } from "./html.ts";
import { type PageParts, page, TEXT_ALONE } from "./page.ts";

/** Rows of metrics and events that are shown. */
const LAST_STEPS = 12;
const LAST_EVENTS = 20;

/** What this page reads of a recipe. */
const aboutSchema = z.object({
  name: z.string(),
  seed: z.number(),
  stages: z.array(z.object({ name: z.string(), trainer: z.string() })),
});

/** The page. */
export function unfinishedReportHtml(run: RunSnapshot, parts: PageParts = TEXT_ALONE): string {
  const { name, seed, stages } = aboutSchema.parse(run.recipe);
  const trained = stages.filter((stage) => run.metrics.some((row) => row.stage === stage.name));
  return page(
    `${name}, not finished`,
    html`<h1>${name}: not finished</h1>
<p class="soft">Seed ${seed} · Aha</p>
${ending(run.events)}
${alarmsHtml(run.events)}
${lastSteps(run.metrics)}
${trained.map(
  (stage) => html`<h2>${stage.name}</h2>
<div class="charts" data-stage="${stage.name}">${stageCurves(run, stage.name, stage.trainer)}</div>`,
)}
${diary(run.events)}
<h2>The recipe</h2>
<details><summary>As it was run, every default filled in</summary><pre>${recipeToYaml(run.recipe)}</pre></details>`,
    parts,
  );
}

function ending(events: readonly EventRecord[]): Html {
  const last = events.findLast(({ event }) => event === "diverged" || event === "interrupted");
  const saved = events.findLast(({ event }) => event === "checkpoint");
  const checkpoint =
    saved === undefined
      ? undefined
      : html`<p>Its newest checkpoint is of stage ${String(saved.stage)}, step
${String(saved.step)}; <code>aha run … --resume</code> goes on from it.</p>`;
  return html`<p class="question">${typeof last?.reason === "string" ? last.reason : "It has not come to its end."}</p>
${checkpoint}`;
}

/** The numbers that tell when it went wrong, of the last steps. */
function lastSteps(metrics: readonly MetricsRecord[]): Html | undefined {
  const rows = metrics.slice(-LAST_STEPS);
  const names = ["loss", "grad_norm", "learning_rate", "skipped_steps", "reward", "kl", "entropy"].filter((name) =>
    rows.some((row) => name in row),
  );
  if (rows.length === 0) return undefined;
  return html`<h2>The last steps</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">stage</th><th scope="col">step</th>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${rows.map(
    (row) =>
      html`<tr><th scope="row">${row.stage}</th><td>${count(row.step)}</td>${names.map((name) => html`<td>${number(row, name)}</td>`)}</tr>
`,
  )}</tbody>
</table></div>`;
}

/** JSON has no NaN: where a number was not finite, the log has null. */
function number(row: MetricsRecord, name: string): string {
  const value = row[name];
  return value === null ? "not finite" : plain(typeof value === "number" ? value : undefined);
}

function diary(events: readonly EventRecord[]): Html {
  return html`<h2>What happened last</h2>
<div class="scroll"><table><tbody>${events.slice(-LAST_EVENTS).map(({ at, event, ...details }) => {
    const text = Object.entries(details).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
    return html`<tr><th scope="row">${event}</th><td>${at}</td><td>${text.join(", ")}</td></tr>
`;
  })}</tbody></table></div>`;
}
