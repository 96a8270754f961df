/**
 * The tracker `tensorboard`: event files, as `tensorboard --logdir` reads them. `wandb sync`, `trackio import` and `swanlab
 * convert` read them too.
 *
 * They lie in `RUN/tensorboard`, or below a folder of the user's, in one named like the run directory. Each session of a run
 * begins a file of its own: TensorBoard reads the files of a folder in the order of their names, and goes on to the next one
 * also where a killed session left half a record.
 */

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { ConfigError, RunDirError } from "../../errors.ts";
import { readTextFileIfPresent, writeFailure, writeWhole } from "../../files.ts";
import { parseJson } from "../../json-text.ts";
import { RUN_FILES } from "../../run/run-store.ts";
import { flatConfig } from "../config.ts";
import { completionsKey } from "../keys.ts";
import { type Place, trackerOf } from "../place.ts";
import type { Points, TextPoint, TrackedCompletion } from "../points.ts";
import { newRunId, readState, writeState } from "../state-file.ts";
import { defineTracker, type RunEnd, type TrackedRun } from "../tracker.ts";
import {
  type EventValue,
  SESSION_END_TAG,
  SESSION_START_TAG,
  sessionEnd,
  sessionStart,
  summaryEvent,
  tagsOfEvent,
  versionEvent,
} from "./events.ts";
import { eventFileRecords, framed } from "./record-file.ts";

const NAME = "tensorboard";
/** Says whose the event files of a folder are. */
const MARKER = "aha-run.json";
const RECIPE_TAG = "run/recipe";
const STATE_TAG = "run/state";
const SUMMARY_TAG = "run/summary";

const stateSchema = z.strictObject({ id: z.string(), logdir: z.string().nullable(), directory: z.string() });

export const tensorboard = defineTracker({
  name: NAME,
  summary: "event files for TensorBoard, W&B and other readers",
  shape: () => ({
    logdir: z
      .string()
      .min(1)
      .optional()
      .describe("a folder that gets a folder for the run, relative to where aha is started; RUN/tensorboard if absent"),
    completions: completionsKey(),
  }),
  open: async (run, { logdir = null, completions }) => {
    const noted = await readState(run.directory, NAME, stateSchema);
    const chosen =
      logdir === null ? join(run.directory, RUN_FILES.tensorboard) : join(resolve(logdir), basename(run.directory));
    // A run that is resumed from another working directory goes on where it was; its own folder moves with it.
    const directory = noted !== undefined && logdir !== null && noted.logdir === logdir ? noted.directory : chosen;
    const id = noted?.id ?? newRunId();
    await claim(directory, id);
    await writeState(run.directory, NAME, { id, logdir, directory });
    return trackerOf(new EventFolder(directory, run), run, {
      name: NAME,
      completions,
      isBehind: run.resumed !== undefined,
    });
  },
});

/** Makes the folder the run's own. Throws ConfigError where it is another's. */
async function claim(directory: string, id: string): Promise<void> {
  const path = join(directory, MARKER);
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw writeFailure(directory, error);
  }
  const text = await readTextFileIfPresent(path, { maxBytes: 2 ** 16, error: RunDirError });
  const marked =
    text === undefined ? undefined : z.object({ id: z.string() }).safeParse(parseJson(text, path, RunDirError));
  if (marked?.data?.id === id) return;
  if (marked !== undefined || eventFiles(directory).length > 0) {
    throw new ConfigError(
      `tracker ${NAME}: the event files in ${directory} belong to another run; TensorBoard would show both as one. ` +
        "Choose another folder with logdir, or another name for the run directory (--out).",
    );
  }
  await writeWhole(path, `${JSON.stringify({ id })}\n`);
}

/** Paths of a folder's event files, in the order in which they are read. */
function eventFiles(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.includes("tfevents"));
  return names.sort().map((name) => join(directory, name));
}

class EventFolder implements Place {
  private readonly directory: string;
  private readonly run: TrackedRun;
  private file: FileHandle | undefined;
  private held = new Map<string, number>();

  constructor(directory: string, run: TrackedRun) {
    this.directory = directory;
    this.run = run;
  }

  async lastSteps(): Promise<ReadonlyMap<string, number>> {
    // After a failed write the file may end in half a record: what comes next goes into another one.
    await this.close();
    this.held = new Map();
    for (const path of eventFiles(this.directory)) {
      for await (const record of eventFileRecords(path)) {
        const event = tagsOfEvent(record);
        for (const tag of event?.tags ?? []) {
          this.held.set(tag, Math.max(event!.step, this.held.get(tag) ?? Number.NEGATIVE_INFINITY));
        }
      }
    }
    return this.held;
  }

  async write(points: readonly Points[]): Promise<void> {
    await this.append(
      points.map(({ at, step, scalars, texts }) => {
        const numbers = scalars.map(([tag, scalar]) => ({ tag, scalar }));
        return summaryEvent(at, step, [...numbers, ...texts.map(textValue)]);
      }),
    );
  }

  async finish(end: RunEnd): Promise<void> {
    const at = Date.now();
    const session = (this.held.get(STATE_TAG) ?? 0) + 1;
    const state = end.state === "finished" ? end.state : `${end.state}: ${end.reason}`;
    const values: EventValue[] = [{ tag: STATE_TAG, texts: [verbatim(state)] }];
    if (end.state === "finished") {
      values.push({ tag: SUMMARY_TAG, texts: [verbatim(JSON.stringify(end.summary, undefined, 2))] });
      if (!this.held.has(SESSION_END_TAG)) values.push(sessionEnd(at));
    }
    await this.append([summaryEvent(at, session, values)]);
  }

  async close(): Promise<void> {
    const { file } = this;
    this.file = undefined;
    await file?.close();
  }

  private async append(events: readonly Uint8Array[]): Promise<void> {
    const head = this.file === undefined ? await this.begin() : [];
    await this.file!.appendFile(Buffer.concat([...head, ...events].map(framed)));
  }

  /** Opens the next file; what stands at its beginning. */
  private async begin(): Promise<Uint8Array[]> {
    mkdirSync(this.directory, { recursive: true });
    const at = Date.now();
    const before = basename(eventFiles(this.directory).at(-1) ?? "").split(".")[3];
    const seconds = Math.max(Math.floor(at / 1000), Number(before ?? 0) + 1 || 0);
    const name = `events.out.tfevents.${String(seconds).padStart(10, "0")}.aha.${process.pid}.0`;
    this.file = await open(join(this.directory, name), "ax");
    if (this.held.has(SESSION_START_TAG)) return [versionEvent(at)];
    const recipe = { tag: RECIPE_TAG, texts: [verbatim(stringify(this.run.recipe))] };
    const start = sessionStart(flatConfig(this.run.recipe), this.run.name, at);
    for (const { tag } of [recipe, start]) this.held.set(tag, 0);
    return [versionEvent(at), summaryEvent(at, 0, [recipe, start])];
  }
}

function textValue(text: TextPoint): EventValue {
  const { tag } = text;
  return { tag, texts: text.kind === "alarm" ? [verbatim(text.message)] : text.completions.map(completionText) };
}

/** A completion below what is known about it. */
function completionText({ prompt, completion, facts }: TrackedCompletion): string {
  const about = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
  return verbatim([...about, "", "--- prompt", prompt, "--- completion", completion].join("\n"));
}

/** Markdown that shows the text as it is, whatever it holds: an indented block has no end but a line without indent. */
function verbatim(text: string): string {
  return text.replace(/^/gm, "    ");
}
