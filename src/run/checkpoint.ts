/**
 * Checkpoints of a run: folders that appear whole, with a manifest that says what is in them and how long each log was
 * when they were made. Cutting the logs back to those lengths and loading the state is all that a resume does.
 */

import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { RunDirError } from "../errors.ts";
import { systemReason, TEMPORARY_PREFIX, writeWhole } from "../files.ts";
import { PINNED_LOGS } from "./records.ts";
import { checkpointName } from "./run-store.ts";
import type { CheckpointRequest } from "./stage-writer.ts";
import { removeWithContent } from "./states-elsewhere.ts";
import { filesBelow, writeWholeFolder } from "./whole-folder.ts";

const MANIFEST_NAME = "manifest.json";

/** Names of checkpoints that a resume found damaged begin with this: they are no checkpoints any more. */
export const SET_ASIDE_PREFIX = "damaged-";

const NO_CHECKPOINTS = [TEMPORARY_PREFIX, SET_ASIDE_PREFIX];

const manifestSchema = z.strictObject({
  formatVersion: z.literal(1),
  /** Counts the run's checkpoints over all stages: the highest is the newest. */
  serial: z.int().min(1),
  stage: z.string(),
  /** Optimizer steps of the stage that are in this state. */
  step: z.int().min(0),
  /** Whether the stage is complete with these steps. */
  stageComplete: z.boolean(),
  /** What the stage's trainer needs back, beside the state of the engine. */
  trainerState: z.record(z.string(), z.union([z.number(), z.string()])),
  /** SHA-256 of the resolved recipe. */
  recipeHash: z.string(),
  /** Seconds of work until here, earlier sessions included. */
  seconds: z.number(),
  /** What computed it (`environment.ts`). */
  environment: z.record(z.string(), z.string()).default({}),
  /** Length of every pinned log at this moment. */
  logBytes: z.record(z.enum(PINNED_LOGS), z.int().min(0)),
  /** Which file of rollouts was written: `logBytes.rollouts` is of this one. */
  rolloutFile: z.int().min(1).default(1),
  /** Length of the files of completion samples. */
  sampleBytes: z.strictObject({ all: z.int().min(0), solved: z.int().min(0) }).default({ all: 0, solved: 0 }),
  files: z.array(z.strictObject({ name: z.string(), sizeBytes: z.int().min(0), sha256: z.string() })),
});

export type CheckpointManifest = z.infer<typeof manifestSchema>;

export interface Checkpoint {
  /** The folder. */
  readonly directory: string;
  /** The folder's name. */
  readonly name: string;
  readonly manifest: CheckpointManifest;
}

/** What a checkpoint may look like on the disk: usable, or damaged and why. */
export type CheckpointFinding =
  | Checkpoint
  | { readonly directory: string; readonly name: string; readonly damage: string };

/** Writes a checkpoint below `parent`: `write` fills the folder, the manifest is made from what it left there. */
export async function writeCheckpoint(
  parent: string,
  about: Omit<CheckpointManifest, "formatVersion" | "files">,
  write: (directory: string) => Promise<void>,
): Promise<Checkpoint> {
  const name = checkpointName(about.stage, about.step);
  const directory = join(parent, name);
  let manifest: CheckpointManifest | undefined;
  await writeWholeFolder(directory, async (unfinished) => {
    await write(unfinished);
    const files = [];
    for (const file of await filesBelow(unfinished)) {
      const path = join(unfinished, file);
      files.push({ name: file, sizeBytes: statSync(path).size, sha256: await sha256OfFile(path) });
    }
    manifest = { formatVersion: 1, ...about, files };
    await writeWhole(join(unfinished, MANIFEST_NAME), `${JSON.stringify(manifest, null, 2)}\n`);
  });
  return { directory, name, manifest: manifest! };
}

/** Every checkpoint below `parent`, newest first; those without a sound manifest come before all others. */
export async function listCheckpoints(parent: string): Promise<CheckpointFinding[]> {
  const findings: CheckpointFinding[] = [];
  for (const entry of await readdir(parent, { withFileTypes: true })) {
    if (!entry.isDirectory() || NO_CHECKPOINTS.some((prefix) => entry.name.startsWith(prefix))) continue;
    const directory = join(parent, entry.name);
    try {
      const manifest = manifestSchema.parse(JSON.parse(readFileSync(join(directory, MANIFEST_NAME), "utf8")));
      findings.push({ directory, name: entry.name, manifest });
    } catch (error) {
      refuseUnreadable(directory, error);
      findings.push({ directory, name: entry.name, damage: `${MANIFEST_NAME} is missing or not in its form` });
    }
  }
  const serial = (finding: CheckpointFinding) => ("manifest" in finding ? finding.manifest.serial : Infinity);
  return findings.sort((a, b) => serial(b) - serial(a));
}

/** What is wrong with the files of a checkpoint, or undefined where every size and SHA-256 is as the manifest says. */
export async function checkpointDamage(checkpoint: Checkpoint): Promise<string | undefined> {
  for (const file of checkpoint.manifest.files) {
    const path = join(checkpoint.directory, file.name);
    let sizeBytes: number;
    try {
      sizeBytes = statSync(path).size;
    } catch (error) {
      refuseUnreadable(path, error);
      return `${file.name} is missing`;
    }
    if (sizeBytes !== file.sizeBytes) return `${file.name} has ${sizeBytes} bytes instead of ${file.sizeBytes}`;
    if ((await sha256OfFile(path)) !== file.sha256) return `${file.name} does not have the checksum of its manifest`;
  }
  return undefined;
}

/**
 * Removes all but the newest `keep` checkpoints; those at the end of a stage, which are the run's lineage, stay, and so
 * does the best one. What they name `elsewhere` goes after them, and what was `replaced` (`states-elsewhere.ts`). `findings`:
 * newest first.
 */
export async function removeOldCheckpoints(
  findings: readonly CheckpointFinding[],
  {
    keep,
    best,
    elsewhere,
    replaced,
  }: Pick<CheckpointRequest, "keep" | "best" | "elsewhere"> & { readonly replaced: readonly string[] },
): Promise<void> {
  const passing = findings.filter((finding) => !("manifest" in finding && finding.manifest.stageComplete));
  const old = passing.slice(keep).filter(({ name }) => name !== best);
  const directories = (some: readonly CheckpointFinding[]) => some.map(({ directory }) => directory);
  const kept = findings.filter((finding) => !old.includes(finding));
  await removeWithContent(elsewhere, { old: directories(old), kept: directories(kept), replaced }, async () => {
    for (const { directory } of old) await rm(directory, { recursive: true, force: true });
  });
}

/**
 * A file that cannot be read for a reason outside of it (no permission, for example) is not damaged, so it must not be
 * removed.
 */
function refuseUnreadable(path: string, error: unknown): void {
  const reason = systemReason(error);
  if (reason === undefined || (error as NodeJS.ErrnoException).code === "ENOENT") return;
  throw new RunDirError(`Cannot read ${path}: ${reason}. Correct this, and try again.`);
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
