/**
 * What a task is: problems with prompts and ground truth, and how an answer is judged apart from any reward.
 */

/** One problem of a task. */
export interface Problem {
  /** Stable within a data set; names the problem in the random stream and in logs. */
  readonly id: number;
  /** The whole prompt text, as it is given to the tokenizer. */
  readonly prompt: string;
  /** Ground truth and whatever a reward needs, e.g. `{ nums, target }`. */
  readonly columns: Readonly<Record<string, unknown>>;
  /** Where a data set has it, for messages, e.g. `train.jsonl:17`; absent where none has. */
  readonly place?: string;
}

/** The task's own verdict on one completion, for evaluation: independent of how rewards are weighted. */
export interface Verdict {
  readonly solved: boolean;
  /** There is nothing to compare the completion with, so that `solved` says nothing: a question without an answer. Where
   * that is so of all, reports have no solve rate. */
  readonly isUnjudged?: boolean;
  /** The completion has the form that the task asks for. */
  readonly wellFormed: boolean;
  /** How many attempts (candidate equations) the thinking makes; absent where the task has no such thing. */
  readonly tries?: number;
  /** The completion answers without thinking first: reflection words in it are therefore not counted. */
  readonly answersOutright?: boolean;
  /** The final answer in a canonical form (equal answers are equal strings), null where the completion gives none: what
   * majority voting counts. Absent where the task has no such form. */
  readonly answer?: string | null;
  /** Further statistics by name, averaged over completions in reports, e.g. `{ falseYes: 1 }`; a share that has nothing to
   * be a share of (`arithmeticRight` without arithmetic) is absent. */
  readonly statistics: Readonly<Record<string, number>>;
}

/** What a statistic is: a share, every value within [0, 1]; an amount, none below 0; or any number. */
export type StatisticKind = "share" | "amount" | "number";

/** A source of problems, and their judge. */
export interface Task {
  readonly name: string;
  /** The i-th training problem of an endless, seeded stream (a pure function of i), or of a data set, cyclically. */
  trainProblem(index: number): Problem;
  /** Number of distinct training problems; Infinity for a generator. */
  readonly trainCount: number;
  /** Held-out problems, never in training; the same `count` gives the same list. */
  heldOut(count: number): Problem[];
  /** A demonstration for cold-start SFT: a completion for this problem, a pure function of (problem, seed). Absent where
   * the task has none. */
  demonstrate?(problem: Problem, seed: number): Demonstration;
  /** Refuses, before any training, a data set with a row that cannot be demonstrated: throws DataError naming it. Absent
   * where demonstrations are generated. */
  requireDemonstrations?(): void;
  /** Whether an answer to this problem is a turn of a conversation, in the chat template's form: then it ends as the
   * template ends a turn. By default it is plain text, which ends with the end of sequence. */
  isTurn?(problem: Problem): boolean;
  /** Two answers to this problem, of which one is preferred. Absent where the task has none. */
  preference?(problem: Problem): Preference;
  /** What kinds its own statistics are of, by name. What is not named counts as the narrowest kind that its values fit. */
  readonly statisticKinds?: Readonly<Record<string, StatisticKind>>;
  /** Never throws, whatever text a model has written. */
  judge(problem: Problem, completion: string): Verdict;
}

/** What a reward model learns from: completions, as the model would write them. */
export interface Preference {
  readonly chosen: string;
  readonly rejected: string;
}

/** What SFT imitates. */
export interface Demonstration {
  /** What stands before it, where that is not the problem's own prompt. */
  readonly prompt?: string;
  readonly completion: string;
  /** Spans of the completion (character offsets, end exclusive) whose tokens weigh more or less than 1 in the loss. */
  readonly weightedSpans: readonly { readonly start: number; readonly end: number; readonly weight: number }[];
  /**
   * The completion is a text that is learned from its second token on, nothing standing before it. `rendered`: a chat
   * template has written its special tokens and its end, so no token is added. `plain`: the tokenizer's own are put around
   * it, as around any text, and an end token after it.
   */
  readonly wholeText?: "rendered" | "plain";
}
