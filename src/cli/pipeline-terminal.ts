/**
 * A pipeline as a person follows it: which stage, why it runs, how far it is, what it changed. It only displays events.
 */

import { clock, count, percent } from "../number-text.ts";
import type { RunnerEvent } from "../pipeline/runner.ts";
import { DEFAULT_COLUMNS, type PipelineFile } from "../pipeline/schema.ts";
import { statisticCell } from "../report/pipeline-table.ts";
import { SamplingProgress } from "./sampling-progress.ts";
import { RunTerminal } from "./terminal.ts";
import { StatusLine } from "./terminal-line.ts";
import { bar } from "./terminal-progress.ts";
import { type Style, styleFor } from "./terminal-style.ts";

const ACTIONS = { run: "running", resume: "going on", reuse: "reused", left: "left alone" } as const;

export class PipelineTerminal {
  private readonly options: { readonly write: (text: string) => void; readonly interactive: boolean };
  private readonly style: Style;
  private readonly status: StatusLine;
  private columns: readonly string[] = [];
  private readonly measuring = new SamplingProgress();
  /** Of the training stage at hand. */
  private training: RunTerminal | undefined;

  constructor(options: { readonly write: (text: string) => void; readonly interactive: boolean }) {
    this.options = options;
    this.style = styleFor(options.interactive);
    this.status = new StatusLine({ ...options, columns: () => process.stderr.columns ?? 100 });
  }

  /** The first lines. */
  start({ name, seed, question, pipeline, evaluate }: PipelineFile, shownPath: string): void {
    this.columns = evaluate?.columns ?? DEFAULT_COLUMNS;
    this.line(`${this.style.bold(name)}, seed ${seed}, ${pipeline.length} stages → ${shownPath}`);
    if (question !== "") this.line(`  ${question}`);
  }

  observe(event: RunnerEvent): void {
    switch (event.type) {
      case "stage": {
        this.endTraining();
        const { name, kind, index, count: stages, action, reason, recipe, folder } = event;
        const title = this.style.bold(`[${index + 1}/${stages}] ${name}`);
        this.line(`\n${title} (${kind}): ${ACTIONS[action]}, ${reason}`);
        if (recipe === undefined || action === "reuse" || action === "left") return;
        this.training = new RunTerminal(recipe, this.options);
        this.training.start(folder);
        return;
      }
      case "training":
        this.training?.observe(event.event);
        return;
      case "collecting": {
        const { prompts, totalPrompts, kept, candidates, tokens } = event.progress;
        const sampled = tokens === 0 ? "" : `, ${count(tokens)} tokens of the next`;
        this.status.update(
          () => `  ${bar(prompts / totalPrompts)} ${prompts}/${totalPrompts}  kept ${kept} of ${candidates}${sampled}`,
        );
        return;
      }
      case "collected":
        this.collected(event.lineage);
        return;
      case "measuring":
        this.endTraining();
        this.status.update(() => `  measuring on ${event.suite}: ${this.measuring.text("", event.progress)}`);
        return;
      case "measured": {
        this.endTraining();
        const shown = this.columns.filter((name) => event.result.statistics[name] !== undefined);
        const cells = shown.map((name) => `${name} ${statisticCell(event.result, name)}`);
        this.line(`  ${event.suite}: ${cells.join("  ")}`);
        return;
      }
      case "stage-finished":
        this.endTraining();
        this.line(this.style.dim(`  ${event.name}: ${clock(event.record.seconds)}`));
        return;
      case "finished":
        this.endTraining();
        return;
      default:
        event satisfies never;
    }
  }

  /** Clears the progress line, so that other output can follow. */
  stop(): void {
    this.endTraining();
    this.status.keep();
  }

  private collected({ rows, dropped, kept, candidates }: Readonly<Record<string, unknown>>): void {
    const { train, test } = rows as { readonly train: number; readonly test: number };
    this.line(`  ${count(train)} rows${test === 0 ? "" : ` and ${count(test)} held out`}`);
    if (typeof kept !== "number" || typeof candidates !== "number") return;
    const lines = Object.entries(dropped as Readonly<Record<string, number>>).map(([by, many]) => `${by} ${many}`);
    const share = percent(kept / candidates);
    this.line(`  kept ${kept} of ${candidates} completions (${share}); dropped: ${lines.join(", ") || "none"}`);
  }

  private endTraining(): void {
    this.training?.stop();
    this.training = undefined;
  }

  private line(text: string): void {
    this.status.clear();
    this.options.write(`${text}\n`);
  }
}
