/**
 * The page that a pipeline leaves: the table of its stages with their measured effect, what each was for, and where its
 * own page lies. Like a run's page it runs no script and asks for nothing from the network.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { RunDirError } from "../errors.ts";
import { writeWhole } from "../files.ts";
import { pageFilesIfThere } from "../inspect/page-files.ts";
import { parseJson } from "../json-text.ts";
import { clock } from "../number-text.ts";
import { PIPELINE_FILES, type PipelineSummary, pipelineSummarySchema } from "../run/pipeline-records.ts";
import { RUN_FILES } from "../run/run-store.ts";
import { html } from "./html.ts";
import { type PageParts, page, TEXT_ALONE } from "./page.ts";
import { pipelineTable } from "./pipeline-table.ts";

/** Writes the page of the pipeline in `directory`, whose summary is there; returns its path. Throws RunDirError. */
export async function writePipelineReport(directory: string): Promise<string> {
  const summaryPath = join(directory, PIPELINE_FILES.summary);
  const parsed = pipelineSummarySchema.safeParse(
    parseJson(readFileSync(summaryPath, "utf8"), summaryPath, RunDirError),
  );
  if (!parsed.success) throw new RunDirError(`${summaryPath} is not as Aha writes it.`);
  const path = join(directory, PIPELINE_FILES.report);
  const pageOf = (stage: string) => {
    const page = `${PIPELINE_FILES.stages}/${stage}/${RUN_FILES.report}`;
    return existsSync(join(directory, page)) ? page : undefined;
  };
  const file = readFileSync(join(directory, PIPELINE_FILES.pipeline), "utf8");
  await writeWhole(path, pipelineReportHtml(parsed.data, pageOf, file, { files: await pageFilesIfThere() }));
  return path;
}

/** The page; `pageOf` gives the link to a stage's own, `file` is the pipeline's text. */
function pipelineReportHtml(
  summary: PipelineSummary,
  pageOf: (stage: string) => string | undefined,
  file: string,
  parts: PageParts = TEXT_ALONE,
): string {
  const { header, rows } = pipelineTable(summary);
  return page(
    summary.pipeline,
    html`<h1>${summary.pipeline}</h1>
<p class="question">${summary.question}</p>
<p class="soft">Seed ${summary.seed} · ${summary.stages.length} stages · ${clock(summary.seconds)} · Aha</p>
<h2>The stages and their effect</h2>
<div class="scroll"><table>
<caption>${caption(summary)}</caption>
<thead><tr>${header.map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>
<tbody>${rows.map(({ name, note, cells: [, ...cells] }) => {
      const link = pageOf(name);
      const title = link === undefined ? html`${name}` : html`<a href="${link}">${name}</a>`;
      return html`<tr><th scope="row">${title}${note === undefined ? undefined : html`<span class="soft">${note}</span>`}</th>${cells.map(
        (cell) => html`<td>${cell}</td>`,
      )}</tr>
`;
    })}</tbody>
</table></div>
<h2>What came from what</h2>
<div class="scroll"><table><thead><tr><th scope="col">stage</th><th scope="col">needs</th><th scope="col">output</th><th scope="col">content hash</th></tr></thead>
<tbody>${summary.stages.map(
      ({ name, needs, output }) =>
        html`<tr><th scope="row">${name}</th><td>${needs.join(", ") || "nothing before it"}</td><td><code>${output.path}</code></td><td><code>${output.hash.slice(0, 16)}</code></td></tr>`,
    )}</tbody></table></div>
<h2>The pipeline</h2>
<details><summary>As it was run</summary><pre>${file}</pre></details>`,
    parts,
  );
}

function caption({ stages, suites }: PipelineSummary): string {
  const problems = suites.flatMap((suite) => {
    const result = stages.map(({ evaluations }) => evaluations[suite]).find((each) => each !== undefined);
    return result === undefined ? [] : [`${suite}: ${result.problems}`];
  });
  if (problems.length === 0) return "No stage was measured: the pipeline names no suites (evaluate).";
  return `Held-out problems (${problems.join(", ")}), the same for every stage; in brackets 95 % intervals.`;
}
