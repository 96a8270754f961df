/**
 * Frozen weights that sample. Each is on the disk as an adapter, so that there may be many; the ones that were asked last
 * are open. One that is open has a sampling session while it has work, whose memory is let go of soon after.
 */

import type { Sampler } from "../../engine/contract/sampler.ts";
import type { SamplingSession } from "../../engine/contract/session.ts";
import { RequestFailure } from "./refusal.ts";

/** How long a session without work is kept. */
const IDLE_MS = 5_000;

/** Weights that are used by one piece of work after another. */
export class OpenSampler {
  readonly #open: () => Promise<Sampler>;
  #sampler: Promise<Sampler> | undefined;
  #session: SamplingSession | undefined;
  #users = 0;
  #idle: ReturnType<typeof setTimeout> | undefined;
  /** Called when nobody uses them any more, once they are to be closed. */
  #unused: (() => void) | undefined;

  /** `sampler`: where it is open already. */
  constructor(open: () => Promise<Sampler>, sampler?: Sampler) {
    this.#open = open;
    this.#sampler = sampler && Promise.resolve(sampler);
  }

  get isOpen(): boolean {
    return this.#sampler !== undefined;
  }

  get isBusy(): boolean {
    return this.#users > 0;
  }

  /** Lets `work` use the weights; they stay open meanwhile. */
  async use<T>(work: (sampler: Sampler, session: () => SamplingSession) => Promise<T>): Promise<T> {
    this.#users++;
    clearTimeout(this.#idle);
    try {
      this.#sampler ??= this.#open();
      const sampler = await this.#sampler.catch((error: unknown) => {
        this.#sampler = undefined;
        throw error;
      });
      return await work(sampler, () => {
        this.#session ??= sampler.openSession?.();
        if (this.#session === undefined) throw new RequestFailure("This engine has no sampling sessions.", "server");
        return this.#session;
      });
    } finally {
      if (--this.#users === 0) {
        this.#unused?.();
        this.#idle = setTimeout(() => void this.#closeSession(), IDLE_MS);
        this.#idle.unref();
      }
    }
  }

  /** Lets go of the weights in memory, as soon as nobody uses them. */
  async close(): Promise<void> {
    if (this.#users > 0) {
      await new Promise<void>((resolve) => {
        this.#unused = resolve;
      });
    }
    clearTimeout(this.#idle);
    const sampler = this.#sampler;
    this.#sampler = undefined;
    await this.#closeSession();
    await (await sampler?.catch(() => undefined))?.dispose();
  }

  async #closeSession(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }
}

/** The open ones by name, of which the least recently used give way. */
export class Samplers {
  readonly #most: number;
  readonly #known = new Map<string, OpenSampler>();

  /** `most`: how many may be open and idle at the same time. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The one of this name, or what `make` makes. */
  get(name: string, make: () => OpenSampler): OpenSampler {
    const sampler = this.#known.get(name) ?? make();
    // The last one in the map is the one that was asked last.
    this.#known.delete(name);
    this.#known.set(name, sampler);
    const idle = [...this.#known].filter(([, { isBusy }]) => !isBusy);
    const open = idle.filter(([, { isOpen }]) => isOpen);
    // One that could not be opened, or was closed, is made again when somebody asks for it.
    const closed = idle.filter(([, { isOpen }]) => !isOpen);
    for (const [key, other] of [...closed, ...open.slice(0, Math.max(0, open.length - this.#most))]) {
      if (other === sampler) continue;
      this.#known.delete(key);
      void other.close();
    }
    return sampler;
  }

  /** Forgets one: its weights are others now, or nobody needs them. */
  forget(name: string): void {
    const sampler = this.#known.get(name);
    this.#known.delete(name);
    void sampler?.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#known.values()].map((sampler) => sampler.close()));
    this.#known.clear();
  }
}
