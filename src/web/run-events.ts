/** What happens in a run, as messages to the page; those that come often are sent some ten times a second. */

import type { EvaluatedSoFar } from "../eval/evaluate.ts";
import { StorageFullError } from "../opfs-folder.ts";
import type { RunEvent } from "../recipe/observer.ts";
import { evaluationResult, lessonMetrics } from "./history.ts";
import type { LessonMetrics, PhaseMessage, WorkerMessage } from "./protocol.ts";
import { COLD_START, R1_ZERO } from "./recipe-controls.ts";
import { errorMessage } from "./tab-errors.ts";
import { lessonsIn } from "./tab-recipe.ts";
import type { RunListener, TabRun } from "./tab-run.ts";

const BETWEEN_PHASES_MS = 100;
/** Steps of a cold start are sent together. */
const BETWEEN_LESSONS_MS = 250;

/** The session that listens to a run. */
export interface Listening {
  /** The run that is listened to, also while it is being left. */
  readonly run: TabRun;
  /** False once the run is being left: what it still tells then belongs to no curve that the page shows. */
  isCurrent(): boolean;
  post(message: WorkerMessage): void;
  postState(): void;
  postStorage(state?: "full"): Promise<void>;
  bytesIn(place: string): Promise<number>;
}

/**
 * A listener that tells the page. A run that is being left comes to its end first, which nobody hears of, but for a save that
 * failed.
 */
export function runListener({ run, isCurrent, ...session }: Listening): RunListener {
  const post = (message: WorkerMessage) => {
    if (isCurrent()) session.post(message);
  };
  const postState = () => {
    if (isCurrent()) session.postState();
  };
  const phases = new Phases(post);
  const lessons = new Lessons(post);
  const step = () => run.iteration + 1;
  const event = (event: RunEvent): void => {
    switch (event.type) {
      case "progress":
        phases.progress(event.stage, event.progress);
        return;
      case "metrics":
        if (event.stage === COLD_START) lessons.add(lessonMetrics(event.row, lessonsIn(run.recipe)));
        return;
      case "timing": {
        const metrics = event.stage === R1_ZERO ? run.newestIteration : undefined;
        if (metrics === undefined) return;
        post({ type: "iteration", metrics });
        postState();
        return;
      }
      case "evaluating":
        phases.send({ iteration: step(), phase: "evaluating", ...countOf(event.progress) });
        return;
      case "evaluated": {
        const result = evaluationResult(event.record);
        if (result) post({ type: "evaluation", result });
        return;
      }
      case "stage-started":
      case "stage-finished":
        lessons.send();
        postState();
        return;
    }
  };
  const group = () => {
    if (run.model && isCurrent()) post(run.groups.message(run.watched));
  };
  return {
    changed: () => {
      lessons.send();
      postState();
    },
    event,
    group,
    trying: (progress) => phases.send({ phase: "trying", ...progress }),
    triedOut: (result) => {
      post({ type: "try-out", result });
      group();
    },
    scoring: () => phases.send({ iteration: step(), phase: "scoring", done: 0, total: 1 }),
    saving: () => phases.send({ iteration: run.iteration, phase: "saving", done: 0, total: 1 }),
    saved: async (place) => {
      if (isCurrent()) post({ type: "saved", iteration: run.iteration, bytes: await session.bytesIn(place) });
    },
    saveFailed: (error) => {
      run.gate.close();
      session.post(errorMessage(error));
      if (error instanceof StorageFullError) void session.postStorage("full");
    },
    ended: (error) => {
      run.gate.close();
      post(errorMessage(error));
      postState();
    },
  };
}

/** Steps of the cold start, sent some times a second. */
class Lessons {
  readonly #post: (message: WorkerMessage) => void;
  #steps: LessonMetrics[] = [];
  #last = 0;

  constructor(post: (message: WorkerMessage) => void) {
    this.#post = post;
  }

  add(step: LessonMetrics): void {
    this.#steps.push(step);
    if (performance.now() - this.#last >= BETWEEN_LESSONS_MS) this.send();
  }

  /** Sends what has come since. */
  send(): void {
    if (this.#steps.length === 0) return;
    this.#last = performance.now();
    this.#post({ type: "lessons", steps: this.#steps });
    this.#steps = [];
  }
}

type Progress = Extract<RunEvent, { readonly type: "progress" }>["progress"];

/** Where in an iteration the run is. */
class Phases {
  readonly #post: (message: WorkerMessage) => void;
  #last = { phase: "", at: 0 };
  #samplingSince = 0;

  constructor(post: (message: WorkerMessage) => void) {
    this.#post = post;
  }

  progress(stage: string, { phase, done, total, sampled }: Progress): void {
    if (stage !== R1_ZERO) {
      this.send({ iteration: done, phase: "demonstrating", done, total });
    } else if (phase === "sampling" && sampled) {
      if (this.#last.phase !== "sampling") this.#samplingSince = performance.now();
      const seconds = (performance.now() - this.#samplingSince) / 1000;
      // In the first moments it would say little.
      const speed = seconds > 0.2 ? { tokensPerSecond: sampled.tokens / seconds } : {};
      this.send({ iteration: done + 1, phase, done: sampled.finished, total: sampled.total, ...speed });
    } else if (phase === "judging" || phase === "updating") {
      this.send({ iteration: done + 1, phase, done: 0, total: 1 });
    }
  }

  /** Sends it, unless one of the same phase was sent a moment ago. */
  send(message: Omit<PhaseMessage, "type">): void {
    const now = performance.now();
    if (message.phase === this.#last.phase && now - this.#last.at < BETWEEN_PHASES_MS) return;
    this.#last = { phase: message.phase, at: now };
    this.#post({ type: "phase", ...message });
  }
}

function countOf({ finished, total }: EvaluatedSoFar): { readonly done: number; readonly total: number } {
  return { done: finished, total };
}
