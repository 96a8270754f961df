/**
 * What readers of the screen are told while a run goes: that it began, paused, ended, and how it goes every now and then,
 * never every iteration. And what troubles are called, and what can be done about each.
 */

import { decimal, percent } from "../../number-text.ts";
import type { RunStateMessage } from "../../web/protocol.ts";
import type { TabState, Trouble } from "./state.ts";

/** Between two tellings of how it goes, ms. */
const TELL_EVERY = 30_000;

const ACTIVITIES: Readonly<Record<RunStateMessage["activity"], string>> = {
  "cold-start": "It learns to write from demonstrations.",
  training: "Training.",
  pausing: "Pausing after what is being computed.",
  paused: "Paused.",
  finished: "Finished.",
};

/** Makes the sentences; the clock is handed in. */
export class Telling {
  private activity: RunStateMessage["activity"] | undefined;
  private toldAt = Number.NEGATIVE_INFINITY;
  private iteration = 0;
  private ended: number | undefined;

  /** The sentence for the state as it is now, or undefined where there is nothing new to say. */
  next({ run, history, lessons, answer }: TabState, now: number): string | undefined {
    if (answer?.end !== undefined && answer.ask !== this.ended) {
      this.ended = answer.ask;
      return answer.end.isSolved ? "Its answer is right." : `Its answer is wrong: ${answer.end.reason}.`;
    }
    const newest = history.at(-1);
    const lesson = lessons.at(-1);
    const learned =
      lesson === undefined || run?.activity !== "cold-start"
        ? ""
        : ` Step ${lesson.step} of ${lesson.steps}: loss ${decimal(lesson.loss)}.`;
    const how =
      newest === undefined
        ? learned
        : ` Iteration ${newest.iteration} of ${run?.iterations ?? newest.iteration}: ${percent(newest.solveRate)} solved, ${decimal(newest.tries)} tries per answer.`;
    if (run !== undefined && run.activity !== this.activity) {
      this.activity = run.activity;
      this.toldAt = now;
      this.iteration = newest?.iteration ?? 0;
      return `${ACTIVITIES[run.activity]}${how}`;
    }
    if (now - this.toldAt < TELL_EVERY) return undefined;
    const at = newest?.iteration ?? 0;
    if (how === "" || (at === this.iteration && learned === "")) return undefined;
    this.toldAt = now;
    this.iteration = at;
    return how.trim();
  }
}

/** What can be done about a trouble. */
export interface Remedy {
  readonly title: string;
  /** The button, where a click helps. */
  readonly action?: { readonly label: string; readonly does: "restart" | "reload" | "forget" | "start-over" };
}

const RESTART = { label: "Go on from the last save", does: "restart" } as const;

const REMEDIES: Readonly<Record<Trouble["kind"], Remedy>> = {
  load: { title: "A part of this page could not be loaded", action: { label: "Load again", does: "reload" } },
  device: { title: "The GPU was lost", action: RESTART },
  memory: { title: "Out of memory", action: RESTART },
  diverged: { title: "The training diverged", action: { label: "Start over", does: "start-over" } },
  settings: { title: "That is not possible now" },
  problem: { title: "This problem cannot be asked" },
  "foreign-checkpoint": { title: "This is a checkpoint of another model" },
  "damaged-checkpoint": { title: "This checkpoint is damaged" },
  storage: {
    title: "It could not be saved in this browser",
    action: { label: "Forget what is kept", does: "forget" },
  },
  fault: { title: "Something went wrong", action: RESTART },
  crash: { title: "The worker has stopped", action: RESTART },
  silence: { title: "The worker has not said anything for a while", action: RESTART },
  slept: { title: "This tab was asleep" },
};

/** Title and button for a trouble; a button that begins a new worker only where the old one is of no use. */
export function remedyFor({ kind, isFatal }: Trouble): Remedy {
  const { title, action } = REMEDIES[kind];
  const restarts = action?.does === "restart" && !isFatal && kind !== "silence";
  return { title, ...(action !== undefined && !restarts && { action }) };
}
