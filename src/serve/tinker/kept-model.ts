/**
 * A model's state on the disk, from which it is made again after the server's end: what it is, and its weights and moments
 * after some request. What came after that request is carried out again (`replay.ts`).
 *
 * A state is saved when no gradient is under way. How often is a matter of time: the requests since the last one have to have
 * taken twenty times as long as saving does (`busyPerSave`), so saving costs at most a twentieth, and a restart computes again
 * at most what twenty saves take. It is saved earlier where those requests fill the disk. Requests that change nothing, as
 * those of a model that only scores, are held by the state that is there: only that is noted, now and then.
 */

import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Policy } from "../../engine/contract/policy.ts";
import { writeWhole } from "../../files.ts";
import { writeWholeFolder } from "../../run/whole-folder.ts";
import { type ModelDescription, trainedModelSchema } from "./checkpoint-store.ts";
import type { Journal } from "./journal.ts";
import { writeKept } from "./kept-files.ts";

const FILE = "model.json";
/** What saving is taken to last before it was done once. */
const FIRST_GUESS_MS = 50;
/** Bytes of requests after which a state is saved whatever it takes. */
const MOST_UNCOVERED = 2 ** 26;
/** Requests that change nothing after which it is noted that the state holds them, and their bytes. */
const MOST_UNNOTED = { requests: 64, bytes: 2 ** 22 } as const;

const keptSchema = z.object({
  description: trainedModelSchema,
  /** The directory of the state; null: as the model was made. */
  state: z.string().nullable(),
  /** The first request that is not in it. */
  next: z.int().min(1),
});

/** Where a model is kept. */
export interface KeptPlace {
  readonly journal: Journal;
  readonly directory: string;
  /** The model's. */
  readonly id: string;
  /** Told what could not be read or removed; the model goes on without. */
  readonly onDefect: (error: unknown) => void;
}

export class KeptModel {
  readonly id: string;
  readonly description: ModelDescription;
  readonly #journal: Journal;
  readonly #directory: string;
  readonly #onDefect: (error: unknown) => void;
  #state: string | null;
  #next: number;
  #busyMs = 0;
  /** The policy is another one than the state. */
  #isChanged = false;
  #hasGradient = false;
  /** The end of the save that is under way. */
  #saving: Promise<void> = Promise.resolve();
  #lastSaveMs = FIRST_GUESS_MS;

  private constructor({ journal, directory, id, onDefect }: KeptPlace, kept: z.output<typeof keptSchema>) {
    this.#journal = journal;
    this.#directory = directory;
    this.#onDefect = onDefect;
    this.id = id;
    this.description = kept.description;
    this.#state = kept.state;
    this.#next = kept.next;
  }

  /** Keeps a new model. `policy`: where its weights are not those that its description makes. */
  static async begin(place: KeptPlace, description: ModelDescription, policy: Policy | undefined): Promise<KeptModel> {
    const { directory } = place;
    await mkdir(directory, { recursive: true });
    const kept = new KeptModel(place, { description, state: null, next: 1 });
    if (policy) await kept.save(policy, 0);
    // What can be made anew need not be flushed to the disk.
    else await writeKept(directory, FILE, [kept.#text]);
    return kept;
  }

  /** The model that is kept in a directory; undefined where none is, or none that can be read. */
  static async find(place: KeptPlace): Promise<KeptModel | undefined> {
    let kept: z.output<typeof keptSchema>;
    try {
      kept = keptSchema.parse(JSON.parse(await readFile(join(place.directory, FILE), "utf8")));
    } catch (error) {
      // Without the file it was being made, or removed.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        place.onDefect(new Error(`The model ${place.id} is lost: its description cannot be read.`, { cause: error }));
      }
      return undefined;
    }
    const model = new KeptModel(place, kept);
    await model.#cover();
    return model;
  }

  /** The number of the first request that its state does not hold. */
  get next(): number {
    return this.#next;
  }

  /** Gives a policy, which is as the description makes it, the state. */
  async restore(policy: Policy): Promise<void> {
    if (this.#state !== null) await policy.loadState(join(this.#directory, this.#state));
  }

  /** Notes that a request was worked on. */
  noteBusy(milliseconds: number): void {
    this.#busyMs += milliseconds;
  }

  /** A pass has left a gradient. */
  noteGradient(): void {
    this.#hasGradient = true;
    this.#isChanged = true;
  }

  /** A step was taken. */
  noteStep(): void {
    this.#hasGradient = false;
    this.#isChanged = true;
  }

  /** To be called after the request of this number, in its turn: saves the state where it is time to. */
  async keepUp(policy: Policy, number: number, busyPerSave: number): Promise<void> {
    if (this.#hasGradient) return;
    const { requests, bytes } = this.#journal.uncovered(this.id);
    if (this.#isChanged) {
      const isDue = this.#busyMs >= busyPerSave * this.#lastSaveMs || bytes >= MOST_UNCOVERED;
      if (isDue) await this.save(policy, number);
    } else if (requests >= MOST_UNNOTED.requests || bytes >= MOST_UNNOTED.bytes) {
      await this.#writing(this.#moveOn(this.#state, number));
    }
  }

  /** Saves the state, which holds what the requests up to `number` came to. */
  async save(policy: Policy, number: number): Promise<void> {
    await this.#writing(this.#save(policy, number));
  }

  async #save(policy: Policy, number: number): Promise<void> {
    const startedAt = performance.now();
    const state = `state-${number}-${randomUUID().slice(0, 8)}`;
    await writeWholeFolder(join(this.#directory, state), (directory) => policy.saveState(directory));
    this.#isChanged = false;
    this.#hasGradient = false;
    // Where requests are to be carried out again the state before this one stays the one that counts.
    if (!(await this.#moveOn(state, number))) this.#isChanged = true;
    this.#lastSaveMs = performance.now() - startedAt;
    this.#busyMs = 0;
  }

  /** The state holds what the requests up to `number` came to. False, and nothing is noted, where one of them has to be kept. */
  async #moveOn(state: string | null, number: number): Promise<boolean> {
    // A request that the state holds is not carried out again, so its result has to be there.
    if (!(await this.#journal.told(this.id, number))) return false;
    this.#state = state;
    this.#next = number + 1;
    await writeWhole(join(this.#directory, FILE), this.#text);
    await this.#cover();
    return true;
  }

  async #writing(written: Promise<unknown>): Promise<void> {
    this.#saving = written.then(
      () => {},
      () => {},
    );
    await written;
  }

  /** The model was unloaded. */
  async remove(): Promise<void> {
    // What is being written would appear again in a directory that is being removed.
    await this.#saving;
    this.#journal.forgetModel(this.id);
    // Without the description it is no model any more.
    await rm(join(this.#directory, FILE), { force: true });
    await rm(this.#directory, { recursive: true, force: true });
  }

  get #text(): string {
    const kept: z.output<typeof keptSchema> = {
      description: this.description,
      state: this.#state,
      next: this.#next,
    };
    return JSON.stringify(kept);
  }

  /** Lets go of what the state holds: older states, and requests. What cannot be removed is in nobody's way. */
  async #cover(): Promise<void> {
    try {
      this.#journal.cover(this.id, this.#next - 1);
      for (const name of await readdir(this.#directory)) {
        if (name === FILE || name === this.#state) continue;
        await rm(join(this.#directory, name), { recursive: true, force: true });
      }
    } catch (error) {
      this.#onDefect(error);
    }
  }
}
