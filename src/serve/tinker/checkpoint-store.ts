/**
 * Checkpoints on the disk: a directory for each model, in it one for each kind, in these one for each name. A directory
 * appears whole, with its description in it, so whatever is listed can be loaded, also by a server that was started anew.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { TEMPORARY_PREFIX, writeWhole } from "../../files.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../../model/lora.ts";
import { filesBelow, writeWholeFolder } from "../../run/whole-folder.ts";
import { CHECKPOINT_KINDS, type CheckpointKind, formatTinkerPath, type TinkerPath } from "../../tinker/tinker-path.ts";
import { type CheckpointLimits, CheckpointRoom, diskFullFailure } from "./checkpoint-room.ts";
import { namesIn, readJson } from "./kept-files.ts";
import { Refusal, RequestFailure } from "./refusal.ts";

const DESCRIPTION = "checkpoint.json";
const RUN = "training-run.json";

const loraSchema: z.ZodType<LoraConfig> = z.object({
  rank: z.int().min(1),
  alpha: z.number(),
  dropout: z.number(),
  rsLora: z.boolean(),
  targets: z.array(z.enum(ALL_LORA_TARGETS as [(typeof ALL_LORA_TARGETS)[number]])),
});

/** How a model was made: what another one needs to take its weights. */
export const trainedModelSchema = z.object({
  baseModel: z.string(),
  lora: loraSchema,
  /** Root of the adapter's random numbers. */
  seed: z.int(),
  userMetadata: z.record(z.string(), z.json()).nullable(),
});
export type ModelDescription = z.output<typeof trainedModelSchema>;

const runSchema = trainedModelSchema.extend({ createdAt: z.string() });
/** A model that is, or was. */
export type TrainingRun = z.output<typeof runSchema>;

const descriptionSchema = trainedModelSchema.extend({
  savedAt: z.string(),
  expiresAt: z.string().nullable(),
  sizeBytes: z.int(),
  /** SHA-256 over names and bytes of the files. */
  digest: z.string(),
  /** The number of the request that saved it. */
  savedBy: z.int().optional(),
});
export type CheckpointDescription = z.output<typeof descriptionSchema>;

/** A checkpoint that is there. */
export interface KeptCheckpoint extends CheckpointDescription {
  readonly path: TinkerPath;
  readonly directory: string;
}

/** The checkpoints below a directory. */
export class CheckpointStore {
  readonly #root: string;
  readonly #limits: CheckpointLimits;
  /** What is on the disk; undefined until the first look. */
  #room: Promise<CheckpointRoom> | undefined;
  /** Those whose time was over, since the last sweep. */
  readonly #removed: TinkerPath[] = [];

  constructor(root: string, limits: CheckpointLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  /** Notes that there is a model. */
  async addRun(modelId: string, model: ModelDescription): Promise<void> {
    const directory = join(this.#root, folderOf(modelId));
    await mkdir(directory, { recursive: true });
    const run: TrainingRun = { ...model, createdAt: new Date().toISOString() };
    await writeWhole(join(directory, RUN), `${JSON.stringify(run, null, 2)}\n`);
  }

  /** The models that there are and were, the newest first. */
  async runs(): Promise<{ readonly id: string; readonly run: TrainingRun }[]> {
    const found = await Promise.all(
      (await this.#modelIds()).map(async (id) => {
        const run = await this.run(id);
        return run ? [{ id, run }] : [];
      }),
    );
    return found.flat().sort((a, b) => b.run.createdAt.localeCompare(a.run.createdAt));
  }

  /** Undefined where there never was such a model. */
  run(modelId: string): Promise<TrainingRun | undefined> {
    return readJson(join(this.#root, folderOf(modelId), RUN), runSchema);
  }

  /**
   * Saves what `write` puts into an empty directory. What the request of this number has saved, before the server's end, is
   * there already.
   *
   * @throws RequestFailure where the name is taken and may not be written over, and where there is no room. Nothing has changed
   * then.
   */
  async save(
    path: TinkerPath,
    model: ModelDescription & { readonly savedBy: number },
    options: { readonly overwrite: boolean; readonly ttlSeconds: number | null },
    write: (directory: string) => Promise<void>,
  ): Promise<KeptCheckpoint> {
    const directory = this.#directoryOf(path);
    const there = options.overwrite ? undefined : await this.#description(path);
    if (there !== undefined) {
      if (there.savedBy === model.savedBy) return { ...there, path, directory };
      throw new RequestFailure(`${formatTinkerPath(path)} is there already: take another name, or say overwrite.`);
    }
    await this.#removeOver();
    const room = await this.#known();
    const now = Date.now();
    try {
      await mkdir(join(directory, ".."), { recursive: true });
      // Before anything is written, and once more when it is known how large it is.
      room.require(path, directory, 0, await freeBytes(this.#root));
      const description = await writeWholeFolder(directory, async (temporary): Promise<CheckpointDescription> => {
        await write(temporary);
        const { digest, sizeBytes } = await digestOf(temporary);
        const own: CheckpointDescription = {
          ...model,
          savedAt: new Date(now).toISOString(),
          expiresAt: options.ttlSeconds === null ? null : new Date(now + 1000 * options.ttlSeconds).toISOString(),
          sizeBytes,
          digest,
        };
        await writeWhole(join(temporary, DESCRIPTION), textOf(own));
        room.require(path, directory, bytesOf(own), await freeBytes(this.#root));
        // Noted now, so that none that is written at the same time takes the room.
        note(room, path, directory, own);
        return own;
      });
      // Once more: what was noted of the one before it under the name may have been forgotten with it in the meantime.
      note(room, path, directory, description);
      return { ...description, path, directory };
    } catch (error) {
      const found = await this.#described(path);
      if (found === undefined) room.forget(directory);
      else note(room, path, directory, found);
      throw diskFullFailure(error) ?? error;
    }
  }

  /** Throws RequestFailure for one that is not there. */
  async find(path: TinkerPath): Promise<KeptCheckpoint> {
    const description = await this.#description(path);
    if (description !== undefined) return { ...description, path, directory: this.#directoryOf(path) };
    throw new RequestFailure(`There is no checkpoint ${formatTinkerPath(path)}.`);
  }

  /** The checkpoints of a model, or of all, the oldest first. */
  async list(modelId?: string): Promise<KeptCheckpoint[]> {
    const now = new Date().toISOString();
    const found = (await this.#all(modelId)).filter((checkpoint) => !isOver(checkpoint, now));
    return found.sort((a, b) => a.savedAt.localeCompare(b.savedAt));
  }

  /** Removes one. Throws Refusal 404 where it is not there. */
  async remove(path: TinkerPath): Promise<void> {
    if ((await this.#description(path)) === undefined) {
      throw new Refusal(404, `There is no checkpoint ${formatTinkerPath(path)}.`);
    }
    await this.#drop(path);
  }

  /** When it is to go; null: never. */
  async setExpiry(path: TinkerPath, ttlSeconds: number | null): Promise<void> {
    const { directory, path: _, ...description } = await this.find(path);
    const expiresAt = ttlSeconds === null ? null : new Date(Date.now() + 1000 * ttlSeconds).toISOString();
    const changed = { ...description, expiresAt };
    await writeWhole(join(directory, DESCRIPTION), textOf(changed));
    note(await this.#known(), path, directory, changed);
  }

  /** Removes those whose time is over, and says which went since the last time. */
  async sweep(): Promise<TinkerPath[]> {
    await this.#removeOver();
    return this.#removed.splice(0);
  }

  async #removeOver(): Promise<void> {
    const now = new Date().toISOString();
    for (const checkpoint of (await this.#known()).checkpoints) {
      const { path } = checkpoint;
      if (!isOver(checkpoint, now)) continue;
      // What the file says counts: one may be saved anew under the name.
      const found = await this.#described(path);
      if (found && !isOver(found, now)) continue;
      await this.#drop(path);
      this.#removed.push(path);
    }
  }

  async #drop(path: TinkerPath): Promise<void> {
    const directory = this.#directoryOf(path);
    (await this.#known()).forget(directory);
    await rm(directory, { recursive: true, force: true });
  }

  /** What is on the disk: all is looked at once, for there may be many. */
  #known(): Promise<CheckpointRoom> {
    this.#room ??= this.#look().catch((error: unknown) => {
      this.#room = undefined;
      throw error;
    });
    return this.#room;
  }

  async #look(): Promise<CheckpointRoom> {
    const room = new CheckpointRoom(this.#limits);
    for (const id of await this.#modelIds()) {
      for (const kind of Object.keys(CHECKPOINT_KINDS)) {
        const folder = join(this.#root, folderOf(id), kind);
        // A server before this one was killed while it wrote them.
        const halves = (await namesIn(folder)).filter((name) => name.startsWith(TEMPORARY_PREFIX));
        for (const name of halves) await rm(join(folder, name), { recursive: true, force: true });
      }
    }
    for (const { path, directory, ...description } of await this.#all(undefined)) {
      note(room, path, directory, description);
    }
    return room;
  }

  /** Those that are on the disk, also those whose time is over. */
  async #all(modelId: string | undefined): Promise<KeptCheckpoint[]> {
    const ids = modelId === undefined ? await this.#modelIds() : [modelId];
    const found: KeptCheckpoint[] = [];
    for (const id of ids) {
      for (const kind of Object.keys(CHECKPOINT_KINDS) as CheckpointKind[]) {
        for (const name of await namesIn(join(this.#root, folderOf(id), kind))) {
          // One that is being written is none yet.
          if (name.startsWith(".")) continue;
          const path = { modelId: id, kind, name };
          const description = await this.#described(path);
          if (description) found.push({ ...description, path, directory: this.#directoryOf(path) });
        }
      }
    }
    return found;
  }

  /** Whatever else lies in the directory is passed over. */
  async #modelIds(): Promise<string[]> {
    return (await namesIn(this.#root)).filter(isFolder).map((folder) => folder.replaceAll("~", ":"));
  }

  #directoryOf({ modelId, kind, name }: TinkerPath): string {
    return join(this.#root, folderOf(modelId), kind, name);
  }

  /** Undefined for one whose time is over, as for one that is not there. */
  async #description(path: TinkerPath): Promise<CheckpointDescription | undefined> {
    const found = await this.#described(path);
    return found && isOver(found, new Date().toISOString()) ? undefined : found;
  }

  async #described(path: TinkerPath): Promise<CheckpointDescription | undefined> {
    if (!isName(path.name)) return undefined;
    return readJson(join(this.#directoryOf(path), DESCRIPTION), descriptionSchema);
  }
}

const isOver = ({ expiresAt }: Pick<CheckpointDescription, "expiresAt">, now: string) =>
  expiresAt !== null && expiresAt <= now;

const textOf = (description: CheckpointDescription) => `${JSON.stringify(description, null, 2)}\n`;

/** With its description, in which clients may have much to say. */
const bytesOf = (description: CheckpointDescription) => description.sizeBytes + Buffer.byteLength(textOf(description));

function note(room: CheckpointRoom, path: TinkerPath, directory: string, description: CheckpointDescription): void {
  const { savedAt, expiresAt } = description;
  room.note(directory, { path, savedAt, expiresAt, bytes: bytesOf(description) });
}

/** What is free on the disk; undefined where the file system does not say. */
async function freeBytes(directory: string): Promise<number | undefined> {
  const found = await statfs(directory).catch(() => undefined);
  return found === undefined || found.blocks === 0 ? undefined : found.bavail * found.bsize;
}

const isName = (name: string) => /^[A-Za-z0-9_.-]{1,200}$/.test(name) && !/^\.+$/.test(name);

const isFolder = (name: string) => /^[A-Za-z0-9_~-]{1,250}$/.test(name);

/** A model's folder: not every file system takes a colon in a name. */
function folderOf(modelId: string): string {
  const folder = modelId.replaceAll(":", "~");
  if (isFolder(folder)) return folder;
  throw new Refusal(404, `There is no model ${JSON.stringify(modelId.slice(0, 100))}.`);
}

async function digestOf(directory: string): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for (const file of await filesBelow(directory)) {
    const { size } = await stat(join(directory, file));
    sizeBytes += size;
    hash.update(`${file}\0${size}\0`);
    for await (const bytes of createReadStream(join(directory, file))) hash.update(bytes as Buffer);
  }
  return { digest: hash.digest("hex"), sizeBytes };
}
