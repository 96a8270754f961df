/**
 * What the page knows, and how a message of the worker or a deed of the person changes it. A pure function: the same news
 * in the same order give the same page. Parts that did not change stay the same objects, so that what shows them is not
 * drawn again.
 */

import type {
  ErrorKind,
  EvaluationResult,
  GroupMessage,
  IterationMetrics,
  KeptRun,
  LessonMetrics,
  LoadingMessage,
  PageMessage,
  PhaseMessage,
  ReadyMessage,
  RunStateMessage,
  StorageMessage,
  TabProblem,
  TabSettings,
  TryOutResult,
  WorkerMessage,
} from "../../web/protocol.ts";

/** An answer to what somebody has typed. */
export interface TypedAnswer {
  readonly ask: number;
  readonly problem: TabProblem;
  readonly text: string;
  readonly end?: NonNullable<Extract<WorkerMessage, { type: "answer" }>["end"]>;
  readonly fault?: string;
}

/** Something to tell above everything else, until it is put away. */
export interface Trouble {
  readonly id: number;
  readonly kind: ErrorKind | "crash" | "silence" | "slept";
  readonly message: string;
  readonly isFatal: boolean;
}

/** Settings that were changed while a run went on. */
export interface SettingsChange {
  readonly iteration: number;
  readonly settings: Partial<TabSettings>;
}

/** Everything. */
export interface TabState {
  /** `stopped`: the worker is gone or does nothing any more. */
  readonly worker: "loading" | "ready" | "stopped";
  readonly loading: LoadingMessage | undefined;
  readonly ready: ReadyMessage | undefined;
  readonly run: RunStateMessage | undefined;
  readonly phase: PhaseMessage | undefined;
  readonly history: readonly IterationMetrics[];
  readonly evaluations: readonly EvaluationResult[];
  /** Of the cold start, where the run begins with it. */
  readonly lessons: readonly LessonMetrics[];
  readonly tryOuts: readonly TryOutResult[];
  readonly changes: readonly SettingsChange[];
  readonly group: GroupMessage | undefined;
  readonly watched: number | "mixed";
  readonly answer: TypedAnswer | undefined;
  readonly storage: StorageMessage | undefined;
  /** The iteration of the last save. */
  readonly saved: number | undefined;
  readonly dropped: { readonly name: string; readonly parameters: number } | undefined;
  readonly isDownloading: boolean;
  /** A run was asked for, and nothing has come of it yet: a second click must not begin another one. */
  readonly isStarting: boolean;
  /** What the sliders say. */
  readonly settings: TabSettings | undefined;
  readonly troubles: readonly Trouble[];
  readonly nextTrouble: number;
}

/** News: of the worker, of what was sent to it, of the person, of the tab. */
export type News =
  | WorkerMessage
  | { readonly type: "sent"; readonly message: PageMessage }
  | { readonly type: "set"; readonly settings: Partial<TabSettings> }
  | { readonly type: "trouble"; readonly kind: Trouble["kind"]; readonly message: string; readonly isFatal: boolean }
  | { readonly type: "put-away"; readonly id: number };

/** Before anything. */
export const BLANK: TabState = {
  worker: "loading",
  loading: undefined,
  ready: undefined,
  run: undefined,
  phase: undefined,
  history: [],
  evaluations: [],
  lessons: [],
  tryOuts: [],
  changes: [],
  group: undefined,
  watched: "mixed",
  answer: undefined,
  storage: undefined,
  saved: undefined,
  dropped: undefined,
  isDownloading: false,
  isStarting: false,
  settings: undefined,
  troubles: [],
  nextTrouble: 1,
};

/** Characters of one answer that are kept; no honest one comes near it. */
const LONGEST_ANSWER = 100_000;
/** Troubles that are shown at once; older ones give way. */
const MOST_TROUBLES = 3;

/** The state after the news. */
export function stateAfter(state: TabState, news: News): TabState {
  if (state.isStarting && isOfOldRun(news, state.run)) return state;
  switch (news.type) {
    case "loading":
      return { ...state, loading: news };
    case "ready":
      return afterReady(state, news);
    case "state":
      return { ...state, run: news, phase: isBusy(news) ? state.phase : undefined, isStarting: false };
    case "phase":
      return { ...state, phase: news };
    case "lessons":
      return { ...state, lessons: withLessons(state.lessons, news.steps) };
    case "try-out":
      return { ...state, tryOuts: [...state.tryOuts.filter(({ step }) => step < news.result.step), news.result] };
    case "iteration":
      return {
        ...state,
        history: withIteration(state.history, news.metrics),
        run: state.run && { ...state.run, iteration: news.metrics.iteration },
      };
    case "evaluation":
      return { ...state, evaluations: withEvaluation(state.evaluations, news.result) };
    case "group":
      return { ...state, group: news };
    case "answer":
      return { ...state, answer: longerAnswer(state.answer, news) };
    case "saved":
      return { ...state, saved: news.iteration };
    case "download":
      return { ...state, isDownloading: false };
    case "dropped":
      return { ...state, dropped: { name: news.name, parameters: news.parameters } };
    case "storage":
      return { ...state, storage: news };
    case "error":
      return afterError(state, news);
    case "sent":
      return afterSent(state, news.message);
    case "set":
      return state.settings === undefined ? state : { ...state, settings: { ...state.settings, ...news.settings } };
    case "trouble":
      return withTrouble(state, news);
    case "put-away":
      return { ...state, troubles: state.troubles.filter(({ id }) => id !== news.id) };
  }
}

/**
 * Whether news that comes while a run begins is of the one before it, which had not heard yet that it was given up. The first
 * that the worker tells of the new run is its state.
 */
function isOfOldRun(news: News, before: RunStateMessage | undefined): boolean {
  switch (news.type) {
    case "state":
      return news.runNumber === before?.runNumber;
    case "phase":
    case "lessons":
    case "try-out":
    case "iteration":
    case "evaluation":
    case "group":
    case "saved":
      return true;
    default:
      return false;
  }
}

/** Somebody who comes back sees the curves that they left. */
function afterReady(state: TabState, ready: ReadyMessage): TabState {
  const { kept } = ready;
  return {
    ...state,
    ...{ worker: "ready", ready, settings: state.settings ?? kept?.settings ?? ready.settings },
    ...(kept && { ...curvesOf(kept), saved: kept.iteration }),
  };
}

/** The curves of a kept run; empty ones without it. */
function curvesOf(kept: KeptRun | undefined): Pick<TabState, "history" | "evaluations" | "lessons" | "tryOuts"> {
  const { history = [], evaluations = [], lessons = [], tryOuts = [] } = kept ?? {};
  return { history, evaluations, lessons, tryOuts };
}

/** Whether a run computes. */
export function isBusy(run: RunStateMessage | undefined): boolean {
  return run !== undefined && ["cold-start", "training", "pausing"].includes(run.activity);
}

/** A repeated iteration (after a resume) takes the place of the one that was, and of what came behind it. */
function withIteration(history: readonly IterationMetrics[], metrics: IterationMetrics): IterationMetrics[] {
  return [...history.filter(({ iteration }) => iteration < metrics.iteration), metrics];
}

/** Steps that are done again (after a resume) take the place of those that were, and of what came behind them. */
function withLessons(before: readonly LessonMetrics[], steps: readonly LessonMetrics[]): LessonMetrics[] {
  const first = steps[0]?.step ?? Number.POSITIVE_INFINITY;
  return [...before.filter(({ step }) => step < first), ...steps];
}

function withEvaluation(before: readonly EvaluationResult[], result: EvaluationResult): EvaluationResult[] {
  return [...before.filter(({ iteration }) => iteration < result.iteration), result];
}

function longerAnswer(
  answer: TypedAnswer | undefined,
  { ask, text, end }: Extract<WorkerMessage, { type: "answer" }>,
): TypedAnswer | undefined {
  // What came too late belongs to a question that nobody looks at any more.
  if (answer === undefined || answer.ask !== ask) return answer;
  return { ...answer, text: (answer.text + text).slice(0, LONGEST_ANSWER), ...(end !== undefined && { end }) };
}

function afterError(state: TabState, error: Extract<WorkerMessage, { type: "error" }>): TabState {
  const told = error.ask !== undefined && error.ask === state.answer?.ask;
  const next: TabState = {
    ...state,
    ...(told && { answer: { ...state.answer!, fault: error.message } }),
    isDownloading: false,
    isStarting: told && state.isStarting,
  };
  if (told && !error.isFatal) return next;
  return withTrouble(next, error);
}

function withTrouble(
  state: TabState,
  { kind, message, isFatal }: { readonly kind: Trouble["kind"]; readonly message: string; readonly isFatal: boolean },
): TabState {
  const others = state.troubles.filter((one) => one.kind !== kind);
  return {
    ...state,
    ...(isFatal && { worker: "stopped", phase: undefined, loading: undefined, isStarting: false }),
    troubles: [...others, { id: state.nextTrouble, kind, message, isFatal }].slice(-MOST_TROUBLES),
    nextTrouble: state.nextTrouble + 1,
  };
}

/** As on a first visit, but for what the sliders say. */
function afterForget({ worker, ready, settings, storage }: TabState): TabState {
  const { kept: _, ...fresh } = ready ?? {};
  const starts = ready?.starts.filter((start) => start !== "kept" && start !== "dropped") ?? [];
  return { ...BLANK, worker, settings, storage, ready: ready && ({ ...fresh, starts } as ReadyMessage) };
}

function afterSent(state: TabState, message: PageMessage): TabState {
  switch (message.type) {
    case "open":
      // A new worker: the person's settings and the curves stay until another run begins.
      return {
        ...state,
        ...{ worker: "loading", loading: undefined, run: undefined, phase: undefined, troubles: [], isStarting: false },
      };
    case "start": {
      const kept = message.from === "kept" ? state.ready?.kept : undefined;
      return {
        ...state,
        ...curvesOf(kept),
        isStarting: true,
        changes: [],
        group: undefined,
        answer: undefined,
        saved: kept?.iteration,
        // A kept run goes on with the settings that it had.
        settings: kept?.settings ?? state.settings,
      };
    }
    case "change": {
      const iteration = state.run?.iteration ?? 0;
      const before = state.changes.filter((change) => change.iteration !== iteration);
      const same = state.changes.find((change) => change.iteration === iteration);
      return { ...state, changes: [...before, { iteration, settings: { ...same?.settings, ...message.settings } }] };
    }
    case "watch":
      return { ...state, watched: message.group };
    case "ask":
      return { ...state, answer: { ask: message.ask, problem: message.problem, text: "" } };
    case "download":
      return { ...state, isDownloading: true };
    case "forget":
      return afterForget(state);
    default:
      return state;
  }
}
