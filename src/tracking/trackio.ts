/**
 * The tracker `trackio`: the inbox of Hugging Face's trackio (its `fragments.py`, version 0.43). The dashboard, also one that
 * is started later, takes what lies there into its database and removes it; it asks every 15 seconds.
 *
 *     $TRACKIO_DIR/inbox/<writer>/<number>.jsonl   lines of JSON; written under another name, then renamed
 *
 * A line has a `log_id`, which the database takes once. It is made of what the line says, so a line that is written again
 * after a kill changes nothing. Since the inbox is emptied by others, what was written is noted in the run directory.
 *
 * Completions are traces, with prompt and completion as the messages of a conversation.
 */

import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { writeWhole } from "../files.ts";
import { flatConfig } from "./config.ts";
import { completionsKey } from "./keys.ts";
import { type Place, trackerOf } from "./place.ts";
import { jsonNumber, type Points, type TextPoint, type TrackedCompletion, tagsOf } from "./points.ts";
import { newRunId, readState, writeState } from "./state-file.ts";
import { defineTracker, type RunEnd, type TrackedRun } from "./tracker.ts";

const NAME = "trackio";
/** The dashboard asks every 15 seconds; a file for each step would be many. */
const PAUSE_MS = 5_000;
const FRAGMENT_VERSION = 1;

const stateSchema = z.strictObject({
  id: z.string(),
  /** trackio's folder, and the last step of each tag that was written there. */
  directory: z.string(),
  steps: z.record(z.string(), z.number()),
});

type State = z.infer<typeof stateSchema>;

export const trackio = defineTracker({
  name: NAME,
  summary: "Hugging Face's local dashboard",
  shape: () => ({
    project: z.string().min(1).optional().describe("the project there; the recipe's name if absent"),
    run: z.string().min(1).optional().describe("what the run is called there; the run directory's name if absent"),
    completions: completionsKey(),
  }),
  open: async (run, { project = run.name, run: name = basename(run.directory), completions }) => {
    const directory = trackioDirectory();
    const noted = await readState(run.directory, NAME, stateSchema);
    const steps = noted?.directory === directory ? noted.steps : {};
    const state = { id: noted?.id ?? newRunId(), directory, steps };
    const place = new Inbox(run, state, { project, name });
    return trackerOf(place, run, { name: NAME, completions, isBehind: run.resumed !== undefined, pauseMs: PAUSE_MS });
  },
});

/** Where trackio keeps everything (its `utils.py`; HF_HOME is huggingface_hub's). */
function trackioDirectory(): string {
  const { TRACKIO_DIR, HF_HOME, XDG_CACHE_HOME } = process.env;
  const cache = XDG_CACHE_HOME || join(homedir(), ".cache");
  return resolve(TRACKIO_DIR || join(HF_HOME || join(cache, "huggingface"), "trackio"));
}

class Inbox implements Place {
  private readonly run: TrackedRun;
  private readonly names: { readonly project: string; readonly run: string; readonly run_id: string };
  private state: State;
  private isConfigured = false;
  private written = 0;

  constructor(run: TrackedRun, state: State, { project, name }: { readonly project: string; readonly name: string }) {
    this.run = run;
    this.state = state;
    this.names = { project, run: name, run_id: state.id };
  }

  async lastSteps(): Promise<ReadonlyMap<string, number>> {
    return new Map(Object.entries(this.state.steps));
  }

  async write(points: readonly Points[]): Promise<void> {
    await this.put(points.flatMap((some) => this.lines(some)));
    const steps = { ...this.state.steps };
    for (const some of points) for (const tag of tagsOf(some)) steps[tag] = some.step;
    this.state = { ...this.state, steps };
    await writeState(this.run.directory, NAME, this.state);
  }

  async finish(end: RunEnd): Promise<void> {
    const at = Date.now();
    const text = end.state === "finished" ? "The run is complete." : end.reason;
    const level = end.state === "failed" ? "error" : "info";
    const lines: object[] = [this.alert({ title: `run ${end.state}`, text, level, at })];
    if (end.state === "finished") {
      const { seconds } = end.summary;
      const config = { ...this.config(), state: end.state, summary: end.summary };
      lines.push(this.metric({ "run/seconds": seconds }, { step: 0, at, id: ["run/seconds"], config }));
    }
    await this.put(lines);
  }

  private lines({ step, at, scalars, texts }: Points): object[] {
    const lines: object[] = [];
    const metrics: Record<string, unknown> = Object.fromEntries(
      scalars.map(([tag, value]) => [tag, jsonNumber(value)]),
    );
    for (const text of texts) {
      if (text.kind === "completions") metrics[text.tag] = text.completions.map(trace);
      else lines.push(this.alarm(text, step, at));
    }
    const tags = Object.keys(metrics);
    if (tags.length > 0) lines.push(this.metric(metrics, { step, at, id: tags }));
    return lines;
  }

  private metric(
    metrics: object,
    about: { readonly step: number; readonly at: number; readonly id: readonly string[]; readonly config?: object },
  ): object {
    const { step, at, id, config } = about;
    const first = this.isConfigured ? null : this.config();
    this.isConfigured = true;
    return {
      ...{ v: FRAGMENT_VERSION, kind: "metric", ...this.names, metrics, step, timestamp: timeText(at) },
      ...{ config: config ?? first, log_id: this.id([...id, step]) },
    };
  }

  private alarm({ tag, isRaised, message }: TextPoint & { readonly kind: "alarm" }, step: number, at: number): object {
    const title = tag.replace(/\/message$/, "");
    return this.alert({ title, text: message, level: isRaised ? "warn" : "info", at, step });
  }

  private alert(about: { title: string; text: string; level: string; at: number; step?: number }): object {
    const { title, text, level, at, step = null } = about;
    return {
      ...{ v: FRAGMENT_VERSION, kind: "alert", ...this.names, title, text, level, step, timestamp: timeText(at) },
      alert_id: this.id([title, step, step === null ? at : null]),
    };
  }

  private config(): object {
    return Object.fromEntries(flatConfig(this.run.recipe));
  }

  /** The same for the same thing said of the same run. */
  private id(parts: readonly unknown[]): string {
    return createHash("sha256")
      .update(JSON.stringify([this.state.id, ...parts]))
      .digest("hex")
      .slice(0, 32);
  }

  /** Puts a file of lines into the inbox, whole. */
  private async put(lines: readonly object[]): Promise<void> {
    const folder = join(this.state.directory, "inbox", `aha-${this.state.id}`);
    const name = `${String(Date.now()).padStart(14, "0")}${String(this.written++).padStart(6, "0")}.jsonl`;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    for (let tries = 1; ; tries++) {
      try {
        await mkdir(folder, { recursive: true });
        await writeWhole(join(folder, name), text);
        return;
      } catch (error) {
        // The dashboard removes folders that it has emptied, perhaps between the two.
        if (tries === 3) throw error;
      }
    }
  }
}

/** trackio's traces (its `trace.py`). */
function trace({ prompt, completion, facts }: TrackedCompletion): object {
  const messages = [
    { role: "user", content: prompt },
    { role: "assistant", content: completion },
  ];
  return { _type: "trackio.trace", messages, metadata: facts, spans: [] };
}

/** As Python's `isoformat` writes UTC. */
function timeText(at: number): string {
  return new Date(at).toISOString().replace("Z", "+00:00");
}
