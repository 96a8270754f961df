/**
 * Which runs and pipelines there are below the directories that a dashboard was given: each itself, or in a folder at most
 * `DEPTH` levels down. Stages of a pipeline are runs of their own, below it.
 */

import { type Dirent, existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { basename, join, relative, resolve, sep } from "node:path";
import { PIPELINE_FILES } from "../run/pipeline-records.ts";
import { RUN_FILES } from "../run/run-store.ts";

/** Levels of folders that are looked into. */
const DEPTH = 3;
/** Folders that are looked into at most: somebody may name their home. */
const MAX_FOLDERS = 20_000;

/** A run or a pipeline. */
export interface FoundRun {
  /** Names it in addresses: its path from where the dashboard was started, with forward slashes. */
  readonly id: string;
  readonly directory: string;
  readonly kind: "run" | "pipeline";
  /** Of a pipeline's stage: the pipeline's id. */
  readonly pipeline?: string;
}

/** Everything below `roots`, which may name runs, pipelines or folders of them; sorted by id. */
export function findRuns(roots: readonly string[], from: string): FoundRun[] {
  const found = new Map<string, FoundRun>();
  const directories = roots.map((root) => resolve(from, root));
  const search = { from, roots: directories, found, foldersLeft: MAX_FOLDERS };
  for (const directory of directories) visit(directory, DEPTH, undefined, search);
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** What a directory is; undefined where it is neither. */
export function kindOf(directory: string): FoundRun["kind"] | undefined {
  // A pipeline's file is written before anything else of it, and a run's directory has none.
  if (existsSync(join(directory, PIPELINE_FILES.pipeline))) return "pipeline";
  return existsSync(join(directory, RUN_FILES.recipe)) ? "run" : undefined;
}

interface Search {
  readonly from: string;
  readonly roots: readonly string[];
  readonly found: Map<string, FoundRun>;
  foldersLeft: number;
}

function visit(directory: string, depth: number, pipeline: string | undefined, search: Search): void {
  const { from, found } = search;
  if (search.foldersLeft-- <= 0 || found.has(directory)) return;
  const kind = kindOf(directory);
  const id = idOf(directory, from);
  if (kind !== undefined) found.set(directory, { id, directory, kind, ...(pipeline !== undefined && { pipeline }) });
  if (kind === "run") return;
  const below = kind === "pipeline" ? join(directory, PIPELINE_FILES.stages) : directory;
  if (depth === 0) return;
  for (const name of foldersIn(below, search.roots)) {
    visit(join(below, name), depth - 1, kind === "pipeline" ? id : pipeline, search);
  }
}

function foldersIn(directory: string, roots: readonly string[]): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith(".") && name !== "node_modules")
      .filter((entry) => entry.isDirectory() || leadsElsewhere(directory, entry, roots))
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** A link to a folder that is in none of the roots: what is in one is found there, and links in circles are not followed. */
function leadsElsewhere(directory: string, entry: Dirent, roots: readonly string[]): boolean {
  if (!entry.isSymbolicLink()) return false;
  try {
    const target = realpathSync(join(directory, entry.name));
    const isIn = (root: string) => target === root || target.startsWith(root + sep);
    return statSync(target).isDirectory() && !roots.some((root) => isIn(root) || isIn(realpathSync(root)));
  } catch {
    // A link to nothing.
    return false;
  }
}

function idOf(directory: string, from: string): string {
  const path = relative(from, directory);
  if (path === "") return basename(directory);
  // A path that leads out of `from` says less than the whole one.
  return (path.startsWith("..") ? directory : path).split(sep).join("/");
}
