/**
 * A converted recipe on the model that stands in for its own (`--model`). A small checkpoint is seldom what a recipe for
 * Qwen2.5-3B was written for, so three things give way, and all are said: an end token that its tokenizer has not, a Countdown
 * prompt that it cannot express (`fit-countdown.ts`), and lengths that its context has no room for.
 *
 * What it is not: an adjustment of a recipe to its own model. There a length that does not fit is an error.
 */

import { CheckpointError, ConfigError } from "../../errors.ts";
import { inspectModel } from "../../model/on-disk.ts";
import { createTask } from "../../tasks/on-disk.ts";
import { dayOf } from "../../tokenizer/format-date.ts";
import { loadTokenizer } from "../../tokenizer/on-disk.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { Recipe, StageConfig } from "../schema.ts";
import type { TrlConversion, TrlKeyLine } from "./conversion.ts";
import { type CountdownRecipe, fitCountdownPrompt, isCountdownRecipe, promptsOf } from "./fit-countdown.ts";

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
  const context = config.maxContextTokens;
  const { tokenizer, ...withEnd } = await fitTokenizer(conversion, directory);
  const fitted = withMaxTokens(withEnd.conversion, context);
  // Pairs are scored whole; what does not fit is left out.
  if (fitted.trainer === "reward") return fitted;
  const { conversion: prompted, longest } = isCountdownRecipe(fitted.recipe)
    ? await fitCountdownPrompt(
        fitted as TrlConversion & { readonly recipe: CountdownRecipe },
        { directory, context, tokenizer },
        promptGiven,
      )
    : { conversion: fitted, longest: await longestPrompt(fitted.recipe, tokenizer) };
  if (longest >= context) {
    throw new ConfigError(`${directory}: its context of ${context} has no room beside prompts of ${longest} tokens.`);
  }
  return withLength(prompted, context - longest, { context, prompt: longest });
}

/** The tokenizer with the recipe's changes, its end token aside where the vocabulary has not that one. */
async function fitTokenizer(
  conversion: TrlConversion,
  directory: string,
): Promise<{ readonly conversion: TrlConversion; readonly tokenizer: Tokenizer }> {
  const { model } = conversion.recipe;
  try {
    return { conversion, tokenizer: await loadTokenizer(directory, model) };
  } catch (error) {
    if (!(error instanceof CheckpointError) || model.eosToken === undefined) throw error;
    const { eosToken, ...kept } = model;
    // Another fault of the tokenizer's is still one.
    const tokenizer = await loadTokenizer(directory, kept);
    const note = "the model that stands in has no such token, and keeps its own";
    return {
      tokenizer,
      conversion: {
        ...conversion,
        recipe: { ...conversion.recipe, model: kept },
        keys: conversion.keys.map((line) =>
          line.key === "eos_token" ? { key: line.key, value: eosToken, path: null, note } : line,
        ),
      },
    };
  }
}

/** Tokens of the longest prompt that is answered. */
async function longestPrompt(recipe: Recipe, tokenizer: Tokenizer): Promise<number> {
  const now = dayOf(recipe.date);
  const task = await createTask(recipe.task, {
    seed: recipe.seed,
    renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, { ...options, now }),
  });
  let longest = 0;
  for (const text of promptsOf(recipe, task)) longest = Math.max(longest, tokenizer.encode(text).length);
  return longest;
}

/** Texts that are learned or scored, no longer than the context. */
function withMaxTokens(conversion: TrlConversion, context: number): TrlConversion {
  const change = (stage: StageConfig): StageConfig =>
    typeof stage.maxTokens === "number" && stage.maxTokens > context ? { ...stage, maxTokens: context } : stage;
  const stages = conversion.recipe.stages.map(change);
  if (stages.every((stage, i) => stage === conversion.recipe.stages[i])) return conversion;
  return {
    ...conversion,
    ...withNotes(conversion, ["max_length", "max_seq_length"], context, "the model's context"),
    recipe: { ...conversion.recipe, stages },
  };
}

/** Completions no longer than `room`. */
function withLength(
  conversion: TrlConversion,
  room: number,
  found: { readonly context: number; readonly prompt: number },
): TrlConversion {
  const { recipe } = conversion;
  const wanted = recipe.evaluation.maxCompletionTokens;
  if (wanted <= room) return conversion;
  const note = `of ${wanted}: what the model's context of ${found.context} leaves beside prompts of up to ${found.prompt} tokens`;
  return {
    ...conversion,
    ...withNotes(conversion, ["max_completion_length", "max_new_tokens"], room, note),
    recipe: {
      ...recipe,
      evaluation: { ...recipe.evaluation, maxCompletionTokens: room },
      stages: recipe.stages.map((stage) =>
        "maxCompletionTokens" in stage ? { ...stage, maxCompletionTokens: room } : stage,
      ),
    },
  };
}

/** The lines of keys whose value in the recipe is another one now. */
function withNotes(
  { keys, defaults }: TrlConversion,
  names: readonly string[],
  recipeValue: number,
  note: string,
): Pick<TrlConversion, "keys" | "defaults"> {
  const changed = (lines: readonly TrlKeyLine[]) =>
    lines.map((line) => (names.includes(line.key) && line.path !== null ? { ...line, recipeValue, note } : line));
  return { keys: changed(keys), defaults: changed(defaults) };
}
