/**
 * A recipe may name its model and its data on the Hub. Before a run begins, the names are looked up, the files are
 * brought into the cache, and each name becomes `org/name@commit`: so the run's recipe.yaml says which files they were,
 * and a resume uses the same ones although the branch has moved.
 */

import { formatHubReference, isCommitHash, parseHubReference, type RepositoryKind } from "../hub/reference.ts";
import { hubReferenceOf, type ResolveOptions, resolveDataset, resolveModel } from "../hub/resolve.ts";
import { pathsBelow } from "../named-paths.ts";
import { taskPaths } from "../tasks/registry.ts";
import type { Recipe } from "./schema.ts";

type Keys = readonly (string | number)[];

/** Where names may stand. */
function placesIn({ task }: Recipe): { readonly keys: Keys; readonly kind: RepositoryKind }[] {
  const datasets = pathsBelow(["task"], taskPaths(task))
    .filter(({ hub }) => hub === true)
    .map(({ keys }) => ({ keys, kind: "dataset" as const }));
  return [{ keys: ["model", "path"], kind: "model" }, ...datasets];
}

type Branch = Readonly<Record<string, unknown>>;

/**
 * The recipe with every name on the Hub pinned to a commit that is in the cache. `recorded` is the recipe of the run that
 * is to be resumed: its commits are taken where the names are the same and no other commit is asked for.
 *
 * @throws HubError where something cannot be had; RunInterrupted
 */
export async function pinHubReferences(
  recipe: Recipe,
  options: ResolveOptions = {},
  recorded?: unknown,
): Promise<Recipe> {
  let pinned: Branch = recipe;
  for (const { keys, kind } of placesIn(recipe)) {
    const written = valueAt(recipe, keys);
    if (typeof written !== "string" || hubReferenceOf(written, kind) === undefined) continue;
    const wanted = recordedCommit(written, valueAt(recorded, keys), kind) ?? written;
    const resolved = await (kind === "model" ? resolveModel : resolveDataset)(wanted, options);
    pinned = withValue(pinned, keys, resolved.pinned ?? wanted);
  }
  return pinned as Recipe;
}

/** The recorded reference, where it pins what `written` names. */
function recordedCommit(written: string, recorded: unknown, kind: RepositoryKind): string | undefined {
  if (typeof recorded !== "string") return undefined;
  const [before, now] = [parseHubReference(recorded, kind), parseHubReference(written, kind)];
  if (before === undefined || before.name !== now?.name || !isCommitHash(before.revision)) return undefined;
  return isCommitHash(now.revision) ? undefined : formatHubReference(before);
}

function valueAt(value: unknown, keys: Keys): unknown {
  let branch = value;
  for (const key of keys) branch = isBranch(branch) ? branch[key] : undefined;
  return branch;
}

function withValue(branch: Branch, [key, ...rest]: Keys, value: unknown): Branch {
  const inner = branch[key!];
  const changed = rest.length === 0 || !isBranch(inner) ? value : withValue(inner, rest, value);
  if (Array.isArray(branch)) return branch.map((item: unknown, i) => (i === key ? changed : item)) as unknown as Branch;
  return { ...branch, [key!]: changed };
}

function isBranch(value: unknown): value is Branch {
  return typeof value === "object" && value !== null;
}
