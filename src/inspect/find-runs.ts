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
  const realRoots = directories.flatMap((directory) => realPathOf(directory) ?? []);
  const search = { from, realRoots, found, visited: new Map<string, number>(), foldersLeft: MAX_FOLDERS };
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
  readonly realRoots: readonly string[];
  readonly found: Map<string, FoundRun>;
  /** Folders by their real paths, with the levels below them that were looked into: a folder may have several names. */
  readonly visited: Map<string, number>;
  foldersLeft: number;
}

function visit(directory: string, depth: number, pipeline: string | undefined, search: Search): void {
  const { from, found, visited } = search;
  if (search.foldersLeft-- <= 0) return;
  const real = realPathOf(directory);
  if (real === undefined) return;
  const kind = kindOf(directory);
  const before = visited.get(real);
  // A folder that is named as a root, too, is looked into further than it was as one far below another.
  if (before !== undefined && (before >= depth || kind !== undefined)) return;
  visited.set(real, depth);
  const id = idOf(directory, from);
  if (kind !== undefined) found.set(directory, { id, directory, kind, ...(pipeline !== undefined && { pipeline }) });
  if (kind === "run") return;
  const below = kind === "pipeline" ? join(directory, PIPELINE_FILES.stages) : directory;
  if (depth === 0) return;
  for (const name of foldersIn(below, search.realRoots)) {
    visit(join(below, name), depth - 1, kind === "pipeline" ? id : pipeline, search);
  }
}

function foldersIn(directory: string, realRoots: readonly string[]): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith(".") && name !== "node_modules")
      .filter((entry) => entry.isDirectory() || leadsElsewhere(directory, entry, realRoots))
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/**
 * A link to a folder that is in none of the roots, for what is in one is found there; nor is a root in it, for such a link
 * leads in a circle. Circles outside of the roots end at what was visited.
 */
function leadsElsewhere(directory: string, entry: Dirent, realRoots: readonly string[]): boolean {
  if (!entry.isSymbolicLink()) return false;
  const target = realPathOf(join(directory, entry.name));
  // A link to nothing has no real path.
  if (target === undefined || realRoots.some((root) => isIn(target, root) || isIn(root, target))) return false;
  return statSync(target, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Whether a path is a folder or is below it. */
function isIn(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

function realPathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function idOf(directory: string, from: string): string {
  const path = relative(from, directory);
  if (path === "") return basename(directory);
  // A path that leads out of `from` says less than the whole one.
  return (path.startsWith("..") ? directory : path).split(sep).join("/");
}
