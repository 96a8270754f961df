/**
 * A Countdown recipe on a model that stands in for its own. A prompt that its tokenizer cannot express, or that leaves no room
 * for an answer, becomes Aha's compact one, and that is said.
 */

import { AhaError, ConfigError } from "../../errors.ts";
import type { CountdownOptions } from "../../tasks/countdown/options.ts";
import { createTask } from "../../tasks/on-disk.ts";
import type { Task } from "../../tasks/task.ts";
import { dayOf } from "../../tokenizer/format-date.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { Recipe } from "../schema.ts";
import type { TrlConversion } from "./conversion.ts";

/** Where less room is left for completions than this, a shorter prompt is tried. */
const LEAST_ROOM = 64;

/** A recipe of Countdown problems. */
export type CountdownRecipe = Recipe & { readonly task: { readonly name: "countdown" } & CountdownOptions };

/** The conversion with a prompt that goes with the model, and the tokens of the longest one. */
export interface FittedPrompt {
  readonly conversion: TrlConversion;
  readonly longest: number;
}

/** Whether a recipe's problems are Countdown's. */
export function isCountdownRecipe(recipe: Recipe): recipe is CountdownRecipe {
  return recipe.task.name === "countdown";
}

/**
 * Fits the prompt; `promptGiven`: the user chose it, and it stays.
 *
 * @throws ConfigError where no prompt goes with the model in `directory`
 */
export async function fitCountdownPrompt(
  conversion: TrlConversion & { readonly recipe: CountdownRecipe },
  model: { readonly directory: string; readonly context: number; readonly tokenizer: Tokenizer },
  promptGiven: boolean,
): Promise<FittedPrompt> {
  const { recipe } = conversion;
  const { directory, context, tokenizer } = model;
  const wanted = recipe.evaluation.maxCompletionTokens;
  const asWritten = await longestPrompt(recipe, tokenizer);
  if (typeof asWritten === "number" && context - asWritten >= Math.min(wanted, LEAST_ROOM)) {
    return { conversion, longest: asWritten };
  }
  const fault =
    typeof asWritten === "string"
      ? asWritten
      : `its prompts have up to ${asWritten} tokens, the model's context ${context}`;
  if (promptGiven) throw new ConfigError(`--prompt ${recipe.task.prompt} does not go with ${directory}: ${fault}.`);
  const compact = withPrompt(conversion, fault);
  const shorter = await longestPrompt(compact.recipe, tokenizer);
  if (typeof shorter === "string") throw new ConfigError(`No prompt goes with ${directory}: ${fault}; ${shorter}.`);
  return { conversion: compact, longest: shorter };
}

/** Tokens of the longest prompt of the run, or why the tokenizer cannot express it. */
async function longestPrompt(recipe: CountdownRecipe, tokenizer: Tokenizer): Promise<number | string> {
  const now = dayOf(recipe.date);
  let task: Task;
  try {
    task = await createTask(recipe.task, {
      seed: recipe.seed,
      renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, { ...options, now }),
    });
    task.trainProblem(0);
  } catch (error) {
    if (!(error instanceof AhaError) || recipe.task.prompt === "compact") throw error;
    return `its tokenizer cannot render the prompt ${recipe.task.prompt} (${error.message.split(". ")[0]!.replace(/\.$/, "")})`;
  }
  let longest = 0;
  for (const text of promptsOf(recipe, task)) {
    const tokens = tokenizer.encode(text);
    if (letters(tokenizer.decode(tokens, { keepSpecial: true })) !== letters(text)) {
      return `its tokenizer has no tokens for the prompt ${recipe.task.prompt}`;
    }
    longest = Math.max(longest, tokens.length);
  }
  return longest;
}

/** What has to survive a tokenizer: normalizers may compose characters and touch spaces, unknown tokens lose letters. */
function letters(text: string): string {
  return text.normalize("NFKC").replace(/\s+/g, "");
}

/** Prompts of the held-out problems and of those that are trained on, where the policy answers them. */
export function* promptsOf(recipe: Recipe, task: Task): Generator<string> {
  for (const problem of task.heldOut(recipe.evaluation.problems)) yield problem.prompt;
  for (const { iterations, promptsPerIteration } of recipe.stages) {
    if (typeof iterations !== "number" || typeof promptsPerIteration !== "number") continue;
    const count = Math.min(iterations * promptsPerIteration, task.trainCount);
    for (let index = 0; index < count; index++) yield task.trainProblem(index).prompt;
  }
}

function withPrompt(
  conversion: TrlConversion & { readonly recipe: CountdownRecipe },
  fault: string,
): TrlConversion & { readonly recipe: CountdownRecipe } {
  const { recipe } = conversion;
  const chosen = `compact, for ${recipe.task.prompt} does not go with the model: ${fault}`;
  return {
    ...conversion,
    recipe: { ...recipe, task: { ...recipe.task, prompt: "compact" } },
    choices: conversion.choices.map((choice) => (choice.what === "prompt" ? { what: "prompt", chosen } : choice)),
  };
}
