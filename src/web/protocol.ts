/**
 * What the page of R1 in a browser tab and its worker say to each other. The page (`page/tab/`) shows and asks; the worker
 * holds the model, trains and keeps. Everything here survives a structured clone, and nothing here is of a browser's types
 * but `Blob`, so that a test can play either side in Node.
 *
 * The order of things: the page sends `open`; the worker answers with `loading` events and one `ready`. The page sends
 * `start`; from then on there is a run, whose state the worker tells with `state` after every change. One iteration is
 * `phase` events, then one each of `iteration` and `group`, and now and then `evaluation` and `saved`. A cold start is
 * `lessons`, and now and then `try-out` and `group`. The first that the worker tells of a run is `state`.
 *
 * Texts in events are text, never markup. Probabilities are natural logarithms of softmax(logits / temperature).
 */

/** What problems the model plays with, and what it can read at all; for the box in which one types. */
export interface ProblemLimits {
  /** The largest whole number that is one token. */
  readonly largest: number;
  /** How many numbers the problems of training have. */
  readonly counts: readonly number[];
  readonly min: number;
  readonly max: number;
  readonly targetMin: number;
  readonly targetMax: number;
}

/** A Countdown problem. */
export interface TabProblem {
  readonly numbers: readonly number[];
  readonly target: number;
}

/** Where a run's weights come from. `kept`: what the tab had when it was closed. */
export type StartingPoint = "cold-start" | "random" | "kept" | "dropped";

/** What computes. */
export type Backend = "wasm" | "webgpu";

/** The keys of the recipe that the page has controls for, with the values that hold now. */
export interface TabSettings {
  readonly groupSize: number;
  readonly promptsPerIteration: number;
  readonly learningRate: number;
  readonly temperature: number;
  readonly klCoef: number;
  readonly formatWeight: number;
  readonly equationWeight: number;
  readonly seed: number;
}

// Page → worker

/** What the page asks. */
export type PageMessage =
  /** Once, first. `auto`: WebGPU where there is an adapter that is faster, else WASM. */
  | { readonly type: "open"; readonly backend: Backend | "auto" }
  /** A new run, in place of the one there is. `iterations`: how many until it pauses by itself; absent, on to the end. */
  | {
      readonly type: "start";
      readonly from: StartingPoint;
      readonly settings: Partial<TabSettings>;
      readonly iterations?: number;
    }
  /** On, until the end or for so many iterations. */
  | { readonly type: "resume"; readonly iterations?: number }
  /** Stop as soon as that loses nothing that cannot be sampled again; the state is saved. */
  | { readonly type: "pause" }
  /** From the next iteration on. Answered by `state`, or by `error` with the kind `settings`. */
  | { readonly type: "change"; readonly settings: Partial<TabSettings> }
  /** Which group of each iteration is sent: by its place, or the one whose answers differ most. Where there is a group of
   * the last iteration it is sent at once. */
  | { readonly type: "watch"; readonly group: number | "mixed" }
  /** An answer of the model as it is now, also while it trains. `ask` names the answer; one at a time. */
  | { readonly type: "ask"; readonly ask: number; readonly problem: TabProblem; readonly temperature: number }
  /** Ends it. */
  | { readonly type: "stop-asking"; readonly ask: number }
  /** The model in the Hugging Face layout, zipped. Answered by `download`. */
  | { readonly type: "download" }
  /** A checkpoint that somebody dropped on the page: its files, or one zip. Answered by `dropped` or by `error`. */
  | { readonly type: "drop"; readonly files: readonly DroppedFile[] }
  /** Forget what is kept in this browser. Answered by `storage`. */
  | { readonly type: "forget" }
  /** Release everything. The worker ends itself. */
  | { readonly type: "dispose" };

/** A file of a dropped checkpoint. */
export interface DroppedFile {
  /** Its name, with the folders that it came in where there were some. */
  readonly path: string;
  readonly blob: Blob;
}

// Worker → page

/** What the worker tells. */
export type WorkerMessage =
  | LoadingMessage
  | ReadyMessage
  | RunStateMessage
  | PhaseMessage
  | { readonly type: "lessons"; readonly steps: readonly LessonMetrics[] }
  | { readonly type: "try-out"; readonly result: TryOutResult }
  | IterationMessage
  | GroupMessage
  | EvaluationMessage
  | AnswerMessage
  | { readonly type: "saved"; readonly iteration: number; readonly bytes: number }
  | { readonly type: "download"; readonly name: string; readonly blob: Blob }
  | { readonly type: "dropped"; readonly name: string; readonly parameters: number }
  | StorageMessage
  | ErrorMessage;

/** How much of the first load has come. */
export interface LoadingMessage {
  readonly type: "loading";
  /** `runtime`: ONNX Runtime; `model`: the cold start. */
  readonly part: "runtime" | "model";
  readonly loadedBytes: number;
  /** Of the part. */
  readonly totalBytes: number;
}

/** Everything is there; nothing trains yet. */
export interface ReadyMessage {
  readonly type: "ready";
  readonly backend: Backend;
  /** Why WebGPU is not used, where it is not, in a sentence. */
  readonly backendReason?: string;
  readonly threads: number;
  /** Whether the page is isolated, so that there can be more than one thread. */
  readonly isIsolated: boolean;
  readonly parameters: number;
  readonly limits: ProblemLimits;
  /** Iterations that the recipe plans. */
  readonly iterations: number;
  /** What the recipe says. */
  readonly settings: TabSettings;
  readonly starts: readonly StartingPoint[];
  /** What is kept from an earlier visit. */
  readonly kept?: KeptRun;
}

/** A run that is kept in this browser, with the curves that it had. */
export interface KeptRun {
  readonly iteration: number;
  readonly iterations: number;
  readonly from: StartingPoint;
  readonly settings: TabSettings;
  /** Wall clock of the last save, milliseconds since 1970. */
  readonly savedAt: number;
  readonly history: readonly IterationMetrics[];
  readonly evaluations: readonly EvaluationResult[];
  /** Of its cold start; empty where it began after one. */
  readonly lessons: readonly LessonMetrics[];
  readonly tryOuts: readonly TryOutResult[];
}

/** `cold-start`: the run learns to write from demonstrations before it plays (where it starts from random weights). */
export type Activity = "cold-start" | "training" | "pausing" | "paused" | "finished";

/** What the run is doing, after every change of it. */
export interface RunStateMessage {
  readonly type: "state";
  /** Counts the runs of this worker, from 1: what an old run still told when `start` was sent is known by it. */
  readonly runNumber: number;
  readonly activity: Activity;
  readonly from: StartingPoint;
  /** Iterations of R1-Zero that are done, and planned. */
  readonly iteration: number;
  readonly iterations: number;
  /** What holds from the next iteration on. */
  readonly settings: TabSettings;
}

/** Where in an iteration it is; at most some ten a second. */
export interface PhaseMessage {
  readonly type: "phase";
  /** The iteration that runs, from 1; of a cold start the optimizer step. */
  readonly iteration: number;
  readonly phase:
    | "demonstrating"
    | "trying"
    | "sampling"
    | "judging"
    | "updating"
    | "scoring"
    | "evaluating"
    | "saving";
  /** Of the phase, where it can be counted: completions, optimizer steps, problems. */
  readonly done: number;
  readonly total: number;
  readonly tokensPerSecond?: number;
}

/** An optimizer step of the cold start. */
export interface LessonMetrics {
  /** From 1, of `steps`. */
  readonly step: number;
  readonly steps: number;
  /** Mean −log π of the demonstrations' tokens, nats. */
  readonly loss: number;
  /** Share of these tokens that the model finds the most probable, 0 to 1; absent where the engine does not tell. */
  readonly tokenAccuracy?: number;
}

/** What the model writes by itself after so many steps of the cold start, to the same problems each time. */
export interface TryOutResult {
  readonly step: number;
  readonly answers: number;
  /** Shares of the answers, 0 to 1. */
  readonly formatRate: number;
  readonly solveRate: number;
}

/** Numbers of an iteration. */
export interface IterationMetrics {
  /** From 1. */
  readonly iteration: number;
  /** Share of the sampled completions that are solved, 0 to 1. */
  readonly solveRate: number;
  /** Tries per completion. */
  readonly tries: number;
  /** Tokens per completion. */
  readonly length: number;
  readonly reward: number;
  readonly formatRate: number;
  readonly entropy?: number;
  readonly kl?: number;
  readonly gradNorm?: number;
  readonly learningRate: number;
  /** Share of the groups whose rewards are all equal. */
  readonly zeroVariance: number;
  readonly samplingSeconds: number;
  readonly updateSeconds: number;
  readonly sampledTokens: number;
  /** Settings that changed just before it, for marks in the curves. */
  readonly changed?: Partial<TabSettings>;
}

/** An iteration has ended. */
export interface IterationMessage {
  readonly type: "iteration";
  readonly metrics: IterationMetrics;
}

/** A token of a completion. */
export interface TabToken {
  readonly text: string;
  readonly before: number;
  /** After the step; null where it was not scored again. */
  readonly after: number | null;
}

/** One reward of a completion. */
export interface RewardPart {
  readonly name: string;
  readonly weight: number;
  /** null: it abstained. */
  readonly score: number | null;
  readonly reason: string;
}

/** One completion of a group. */
export interface TabCompletion {
  readonly tokens: readonly TabToken[];
  /** By the task's own judgement. */
  readonly isSolved: boolean;
  readonly isCut: boolean;
  readonly reward: number | null;
  readonly advantage: number;
  readonly rewards: readonly RewardPart[];
}

/** The completions of one problem in one iteration, in the order in which they were sampled. */
export interface GroupMessage {
  readonly type: "group";
  readonly iteration: number;
  /** After so many steps of the cold start: a try-out, whose answers were compared with nothing. */
  readonly tryOutStep?: number;
  /** Its place among the groups of the iteration, and how many there are. */
  readonly group: number;
  readonly groups: number;
  readonly problem: TabProblem;
  readonly prompt: string;
  readonly temperature: number;
  readonly completions: readonly TabCompletion[];
}

/** Held-out problems, sampled. */
export interface EvaluationResult {
  /** After so many iterations; 0: before the first. */
  readonly iteration: number;
  readonly problems: number;
  readonly solveRate: number;
  /** A 95 % interval. */
  readonly low: number;
  readonly high: number;
  readonly tries: number;
  readonly length: number;
}

/** An evaluation has ended. */
export interface EvaluationMessage {
  readonly type: "evaluation";
  readonly result: EvaluationResult;
}

/** More of an answer to `ask`. */
export interface AnswerMessage {
  readonly type: "answer";
  readonly ask: number;
  /** What came since the last message. */
  readonly text: string;
  /** With the last message: how it ended. */
  readonly end?: {
    readonly isSolved: boolean;
    /** The judge's reason. */
    readonly reason: string;
    readonly tokens: number;
    readonly how: "stop" | "length" | "stopped";
    /** After so many iterations of training. */
    readonly iteration: number;
  };
}

/** What this browser keeps. */
export interface StorageMessage {
  readonly type: "storage";
  /** `none`: no private file system here, so closing the tab loses the run. `full`: the last save did not fit. */
  readonly state: "kept" | "none" | "full";
  readonly usedBytes: number;
  /** 0 where the browser does not say. */
  readonly quotaBytes: number;
}

/** What can go wrong; the page has a title and a way on for each. */
export type ErrorKind =
  /** A file of the page cannot be loaded. */
  | "load"
  /** The device is gone (a lost GPU). */
  | "device"
  | "memory"
  /** A loss or a gradient is no number any more. */
  | "diverged"
  /** A setting that cannot be. */
  | "settings"
  /** A problem that cannot be asked. */
  | "problem"
  /** A dropped checkpoint of another model. */
  | "foreign-checkpoint"
  | "damaged-checkpoint"
  | "storage"
  /** Anything else. */
  | "fault";

/** Something failed. */
export interface ErrorMessage {
  readonly type: "error";
  readonly kind: ErrorKind;
  /** What was expected, what came, what to do: whole sentences. */
  readonly message: string;
  /** True: this worker does nothing any more, and the page has to begin a new one. */
  readonly isFatal: boolean;
  /** Of an `ask` that failed. */
  readonly ask?: number;
}
