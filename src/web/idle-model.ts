/** A model that is asked before any run: what an earlier visit has left, or the cold start. Nothing is trained or written. */

import type { Computing } from "../compute/computing.ts";
import type { Policy } from "../engine/contract/policy.ts";
import type { Folder, MemoryFolder } from "../folder.ts";
import { openRecipeParts } from "../recipe/open-recipe.ts";
import type { Recipe } from "../recipe/schema.ts";
import { FolderRun } from "../run/folder-run.ts";
import type { AskedModel } from "./answers.ts";
import { writeModelWith } from "./model-files.ts";
import { iterationOfState } from "./tab-run.ts";

/** The model, and what gives it back. */
export interface IdleModel extends AskedModel {
  close(): Promise<void>;
}

/**
 * The model of the newest state in the folder of a run, or of `weights` where there is none. `scratch` is empty, and takes
 * the model's files.
 */
export async function openIdleModel(
  recipe: Recipe,
  compute: Computing,
  scratch: MemoryFolder,
  run: Folder | undefined,
  weights: () => Promise<Uint8Array>,
): Promise<IdleModel> {
  const state = run && (await FolderRun.newestIn(run));
  await writeModelWith(scratch, recipe, state ? undefined : await weights());
  const { engine, tokenizer } = await openRecipeParts(recipe, scratch.path, { compute });
  const policy = engine as Policy;
  try {
    if (state) await policy.loadState(state.directory);
    const session = policy.openSession!();
    const close = async () => {
      await session.close();
      await policy.dispose();
    };
    return { recipe, tokenizer, engine: policy, session, iteration: state ? iterationOfState(state) : 0, close };
  } catch (error) {
    await policy.dispose();
    throw error;
  }
}
