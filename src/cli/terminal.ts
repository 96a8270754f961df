/**
 * A run as a person follows it: what is happening and why, in words for readers who are new to reinforcement learning,
 * with one line of progress. It only displays events and decides nothing.
 */

import { count, decimal, percent, plain } from "../number-text.ts";
import type { RunEvent } from "../recipe/observer.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { EvaluationRecord } from "../run/records.ts";
import { trainers } from "../train/trainers.ts";
import { SamplingProgress } from "./sampling-progress.ts";
import { StatusLine } from "./terminal-line.ts";
import { StageProgress } from "./terminal-progress.ts";
import { type Style, styleFor, wrap } from "./terminal-style.ts";

/** Text is set no wider than this, however wide the terminal. */
const TEXT_WIDTH = 92;

export class RunTerminal {
  private readonly write: (text: string) => void;
  private readonly style: Style;
  private readonly status: StatusLine;
  private readonly recipe: Recipe;
  private progress: StageProgress | undefined;
  private readonly evaluating = new SamplingProgress();
  /** The newest sampled evaluation of the run. */
  private lastEvaluation: EvaluationRecord | undefined;

  constructor(recipe: Recipe, options: { readonly write: (text: string) => void; readonly interactive: boolean }) {
    this.recipe = recipe;
    this.write = options.write;
    this.style = styleFor(options.interactive);
    this.status = new StatusLine({ ...options, columns: () => process.stderr.columns ?? 100 });
  }

  /** The first lines: what is asked, and where the answer will lie. */
  start(runPath: string): void {
    const { name, seed, question } = this.recipe;
    this.line(`${this.style.bold(name)}, seed ${seed} → ${runPath}`);
    this.paragraph(question);
  }

  observe(event: RunEvent): void {
    switch (event.type) {
      case "ready": {
        const { parameterCount, name } = event.engine;
        const model = this.recipe.model.init
          ? "random weights: it knows nothing yet"
          : `weights of ${this.recipe.model.path}`;
        const size = parameterCount === undefined ? "" : `${count(parameterCount)} parameters, `;
        this.paragraph(`The model: ${size}${model}. Computed by ${name}.`);
        if (event.resumedFrom) this.paragraph(`Continuing from checkpoint ${event.resumedFrom}.`);
        return;
      }
      case "stage-started":
        this.stageStarted(event);
        return;
      case "progress":
        this.progress?.progress(event.progress);
        this.status.update(() => `  ${this.progress?.text() ?? ""}`);
        return;
      case "metrics":
        this.progress?.row(event.row);
        return;
      case "timing":
        this.progress?.timing(event.row);
        return;
      case "evaluating":
        this.status.update(() => `  testing on held-out problems: ${this.evaluating.text("", event.progress)}`);
        return;
      case "evaluated":
        this.evaluated(event.record);
        return;
      case "alarm":
        this.status.keep();
        this.line(
          `  ${this.style[ALARM_STYLES[event.state]](`${ALARM_SIGNS[event.state]} step ${event.step}`)}: ${event.message}`,
        );
        return;
      case "warning":
        this.status.keep();
        this.line(`Warning: ${event.message}`);
        return;
      case "stage-finished":
      case "finished":
        return;
      default:
        event satisfies never;
    }
  }

  /** Clears the progress line, so that other output can follow. */
  stop(): void {
    this.status.keep();
  }

  private stageStarted({ stage, index, count: stages, stepsDone }: Extract<RunEvent, { type: "stage-started" }>) {
    this.status.keep();
    const { unit, words } = trainers.get(stage.trainer);
    this.progress = new StageProgress(unit);
    this.write("\n");
    this.line(this.style.bold(`Stage ${index + 1} of ${stages}: ${stage.name}`));
    this.paragraph(words.explain(stage));
    if (stepsDone > 0) this.paragraph(`${count(stepsDone)} steps of it are done already.`);
  }

  private evaluated(record: EvaluationRecord): void {
    if (record.decoding === "greedy") {
      this.status.clear();
      return;
    }
    // At the end of a stage its last numbers are shown.
    if (record.moment === "after" && this.progress) this.status.update(() => `  ${this.progress!.text()}`, true);
    this.status.keep();
    if (record.statistics.accuracy !== undefined) {
      const { accuracy, margin } = record.statistics;
      this.line(
        `  ${WHEN[record.moment]}: ${this.style.bold(`${percent(accuracy)} ranked right`)} of ${record.completions.length} ` +
          `pairs it never trains on; the better answer is ${decimal(margin)} ahead`,
      );
      if (record.moment === "after") this.progress = undefined;
      return;
    }
    const { solveRate, tries, meanLength, formatRate } = record.statistics;
    const was = this.lastEvaluation?.statistics.solveRate;
    const change = was === undefined ? "" : this.style.dim(` (it was ${percent(was)})`);
    const problems = `${record.completions.length / (record.sampling?.samples ?? 1)} problems it never trains on`;
    const rate = solveRate === undefined ? `${percent(formatRate)} well-formed` : `${percent(solveRate)} solved`;
    const tried = tries === undefined ? "" : `${decimal(tries)} tries, `;
    this.line(
      `  ${WHEN[record.moment]}: ${this.style.bold(rate)}${change} of ${problems}; ${tried}${plain(meanLength)} tokens each`,
    );
    this.lastEvaluation = record;
    if (record.moment === "after") this.progress = undefined;
  }

  private line(text: string): void {
    this.status.clear();
    this.write(`${text}\n`);
  }

  private paragraph(text: string): void {
    for (const line of wrap(text, TEXT_WIDTH)) this.line(`  ${line}`);
  }
}

const ALARM_SIGNS = { raised: "Alarm,", cleared: "Alarm over,", note: "Note," } as const;
const ALARM_STYLES = { raised: "bad", cleared: "good", note: "dim" } as const;

const WHEN: Readonly<Record<EvaluationRecord["moment"], string>> = {
  before: "At the start",
  during: "On the way",
  after: "At its end",
};
