/**
 * A converted recipe on the model that stands in for its own (`--model`). A small checkpoint is seldom what a recipe for
 * Qwen2.5-3B was written for, so two things give way, and both are said: a prompt that its tokenizer cannot express
 * becomes Aha's compact one, and completions become as short as the context asks for.
 *
 * What it is not: an adjustment of a recipe to its own model. There a length that does not fit is an error.
 */

import { AhaError, ConfigError } from "../../errors.ts";
import { inspectModel } from "../../model/checkpoint.ts";
import { createTask } from "../../tasks/registry.ts";
import type { Task } from "../../tasks/task.ts";
import { dayOf } from "../../tokenizer/format-date.ts";
import { loadTokenizer } from "../../tokenizer/huggingface.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { isGrpoStage } from "../../train/grpo/trainer.ts";
import type { TrlConversion, TrlRecipe } from "./conversion.ts";

/** Where less room is left for completions than this, a shorter prompt is tried. */
const LEAST_ROOM = 64;

/**
 * Fits `conversion` to the model in `directory`; `promptGiven`: the user chose the prompt, which then stays.
 *
 * @throws CheckpointError, DataError, ConfigError where model, tokenizer or data cannot be used
 */
export async function fitToModel(
  conversion: TrlConversion,
  directory: string,
  promptGiven: boolean,
): Promise<TrlConversion> {
  const { config } = await inspectModel(directory);
  const tokenizer = await loadTokenizer(directory);
  const { recipe } = conversion;
  const wanted = recipe.evaluation.maxCompletionTokens;
  const asWritten = await longestPrompt(recipe, tokenizer);
  const context = config.maxContextTokens;
  if (typeof asWritten === "number" && context - asWritten >= Math.min(wanted, LEAST_ROOM)) {
    return withLength(conversion, context - asWritten, { context, prompt: asWritten });
  }
  const fault =
    typeof asWritten === "string"
      ? asWritten
      : `its prompts have up to ${asWritten} tokens, the model's context ${context}`;
  if (promptGiven) throw new ConfigError(`--prompt ${recipe.task.prompt} does not go with ${directory}: ${fault}.`);
  const compact = withPrompt(conversion, fault);
  const shorter = await longestPrompt(compact.recipe, tokenizer);
  if (typeof shorter === "string") throw new ConfigError(`No prompt goes with ${directory}: ${fault}; ${shorter}.`);
  if (shorter >= context) {
    throw new ConfigError(`${directory}: its context of ${context} has no room beside prompts of ${shorter} tokens.`);
  }
  return withLength(compact, context - shorter, { context, prompt: shorter });
}

/** Tokens of the longest prompt of the run, or why the tokenizer cannot express it. */
async function longestPrompt(recipe: TrlRecipe, tokenizer: Tokenizer): Promise<number | string> {
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

function* promptsOf(recipe: TrlRecipe, task: Task): Generator<string> {
  for (const problem of task.heldOut(recipe.evaluation.problems)) yield problem.prompt;
  for (const stage of recipe.stages) {
    if (!isGrpoStage(stage)) continue;
    const count = Math.min(stage.iterations * stage.promptsPerIteration, task.trainCount);
    for (let index = 0; index < count; index++) yield task.trainProblem(index).prompt;
  }
}

function withPrompt(conversion: TrlConversion, fault: string): TrlConversion {
  const { recipe } = conversion;
  const chosen = `compact, for ${recipe.task.prompt} does not go with the model: ${fault}`;
  return {
    ...conversion,
    recipe: { ...recipe, task: { ...recipe.task, prompt: "compact" } },
    choices: conversion.choices.map((choice) => (choice.what === "prompt" ? { what: "prompt", chosen } : choice)),
  };
}

function withLength(
  conversion: TrlConversion,
  room: number,
  found: { readonly context: number; readonly prompt: number },
): TrlConversion {
  const { recipe } = conversion;
  const wanted = recipe.evaluation.maxCompletionTokens;
  if (wanted <= room) return conversion;
  const note = `of ${wanted}: what the model's context of ${found.context} leaves beside prompts of up to ${found.prompt} tokens`;
  const lines = (keys: TrlConversion["keys"]) =>
    keys.map((line) => (line.key === "max_completion_length" ? { ...line, recipeValue: room, note } : line));
  return {
    ...conversion,
    recipe: {
      ...recipe,
      evaluation: { ...recipe.evaluation, maxCompletionTokens: room },
      stages: recipe.stages.map((stage) => (isGrpoStage(stage) ? { ...stage, maxCompletionTokens: room } : stage)),
    },
    keys: lines(conversion.keys),
    defaults: lines(conversion.defaults),
  };
}
