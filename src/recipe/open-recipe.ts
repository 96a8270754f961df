/**
 * A checked recipe, made ready to run: model, tokenizer and task are opened, and every check is made that can be made before
 * training. What the recipe needs from outside is handed in: a device, folders, what reads data, what rewards reach. On Node
 * `prepare-recipe.ts` does so.
 */

import type { Computing } from "../compute/computing.ts";
import { computeFor, readsWeights } from "../engine/open.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import { RUN_FILES, type RunStore } from "../run/run-store.ts";
import type { DataReader } from "../tasks/entry.ts";
import { createTask } from "../tasks/registry.ts";
import { dayOf } from "../tokenizer/format-date.ts";
import { readTokenizer } from "../tokenizer/huggingface.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Reach } from "../train/context.ts";
import { trainers } from "../train/trainers.ts";
import { writeInitialModel } from "./model.ts";
import { RunTrackers } from "./run-trackers.ts";
import type { Recipe } from "./schema.ts";
import { modelProgram, type RecipeParts, stageParts, type TrainedEngine } from "./trained-model.ts";

/** What a recipe is run with. */
export interface RecipeSurroundings {
  readonly compute: Computing;
  /** Reads data; without it tasks generate their problems. */
  readonly dataReader?: DataReader;
  /** What rewards and teachers may need; nothing if absent. */
  readonly reach?: Reach;
}

/** A recipe that is open in its store, ready to run. */
export interface PreparedRun<Store extends RunStore = RunStore> extends RecipeParts {
  readonly directory: Store;
  readonly trackers: RunTrackers;
  /** Gives back the engine and the store. */
  close(): Promise<void>;
}

/**
 * Opens a recipe in a store. `placeOf` finds the model that it names by a path, where its folder has another name. The
 * caller closes what is returned, whatever becomes of it; where this throws, the store stays open.
 *
 * @throws AhaError
 */
export async function openRun<Store extends RunStore>(
  recipe: Recipe,
  store: Store,
  surroundings: RecipeSurroundings,
  placeOf: (path: string) => Promise<string> = async (path) => path,
): Promise<PreparedRun<Store>> {
  const { init, path } = recipe.model;
  const { compute } = surroundings;
  if (init && !readsWeights(recipe.engine)) {
    throw new ConfigError(
      `model.init makes weights here, and engine.kind ${recipe.engine.kind} has its own: name the directory of that model with model.path.`,
    );
  }
  const place = init
    ? await store.writeFolder(RUN_FILES.initialModel, (inside) =>
        writeInitialModel(compute.folderAt(inside), init, recipe.seed),
      )
    : await placeOf(path!);
  const parts = await openRecipeParts(recipe, place, surroundings);
  try {
    for (const check of recipeChecks(parts)) await check();
    const trackers = await RunTrackers.open(recipe, store);
    const close = async () => {
      await trackers.finish({ state: "interrupted", reason: "It was closed before it was run." });
      store.close();
      await parts.engine.dispose();
    };
    return { ...parts, directory: store, trackers, close };
  } catch (error) {
    await parts.engine.dispose();
    throw error;
  }
}

/** Builds engine, tokenizer and task on the model in `place`; the caller disposes of the engine. Throws AhaError. */
export async function openRecipeParts(
  recipe: Recipe,
  place: string,
  { compute: opened, dataReader, reach = {} }: RecipeSurroundings,
): Promise<RecipeParts> {
  const tokenizer = await readTokenizer(opened.folderAt(place), recipe.model);
  const now = dayOf(recipe.date);
  const task = await createTask(recipe.task, {
    seed: recipe.seed,
    ...(dataReader && { dataReader }),
    renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, { ...options, now }),
  });
  const heldOut = task.heldOut(recipe.evaluation.problems);
  const compute = computeFor(recipe.engine, opened);
  const engine = await modelProgram(recipe).open(recipe, place, tokenizer, compute);
  try {
    requireVocabulary(engine, tokenizer, place);
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  return { recipe, engine, compute, reach, tokenizer, task, heldOut };
}

/** Every check that can be made before training, each of which throws an AhaError where it fails. */
export function recipeChecks(prepared: RecipeParts): (() => Promise<void>)[] {
  const { recipe } = prepared;
  return [
    async () => modelProgram(recipe).checkEvaluation(prepared),
    ...recipe.stages.map((stage) => async () => trainers.get(stage.trainer).check(stageParts(prepared, stage), stage)),
  ];
}

/** A tokenizer with more tokens than the model's vocabulary is another model's. */
function requireVocabulary({ info }: TrainedEngine, tokenizer: Tokenizer, place: string): void {
  if (tokenizer.vocabSize <= info.vocabSize) return;
  throw new CheckpointError(
    `${place}: the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocabulary ${info.vocabSize}. ` +
      "They belong to two models; put the model's own tokenizer files there.",
  );
}
