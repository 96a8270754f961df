/** What `aha init` has to know before it writes: the answers to its questions, and which there are to choose from. */

import type { Material, Starter, StarterChoice } from "../../train/starter.ts";
import type { Trainer } from "../../train/trainer.ts";
import { trainers } from "../../train/trainers.ts";
import type { OwnData } from "./own-data.ts";

/** A possible answer and what it means. */
export interface Offered<Name extends string = string> {
  readonly name: Name;
  readonly means: string;
}

export type Goal = "countdown" | "math" | "own";
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

/** A way to learn that is offered: one trainer's, perhaps behind a stage that imitates. */
export interface OfferedTrainer extends StarterChoice {
  readonly starter: Starter;
  readonly trains: Trainer["trains"];
}

/** All of them, the usual one first. */
export function offeredTrainers(): readonly OfferedTrainer[] {
  const offered = trainers.names.flatMap((name) => {
    const { starter, trains } = trainers.get(name);
    return starter === undefined ? [] : starter.choices.map((choice) => ({ ...choice, starter, trains }));
  });
  return offered.sort((a, b) => a.starter.rank - b.starter.rank);
}

/** The starter whose stage comes before others. */
export function coldStarter(): Starter | undefined {
  return offeredTrainers().find(({ starter }) => starter.isColdStart)?.starter;
}

/** The answers to all questions. */
export interface Choices {
  readonly goal: Goal;
  /** Of the goal `own`. */
  readonly data: OwnData | undefined;
  /** A path or a name on the Hub; undefined: random weights. */
  readonly model: string | undefined;
  readonly trainer: OfferedTrainer;
  /** Of a trainer that needs one: a path or a name on the Hub. */
  readonly teacher: string | undefined;
  readonly directory: string;
  readonly length: Length;
  /** undefined: what the engine takes by itself. */
  readonly threads: number | undefined;
}

/** The trainers that can learn this, the usual one first. */
export function trainersFor(goal: Goal, data: OwnData | undefined): readonly OfferedTrainer[] {
  const materials = materialsOf(goal, data);
  return offeredTrainers().filter(({ starter, coldStart }) => {
    const needed = [...starter.learnsFrom, ...(coldStart === "always" ? (coldStarter()?.learnsFrom ?? []) : [])];
    return needed.every((material) => materials.includes(material));
  });
}

/** What there is to learn from. */
function materialsOf(goal: Goal, data: OwnData | undefined): readonly Material[] {
  // Tasks of Aha's own make problems with worked examples.
  if (goal !== "own" || data === undefined) return ["prompts", "demonstrations"];
  // The better answer of a pair can be imitated.
  if (data.kind === "preferences") return ["pairs", "demonstrations"];
  return data.hasAnswers ? ["prompts", "demonstrations"] : ["prompts"];
}

/** Whether a stage that imitates comes before that of the trainer. */
export function hasColdStart({ goal, data, model, trainer }: Choices): boolean {
  if (trainer.coldStart === "always") return true;
  const isNew = trainer.coldStart === "forNewModels" && model === undefined;
  return isNew && materialsOf(goal, data).includes("demonstrations");
}

/** The model where nobody says which: what is made new can learn a game, but no language. */
export function usualModel(goal: Goal): string {
  return goal === "own" ? "Qwen/Qwen2.5-0.5B-Instruct" : NEW_MODEL;
}
