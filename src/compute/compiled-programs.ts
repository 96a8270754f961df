/** Programs of one device by a key of their own, each compiled when it is first asked for. */

import type { Device } from "./device.ts";
import { compile, type Program, type ProgramGraph } from "./program.ts";
import type { Disposable } from "./scope.ts";

interface Entry {
  readonly program: Promise<Program>;
  /** Calls of `use` that have not ended. */
  users: number;
}

export class CompiledPrograms<Key> implements Disposable {
  readonly #device: Device;
  readonly #most: number;
  /** The one that was asked for last stands last. */
  readonly #entries = new Map<Key, Entry>();

  /** `most`: so many programs stay that are not in use; those go first that were not used for longest. */
  constructor(device: Device, { most = Number.POSITIVE_INFINITY }: { readonly most?: number } = {}) {
    this.#device = device;
    this.#most = most;
  }

  /**
   * The program of `key`; `graphOf` makes its graph, the first time. Two who ask at the same time get the same one. Where the
   * number of programs is limited, ask by `use`.
   */
  get(key: Key, graphOf: () => ProgramGraph): Promise<Program> {
    return this.#entry(key, graphOf).program;
  }

  /** Does `work` with the program of `key`, which stays until that has ended. */
  async use<T>(key: Key, graphOf: () => ProgramGraph, work: (program: Program) => Promise<T>): Promise<T> {
    const entry = this.#entry(key, graphOf);
    entry.users++;
    try {
      return await work(await entry.program);
    } finally {
      entry.users--;
      this.#shrink();
    }
  }

  /** Releases the programs, once no call of them runs. */
  dispose(): void {
    for (const entry of this.#entries.values()) release(entry);
    this.#entries.clear();
  }

  #entry(key: Key, graphOf: () => ProgramGraph): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const { graph, outputs } = graphOf();
      entry = { program: compile(this.#device, graph, outputs), users: 0 };
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  #shrink(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= this.#most) return;
      if (entry.users > 0) continue;
      this.#entries.delete(key);
      release(entry);
    }
  }
}

function release({ program: compiled }: Entry): void {
  // One that could not be compiled has nothing to release; who asked for it was told.
  void compiled.then(
    (program) => program.dispose(),
    () => {},
  );
}
