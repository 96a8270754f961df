/**
 * `report.html`: one page that tells a complete run. It asks for nothing from the network, so it can be opened from disk,
 * mailed and archived, and says everything without a script; where one may run, its charts are the dashboard's. Everything
 * in it comes from the run directory.
 */

import { join } from "node:path";
import { RunDirError } from "../errors.ts";
import { writeWhole } from "../files.ts";
import { frozenRun } from "../inspect/frozen-run.ts";
import { pageFilesIfThere } from "../inspect/page-files.ts";
import { visibleText } from "../inspect/visible-text.ts";
import { clock, count, decimal, percent, plain } from "../number-text.ts";
import { recipeToYaml } from "../run/recipe-file.ts";
import { type RunSnapshot, readRun } from "../run/run-reader.ts";
import { RUN_FILES } from "../run/run-store.ts";
import type { EvaluatedState, RunSummary, StageSummary } from "../run/summary.ts";
import { trainers } from "../train/trainers.ts";
import { alarmsHtml } from "./alarm-table.ts";
import {
  type AnswerPair,
  answerPairs,
  comparisonRows,
  evaluationsOf,
  pairsToShow,
  type StateEvaluations,
} from "./comparison.ts";
import { completionHtml } from "./completion.ts";
import { stageCurves } from "./curves.ts";
import { type Html, html } from "./html.ts";
import { type PageParts, page, TEXT_ALONE } from "./page.ts";
import { unfinishedReportHtml } from "./unfinished.ts";

/** Writes the report of a run, complete or given up, into its directory; returns the file's path. */
export async function writeReport(runPath: string): Promise<string> {
  const path = join(runPath, RUN_FILES.report);
  const run = readRun(runPath);
  const parts = { files: await pageFilesIfThere(), frozen: await frozenRun(runPath) };
  await writeWhole(path, run.summary === undefined ? unfinishedReportHtml(run, parts) : reportHtml(run, parts));
  return path;
}

/**
 * The page.
 *
 * @throws RunDirError where the run is not complete
 */
export function reportHtml(run: RunSnapshot, parts: PageParts = TEXT_ALONE): string {
  const { summary } = run;
  if (summary === undefined)
    throw new RunDirError(`The run in ${run.path} is not complete; it has no summary to report.`);
  const states = comparedStates(run, summary);
  const { parameters } = summary.model;
  const size = parameters === undefined ? "" : `${count(parameters)} parameters · `;
  return page(
    summary.recipe,
    html`<h1>${summary.recipe}</h1>
<p class="question">${summary.question}</p>
<p class="soft">Seed ${summary.seed} · ${size}${clock(summary.seconds)} · Aha</p>
${headline(states)}
${states.length > 1 ? comparisonTable(states) : undefined}
${alarmsHtml(run.events)}
${answers(states)}
${summary.stages.map((stage) => stageSection(run, stage))}
<div data-part="time"></div>
${lineage(summary)}
<h2>The recipe</h2>
<details><summary>As it was run, every default filled in</summary><pre>${recipeToYaml(run.recipe)}</pre></details>`,
    parts,
  );
}

/** A state of the summary with its evaluations. */
interface ComparedState extends StateEvaluations {
  readonly state: EvaluatedState;
}

/** The start, before and after; each state once. */
function comparedStates(run: RunSnapshot, summary: RunSummary): ComparedState[] {
  const states = new Map([summary.start, summary.before, summary.after].map((state) => [state.afterStage, state]));
  return [...states.values()].flatMap((state) => {
    const evaluations = evaluationsOf(run, state);
    return evaluations ? [{ state, ...evaluations }] : [];
  });
}

/** The last two of the states: before and after. */
function beforeAndAfter(states: readonly ComparedState[]): [ComparedState, ComparedState] | undefined {
  const [before, after] = states.slice(-2);
  return before && after ? [before, after] : undefined;
}

function headline(states: readonly ComparedState[]): Html | undefined {
  const pair = beforeAndAfter(states);
  if (pair === undefined) return undefined;
  const [before, after] = pair.map(({ sampled }) => sampled.statistics);
  const item = (name: string, label: string, format: (value: number | null | undefined) => string) =>
    html`<li><b>${format(before![name])} → ${format(after![name])}</b>${label}</li>`;
  if ("accuracy" in before!) {
    return html`<ul class="results">
${item("accuracy", "of the held-out pairs ranked right", percent)}
${item("margin", "by which the preferred answer is ahead", decimal)}
</ul>`;
  }
  const has = (name: string) => before![name] !== undefined || after![name] !== undefined;
  return html`<ul class="results">
${has("solveRate") ? item("solveRate", "of the held-out problems solved", percent) : item("formatRate", "of the answers well-formed", percent)}
${has("tries") ? item("tries", "tries per problem", decimal) : undefined}
${item("meanLength", "tokens per answer", plain)}
</ul>`;
}

function comparisonTable(states: readonly ComparedState[]): Html {
  const { completions, sampling } = states[0]!.sampled;
  const { temperature, samples } = sampling ?? { temperature: 1, samples: 1 };
  const problems = completions.length / samples;
  const each = samples === 1 ? "" : `, ${samples} answers each`;
  return html`<h2>Before and after</h2>
<div class="scroll"><table>
<caption>${
    "accuracy" in states[0]!.sampled.statistics
      ? `${problems} held-out pairs at each point`
      : `${problems} held-out problems at each point${each}, sampled at temperature ${temperature} unless it says greedy`
  }; 95 % intervals.</caption>
<thead><tr><td></td>${states.map(({ state }) => html`<th scope="col">${state.moment}</th>`)}</tr></thead>
<tbody>${comparisonRows(states).map(
    ({
      label,
      meaning,
      cells,
    }) => html`<tr><th scope="row">${label}<span class="soft">${meaning}</span></th>${cells.map(
      ({ value, interval }) =>
        html`<td>${value}${interval ? html`<span class="soft">${interval}</span>` : undefined}</td>`,
    )}</tr>
`,
  )}</tbody>
</table></div>`;
}

const CHANGES: Readonly<Record<AnswerPair["change"], string>> = {
  gained: "Solved only afterwards",
  missed: "Not solved, before or after",
  lost: "Solved only before",
  kept: "Solved before and after",
};

function answers(states: readonly ComparedState[]): Html | undefined {
  const pair = beforeAndAfter(states);
  if (pair === undefined) return undefined;
  const [before, after] = pair;
  const pairs = answerPairs(before.sampled, after.sampled);
  const shown = pairsToShow(pairs);
  if (shown.length === 0) return undefined;
  // One of each kind is seen without opening anything.
  const open = shown.filter(({ change }, i) => shown.findIndex((other) => other.change === change) === i);
  const more = shown.filter((one) => !open.includes(one));
  const kinds = (Object.keys(CHANGES) as AnswerPair["change"][])
    .map((change) => `${CHANGES[change].toLowerCase()}: ${pairs.filter((one) => one.change === change).length}`)
    .join(" · ");
  // Without a solve rate there is nothing that the answers could be compared with.
  const isJudged = after.sampled.statistics.solveRate !== undefined;
  const about = isJudged
    ? `Of ${pairs.length} problems, ${kinds}. A few of each kind, each answered`
    : `A few of ${pairs.length} problems, answered`;
  const tried = pairs.some((one) => one.after.tries !== undefined) ? " Numbered lines are the tries." : "";
  const shownPair = (pair: AnswerPair) => problem(pair, isJudged);
  return html`<h2>The same problems, answered before and after</h2>
<p class="soft">${about} with the same luck of the draw.${tried}</p>
${open.map(shownPair)}
${more.length > 0 ? html`<details><summary>${more.length} more problems</summary>${more.map(shownPair)}</details>` : undefined}`;
}

function problem({ before, after, change }: AnswerPair, isJudged: boolean): Html {
  const kind = isJudged ? html`<span class="soft">${CHANGES[change].toLowerCase()}</span>` : undefined;
  return html`<article class="problem"><h3 dir="auto">${visibleText(problemTitle(before.prompt))}
${kind}</h3><div class="sides">
${side("before", before, isJudged)}
${side("after", after, isJudged)}
</div></article>
`;
}

function side(when: string, answer: AnswerPair["before"], isJudged: boolean): Html {
  const right = answer.solved
    ? html`<span class="verdict right">✓ right</span>`
    : html`<span class="verdict wrong">✗ wrong</span>`;
  const verdict = isJudged ? right : undefined;
  const cut = answer.finishReason === "length" ? ", cut off" : "";
  const { tries } = answer;
  const tried = tries === undefined ? "" : `${tries === 1 ? "1 try" : `${plain(tries)} tries`} · `;
  return html`<div><h4>${when} · ${tried}${answer.lengthTokens} tokens${cut} ${verdict}</h4>
${completionHtml(answer.completion, answer.solved)}</div>`;
}

/** The prompt without the tag that opens the thinking. */
function problemTitle(prompt: string): string {
  return prompt.replace(/<think>\s*$/, "").trim();
}

function stageSection(run: RunSnapshot, stage: StageSummary): Html {
  return html`<h2>${stage.name}</h2>
<p class="soft">${trainers.find(stage.trainer)?.words.title ?? stage.trainer} · ${count(stage.steps)} steps · ${count(stage.numTokens)} tokens ·
${clock(stage.seconds)}</p>
<div class="charts" data-stage="${stage.name}">${stageCurves(run, stage.name, stage.trainer)}</div>`;
}

function lineage(summary: RunSummary): Html {
  return html`<h2>What came from what</h2>
<div class="scroll"><table><thead><tr><th scope="col">stage</th><th scope="col">trainer</th><th scope="col">started from</th><th scope="col">made</th></tr></thead>
<tbody>${summary.stages.map(
    (stage) =>
      html`<tr><th scope="row">${stage.name}</th><td>${stage.trainer}</td><td>${stage.from}</td><td>checkpoints/${stage.made}</td></tr>`,
  )}</tbody></table></div>
<p class="soft">${modelSentence(summary)}</p>`;
}

function modelSentence({ best, modelFrom }: RunSummary): Html {
  const model = html`as a model that other programs load, is in <code>model/</code>.`;
  if (best === undefined) return html`The last of them, ${model}`;
  const reached = html`The best checkpoint by held-out ${best.metric} (${decimal(best.value)}) is checkpoints/${best.name}.`;
  return best.name === modelFrom ? html`${reached} It, ${model}` : html`${reached} The last, ${model}`;
}
