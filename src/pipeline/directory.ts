/**
 * A pipeline's run directory, as the one process that runs it sees it: it holds the lock, keeps `lineage.json`, and
 * moves results out of the way that a change has made old. Each stage decides what its own folder holds.
 *
 * The lineage is the only memory: a stage counts as finished when it says so there, and every change of it is one file
 * that appears whole.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { RunDirError } from "../errors.ts";
import { systemReason, TEMPORARY_PREFIX, writeWhole } from "../files.ts";
import { parseJson } from "../json-text.ts";
import {
  PIPELINE_FILES,
  type PipelineLineage,
  pipelineLineageSchema,
  type StageRecord,
} from "../run/pipeline-records.ts";
import { isWrittenRecipe, recipeToYaml } from "../run/recipe-file.ts";
import { removeUnfinished } from "../run/resumption.ts";
import { LOCK_NAME, lockRun } from "../run/run-lock.ts";
import { stageFolder } from "./load.ts";
import { outputFault } from "./output-state.ts";

/** Whether a pipeline was begun in `directory`. */
export function holdsPipeline(directory: string): boolean {
  return existsSync(join(directory, PIPELINE_FILES.lineage));
}

/** The lineage in `directory`; undefined where no pipeline was begun there. Throws RunDirError where it is damaged. */
export function readPipelineLineage(directory: string): PipelineLineage | undefined {
  const path = join(directory, PIPELINE_FILES.lineage);
  if (!existsSync(path)) return undefined;
  const parsed = pipelineLineageSchema.safeParse(parseJson(readFileSync(path, "utf8"), path, RunDirError));
  if (parsed.success) return parsed.data;
  throw new RunDirError(
    `${path} is not as Aha writes it, so something else has changed it. Begin anew elsewhere (--out).`,
  );
}

/** An open pipeline directory; close it to give the lock back. */
export class PipelineDirectory {
  readonly path: string;
  readonly lineage: PipelineLineage;
  private readonly release: () => void;

  private constructor(path: string, lineage: PipelineLineage, release: () => void) {
    this.path = path;
    this.lineage = lineage;
    this.release = release;
  }

  /**
   * Locks `directory` for this pipeline: a new or empty one, or one where the pipeline of that name was begun.
   *
   * @throws RunDirError in use, not writable, or of something else
   */
  static async open(
    directory: string,
    about: Pick<PipelineLineage, "pipeline" | "seed" | "threads">,
  ): Promise<PipelineDirectory> {
    const path = resolve(directory);
    requireOwn(path, about.pipeline);
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      const reason = systemReason(error);
      if (reason === undefined) throw error;
      throw new RunDirError(`Cannot write in ${path}: ${reason}. Choose another directory with --out.`);
    }
    const release = lockRun(path);
    try {
      const found = readPipelineLineage(path);
      await removeUnfinished(path);
      const stages = join(path, PIPELINE_FILES.stages);
      mkdirSync(stages, { recursive: true });
      await removeUnfinished(stages);
      return new PipelineDirectory(path, { stages: {}, superseded: {}, ...found, ...about }, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** What is known of a stage. */
  record(stage: string): StageRecord | undefined {
    return this.lineage.stages[stage];
  }

  /** Folder of a stage. */
  folder(stage: string): string {
    return stageFolder(this.path, stage);
  }

  /** Writes what is known of a stage to the lineage, which is what counts from then on. */
  async note(stage: string, record: StageRecord): Promise<void> {
    this.lineage.stages[stage] = record;
    await this.save();
  }

  /** Brings the lineage to the disk. */
  async save(): Promise<void> {
    await writeWhole(join(this.path, PIPELINE_FILES.lineage), `${JSON.stringify(this.lineage, null, 2)}\n`);
  }

  /** Writes the file that is run. */
  async keepFile(file: unknown): Promise<void> {
    await writeWhole(join(this.path, PIPELINE_FILES.pipeline), recipeToYaml(file));
  }

  /**
   * Moves what a stage has made out of the way: a finished result to superseded/, where `takeBack` finds it, unless it
   * is to be made again from the same ingredients (`isSame`); an incomplete result is removed. A result that the user
   * has edited is kept there, too, as NAME-HASH-edited, and never taken back.
   */
  async setAside(stage: string, { isSame }: { readonly isSame: boolean }): Promise<void> {
    const record = this.record(stage);
    const folder = this.folder(stage);
    const output = record?.output === undefined ? undefined : join(this.path, record.output.path);
    const isThere = record?.state === "finished" && output !== undefined && existsSync(output);
    const isEdited = isThere && (await outputFault(output, record.output)) !== undefined;
    delete this.lineage.stages[stage];
    await this.save();
    if (!isThere || (isSame && !isEdited)) {
      await rm(folder, { recursive: true, force: true });
      return;
    }
    const name = `${asideName(stage, record.hash)}${isEdited ? "-edited" : ""}`;
    const aside = join(this.path, PIPELINE_FILES.superseded, name);
    mkdirSync(join(this.path, PIPELINE_FILES.superseded), { recursive: true });
    await rm(aside, { recursive: true, force: true });
    await rename(folder, aside);
    if (isEdited) return;
    this.lineage.superseded[name] = { stage, record };
    await this.save();
  }

  /** Brings back a result that was set aside, where there is one of that hash; true where there was. */
  async takeBack(stage: string, hash: string): Promise<boolean> {
    const found = await supersededResult(this.path, this.lineage, stage, hash);
    if (found === undefined) return false;
    await this.setAside(stage, { isSame: false });
    await rename(found.folder, this.folder(stage));
    delete this.lineage.superseded[asideName(stage, hash)];
    await this.note(stage, found.record);
    return true;
  }

  /** Gives the lock back. A pipeline that failed before its first stage leaves nothing. */
  close(): void {
    this.release();
    if (holdsPipeline(this.path)) return;
    if (foreignNames(this.path).length === 0) rmSync(this.path, { recursive: true, force: true });
  }
}

/** The result of that hash which was set aside, where it is there and still what it was. */
export async function supersededResult(
  directory: string,
  { superseded }: Pick<PipelineLineage, "superseded">,
  stage: string,
  hash: string,
): Promise<{ readonly folder: string; readonly record: StageRecord } | undefined> {
  const name = asideName(stage, hash);
  const record = superseded[name]?.record;
  if (record?.hash !== hash || record.output === undefined) return undefined;
  const folder = join(directory, PIPELINE_FILES.superseded, name);
  const fault = await outputFault(join(folder, basename(record.output.path)), record.output);
  return fault === undefined ? { folder, record } : undefined;
}

/** Name of a result's folder in superseded/. */
function asideName(stage: string, hash: string): string {
  return `${stage}-${hash.slice(0, 12)}`;
}

function requireOwn(path: string, pipeline: string): void {
  if (!existsSync(path)) return;
  if (!statSync(path).isDirectory()) throw new RunDirError(`${path} is a file; a pipeline needs a directory.`);
  const lineage = readPipelineLineage(path);
  if (lineage?.pipeline === pipeline) return;
  if (lineage !== undefined) {
    throw new RunDirError(
      `${path} holds the pipeline ${lineage.pipeline}, not ${pipeline}. Choose another directory with --out.`,
    );
  }
  const present = foreignNames(path);
  if (present.length === 0) return;
  throw new RunDirError(
    `${path} is not empty (${present.slice(0, 3).join(", ")}) and holds no pipeline. Choose another directory with --out.`,
  );
}

/** What is in a directory that is not of a pipeline which was ended before its first stage. */
function foreignNames(path: string): string[] {
  const own = [LOCK_NAME, PIPELINE_FILES.stages];
  return readdirSync(path).filter((name) => {
    if (name === PIPELINE_FILES.pipeline) return !isWrittenRecipe(join(path, name));
    return !own.includes(name) && !name.startsWith(TEMPORARY_PREFIX);
  });
}
