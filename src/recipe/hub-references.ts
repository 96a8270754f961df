/**
 * A recipe may name its model and its data on the Hub. Before a run begins, the names are looked up, the files are
 * brought into the cache, and each name becomes `org/name@commit`: so the run's recipe.yaml says which files they were,
 * and a resume uses the same ones although the branch has moved.
 */

import { readsWeights } from "../engine/open.ts";
import { formatHubReference, isCommitHash, parseHubReference, type RepositoryKind } from "../hub/reference.ts";
import { hubReferenceOf, MODEL_TEXT_FILES, type ResolveOptions, resolveDataset, resolveModel } from "../hub/resolve.ts";
import { valueAt, withValueAt } from "../named-paths.ts";
import { recipePaths } from "./recipe-paths.ts";
import type { Recipe } from "./schema.ts";

/**
 * The recipe with every name on the Hub pinned to a commit that is in the cache. `recorded` is the recipe of the run that
 * is to be resumed: its commits are taken where the names are the same and no other commit is asked for.
 *
 * @throws HubError where something cannot be downloaded; RunInterrupted
 */
export async function pinHubReferences(
  recipe: Recipe,
  options: ResolveOptions = {},
  recorded?: unknown,
): Promise<Recipe> {
  let pinned = recipe;
  for (const { keys, path: written, kind: expected, hub } of recipePaths(recipe)) {
    const kind: RepositoryKind = expected === "model" ? "model" : "dataset";
    if (!hub || hubReferenceOf(written, kind) === undefined) continue;
    const wanted = recordedCommit(written, valueAt(recorded, keys), kind) ?? written;
    // Of the policy's model no weights are needed here where its engine has them elsewhere.
    const isElsewhere = keys.join(".") === "model.path" && !readsWeights(recipe.engine);
    const choice = isElsewhere ? { ...options, include: MODEL_TEXT_FILES } : options;
    const resolved = await (kind === "model" ? resolveModel : resolveDataset)(wanted, choice);
    pinned = withValueAt(pinned, keys, resolved.pinned ?? wanted);
  }
  return pinned;
}

/** The recorded reference, where it pins what `written` names. */
function recordedCommit(written: string, recorded: unknown, kind: RepositoryKind): string | undefined {
  if (typeof recorded !== "string") return undefined;
  const [before, now] = [parseHubReference(recorded, kind), parseHubReference(written, kind)];
  if (before === undefined || before.name !== now?.name || !isCommitHash(before.revision)) return undefined;
  return isCommitHash(now.revision) ? undefined : formatHubReference(before);
}
