/** What `aha init` has to know before it writes: the answers to its questions, and which there are to choose from. */

import type { OwnData } from "./own-data.ts";

/** A possible answer and what it means. */
export interface Offered<Name extends string = string> {
  readonly name: Name;
  readonly means: string;
}

export type Goal = "countdown" | "math" | "own";
export type TrainerChoice = "r1" | "grpo" | "sft" | "distill" | "reward_model";
export type Length = "smoke" | "short" | "long";

/** In place of a model's path: random weights. */
export const NEW_MODEL = "new";

/** What a model can be trained for. */
export const GOALS: readonly Offered<Goal>[] = [
  {
    name: "countdown",
    means: "the game: reach a number with others, + - * and /; problems are made as they are needed",
  },
  { name: "math", means: "school problems, answers compared as mathematics; problems are made as they are needed" },
  { name: "own", means: "your own data: a file, a folder or a data set of the Hub, and a reward that you write" },
];

/** How long it may take. */
export const LENGTHS: readonly Offered<Length>[] = [
  { name: "smoke", means: "a few steps, to see that all of it works" },
  { name: "short", means: "minutes with a new model, an hour or a few with a small one of the Hub" },
  { name: "long", means: "half an hour with a new model, a night or more with one of the Hub" },
];

const TRAINERS: readonly Offered<TrainerChoice>[] = [
  { name: "r1", means: "sft, then grpo: it is shown the form of an answer, then rewarded for right ones" },
  { name: "grpo", means: "reinforcement learning alone: it is rewarded for right answers" },
  { name: "sft", means: "it imitates worked examples" },
  { name: "distill", means: "a larger model (the teacher) judges every token that it writes" },
  { name: "reward_model", means: "it learns which of two answers people prefer" },
];

/** All names that a trainer is chosen by. */
export const TRAINER_CHOICES: readonly TrainerChoice[] = TRAINERS.map(({ name }) => name);

/** The answers to all questions. */
export interface Choices {
  readonly goal: Goal;
  /** Of the goal `own`. */
  readonly data: OwnData | undefined;
  /** A path or a name on the Hub; undefined: random weights. */
  readonly model: string | undefined;
  readonly trainer: TrainerChoice;
  /** Of the trainer `distill`: a path or a name on the Hub. */
  readonly teacher: string | undefined;
  readonly directory: string;
  readonly length: Length;
  /** undefined: what the engine takes by itself. */
  readonly threads: number | undefined;
}

/** The trainers that can learn this, the usual one first. */
export function trainersFor(goal: Goal, data: OwnData | undefined): readonly Offered<TrainerChoice>[] {
  const names = namesFor(goal, data);
  return names.map((name) => TRAINERS.find((trainer) => trainer.name === name)!);
}

function namesFor(goal: Goal, data: OwnData | undefined): readonly TrainerChoice[] {
  if (goal !== "own" || data === undefined) return ["r1", "grpo", "sft", "distill"];
  if (data.kind === "preferences") return ["reward_model", "sft"];
  return data.hasAnswers ? ["r1", "grpo", "sft", "distill"] : ["grpo", "distill"];
}

/** Whether a stage of these choices is rewarded. */
export function isRewarded({ trainer }: Pick<Choices, "trainer">): boolean {
  return trainer === "r1" || trainer === "grpo";
}

/** The model where nobody says which: what is made new can learn a game, but no language. */
export function usualModel(goal: Goal): string {
  return goal === "own" ? "Qwen/Qwen2.5-0.5B-Instruct" : NEW_MODEL;
}
