/**
 * Names on the Hub in a pipeline, pinned: `org/name` becomes `org/name@commit` in each stage's configuration before its
 * content hash is made. So a stage runs again when the model or data set of that name is another one, its lineage says
 * which one it was, and an interrupted pipeline continues with the same one.
 *
 * A name means what the cache says: the commit that its branch had when it was last pulled (`aha model pull` asks
 * anew). Where the cache knows nothing, the commit of the lineage counts, and without that the Hub is asked, before
 * anything is run. A stage that was begun continues with the commit with which it was begun.
 */

import type { RepositoryKind } from "../hub/reference.ts";
import { hubReferenceOf, knownCommit } from "../hub/resolve.ts";
import { type NamedPath, valueAt, withValueAt } from "../named-paths.ts";
import type { PipelineLineage } from "../run/pipeline-records.ts";
import { taskPaths } from "../tasks/registry.ts";
import { type LoadedPipeline, type ResolvedStage, type StageWork, workPaths } from "./load.ts";
import type { SuiteConfig } from "./schema.ts";

/** Asks the Hub: `org/name@commit` of a name. */
export type AskHub = (name: string, kind: RepositoryKind) => Promise<string>;

/** How names are pinned. */
interface PinOptions {
  readonly lineage: Pick<PipelineLineage, "stages"> | undefined;
  /** The only stage that is to be run, if it is so: for others nothing is asked. */
  readonly only?: string | undefined;
  /** undefined: names that neither the cache nor the lineage knows stay as they are. */
  readonly askHub: AskHub | undefined;
}

/**
 * The stages and suites with their names pinned.
 *
 * @throws what `askHub` throws
 */
export async function pinHubNames(
  { suites }: Pick<LoadedPipeline, "suites">,
  stages: readonly ResolvedStage[],
  { lineage, only, askHub }: PinOptions,
): Promise<{ readonly stages: ResolvedStage[]; readonly suites: SuiteConfig[] }> {
  const pinnedStages: ResolvedStage[] = [];
  for (const stage of stages) {
    const record = lineage?.stages[stage.name];
    const ask = only === undefined || only === stage.name ? askHub : undefined;
    const pin = pinning(record?.state === "begun", ask);
    const { work } = stage;
    const [config, key] = work.kind === "train" ? [work.recipe, "recipe"] : [work.config, "config"];
    const pinned = await withPins(config, workPaths(work), record?.ingredients.config, pin);
    pinnedStages.push({ ...stage, work: { ...work, [key]: pinned } as StageWork });
  }
  const pin = pinning(false, askHub);
  const pinnedSuites: SuiteConfig[] = [];
  for (const suite of suites) {
    pinnedSuites.push({ ...suite, task: await withPins(suite.task, taskPaths(suite.task), undefined, pin) });
  }
  return { stages: pinnedStages, suites: pinnedSuites };
}

type Pin = (name: string, kind: RepositoryKind, recorded: unknown) => Promise<string>;

/** How one name is pinned; `isBegun`: by what is recorded before all else. */
function pinning(isBegun: boolean, ask: AskHub | undefined): Pin {
  return async (name, kind, recorded) => {
    const [wanted, before] = [hubReferenceOf(name, kind)!, recordedPin(name, recorded)];
    if (isBegun && before !== undefined) return before;
    const commit = await knownCommit(wanted);
    return commit === undefined ? (before ?? (await ask?.(name, kind)) ?? name) : `${wanted.name}@${commit}`;
  };
}

/** The recorded text, where it is `name` at some commit. */
function recordedPin(name: string, recorded: unknown): string | undefined {
  const repository = name.split("@", 1)[0]!;
  return typeof recorded === "string" && recorded.startsWith(`${repository}@`) ? recorded : undefined;
}

/** A configuration with its names pinned; `recorded` is the same one as it was before. */
async function withPins<T>(config: T, paths: readonly NamedPath[], recorded: unknown, pin: Pin): Promise<T> {
  let pinned = config;
  for (const { keys, path, kind: expected, hub } of paths) {
    const kind: RepositoryKind = expected === "model" ? "model" : "dataset";
    if (!hub || hubReferenceOf(path, kind) === undefined) continue;
    pinned = withValueAt(pinned, keys, await pin(path, kind, valueAt(recorded, keys)));
  }
  return pinned;
}
