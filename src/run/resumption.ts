/**
 * What a resume looks for before it touches anything: the same recipe, and a checkpoint to go on from.
 *
 * The newest checkpoint whose files all have the sizes and checksums of its manifest, and whose logs are as long as it
 * says, is taken. Damaged ones are set aside under another name, never deleted: the user may want to look at them, and
 * the run makes new ones. If no checkpoint is sound, a resume would begin from the start and empty every log, so it is
 * refused.
 */

import { existsSync, readdirSync, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { RunDirError } from "../errors.ts";
import { TEMPORARY_PREFIX } from "../files.ts";
import {
  type Checkpoint,
  type CheckpointFinding,
  checkpointDamage,
  listCheckpoints,
  SET_ASIDE_PREFIX,
} from "./checkpoint.ts";
import { differingEnvironment, type Environment } from "./environment.ts";
import { logFileName, PINNED_LOGS } from "./records.ts";
import { rolloutDamage } from "./rollout-log.ts";

/** Where a run goes on, and what its user should know about it. */
export interface Resumption {
  /** undefined: no checkpoint had been made, so it begins from the start. */
  readonly resumedFrom: Checkpoint | undefined;
  readonly warnings: readonly string[];
}

/** Removes what a process that was killed had begun to write into these folders. */
export async function removeUnfinished(...folders: readonly string[]): Promise<void> {
  for (const parent of folders) {
    for (const name of readdirSync(parent)) {
      if (name.startsWith(TEMPORARY_PREFIX)) await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

/**
 * The newest sound checkpoint of the run in `path`; damaged ones that are newer are set aside.
 *
 * @throws RunDirError where there are checkpoints but none is sound; then nothing is changed.
 */
export async function findResumption(
  path: string,
  checkpoints: string,
  { recipeHash, environment }: { readonly recipeHash: string; readonly environment: Environment },
): Promise<Resumption> {
  const damaged: { readonly finding: CheckpointFinding; readonly damage: string }[] = [];
  const findings = await listCheckpoints(checkpoints);
  for (const finding of findings) {
    const damage = await damageOf(finding, path, recipeHash);
    if (damage !== undefined || !("manifest" in finding)) {
      damaged.push({ finding, damage: damage ?? "it has no manifest" });
      continue;
    }
    const warnings: string[] = [];
    for (const { finding: old, damage: found } of damaged) warnings.push(await setAside(checkpoints, old, found));
    return { resumedFrom: finding, warnings: [...warnings, ...foreignEnvironment(finding, environment)] };
  }
  if (damaged.length === 0) return { resumedFrom: undefined, warnings: [] };
  throw new RunDirError(
    `No checkpoint of the run in ${path} can be used:\n` +
      damaged.map(({ finding, damage }) => `  ${finding.name}: ${damage}\n`).join("") +
      `Nothing was changed. Bring one of them back from a copy, or begin anew in another directory (--out). To begin anew ` +
      `here, which cuts the logs to nothing, delete ${checkpoints} first.`,
  );
}

async function setAside(checkpoints: string, { directory, name }: CheckpointFinding, damage: string): Promise<string> {
  const aside = join(checkpoints, `${SET_ASIDE_PREFIX}${name}`);
  await rm(aside, { recursive: true, force: true });
  await rename(directory, aside);
  return `Checkpoint ${name} is damaged (${damage}); it was set aside as ${aside}, and one before it is used.`;
}

function foreignEnvironment({ name, manifest }: Checkpoint, now: Environment): string[] {
  const differences = differingEnvironment(manifest.environment, now);
  if (differences.length === 0) return [];
  return [
    `Checkpoint ${name} was made elsewhere (${differences.join("; ")}). The run goes on from it, but not bit for bit: results ` +
      "may differ in their last bits from those of a run that was not interrupted.",
  ];
}

async function damageOf(finding: CheckpointFinding, path: string, recipeHash: string): Promise<string | undefined> {
  if ("damage" in finding) return finding.damage;
  if (finding.manifest.recipeHash !== recipeHash) return "it was made by another recipe";
  for (const log of PINNED_LOGS) {
    if (log === "rollouts") continue;
    const file = join(path, logFileName(log));
    const sizeBytes = existsSync(file) ? statSync(file).size : 0;
    const pinned = finding.manifest.logBytes[log];
    if (sizeBytes < pinned) return `${logFileName(log)} has ${sizeBytes} bytes where the checkpoint counts ${pinned}`;
  }
  const { rolloutFile, logBytes } = finding.manifest;
  return rolloutDamage(path, { file: rolloutFile, bytes: logBytes.rollouts }) ?? checkpointDamage(finding);
}
