/**
 * Which runs and pipelines there are below the directories that a dashboard was given: each itself, or in a folder at most
 * `DEPTH` levels down. Stages of a pipeline are runs of their own, below it.
 */

import { existsSync, readdirSync } from "node:fs";
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
  const budget = { folders: MAX_FOLDERS };
  for (const root of roots) visit(resolve(from, root), DEPTH, from, undefined, found, budget);
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** What a directory is; undefined where it is neither. */
export function kindOf(directory: string): FoundRun["kind"] | undefined {
  // A pipeline's file is written before anything else of it, and a run's directory has none.
  if (existsSync(join(directory, PIPELINE_FILES.pipeline))) return "pipeline";
  return existsSync(join(directory, RUN_FILES.recipe)) ? "run" : undefined;
}

function visit(
  directory: string,
  depth: number,
  from: string,
  pipeline: string | undefined,
  found: Map<string, FoundRun>,
  budget: { folders: number },
): void {
  if (budget.folders-- <= 0 || found.has(directory)) return;
  const kind = kindOf(directory);
  const id = idOf(directory, from);
  if (kind !== undefined) found.set(directory, { id, directory, kind, ...(pipeline !== undefined && { pipeline }) });
  if (kind === "run") return;
  const below = kind === "pipeline" ? join(directory, PIPELINE_FILES.stages) : directory;
  if (depth === 0) return;
  for (const name of foldersIn(below)) {
    visit(join(below, name), depth - 1, from, kind === "pipeline" ? id : pipeline, found, budget);
  }
}

function foldersIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith(".") && entry.name !== "node_modules")
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

function idOf(directory: string, from: string): string {
  const path = relative(from, directory);
  if (path === "") return basename(directory);
  // A path that leads out of `from` says less than the whole one.
  return (path.startsWith("..") ? directory : path).split(sep).join("/");
}
