/**
 * Things of one kind by name: trainers, rewards, tasks, losses, devices. Each registry lists what Aha brings, and
 * programs that extend Aha add to it (`extend.ts`). A name stands for one thing for as long as the process runs, so
 * nothing can be replaced or taken away.
 */

import { ConfigError, nearestName } from "./errors.ts";

/** Names stand in recipes, in file names and in metrics. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

let entriesInAll = 0;

/** Grows when any registry grows: a version number for values that are made of several registries. */
export const anyRegistry = {
  get version(): number {
    return entriesInAll;
  },
};

/** Entries of one kind, by name. */
export class Registry<T extends { readonly name: string }> {
  /** What an entry is, for messages: `reward`. */
  readonly what: string;
  readonly #entries = new Map<string, T>();
  readonly #fault: (entry: T, others: readonly T[]) => string | undefined;

  /** `fault` says, as a sentence, why an entry cannot stand beside the others; undefined where it can. */
  constructor(
    what: string,
    builtIn: readonly T[] = [],
    fault: (entry: T, others: readonly T[]) => string | undefined = () => undefined,
  ) {
    this.what = what;
    this.#fault = fault;
    for (const entry of builtIn) this.add(entry);
  }

  /** Every entry, in the order in which they were added. */
  get all(): readonly T[] {
    return [...this.#entries.values()];
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /**
   * Grows with every entry: a value that was derived from the entries (a schema) is up to date as long as this is the
   * same.
   */
  get version(): number {
    return this.#entries.size;
  }

  /** Throws ConfigError where the name is taken, or is not one that a recipe could write. */
  add(entry: T): void {
    const { name } = entry;
    if (!NAME.test(name)) {
      throw new ConfigError(
        `${JSON.stringify(name)} cannot name a ${this.what}: expected a letter, then letters, digits, - and _.`,
      );
    }
    if (this.#entries.has(name)) {
      throw new ConfigError(
        `There is a ${this.what} named ${name} already. Register each ${this.what} once, under a name of its own; ` +
          `taken: ${this.names.join(", ")}.`,
      );
    }
    const fault = this.#fault(entry, this.all);
    if (fault !== undefined) throw new ConfigError(fault);
    this.#entries.set(name, entry);
    entriesInAll++;
  }

  find(name: string): T | undefined {
    return this.#entries.get(name);
  }

  /** Throws ConfigError for a name that is not known, with the nearest one and all of them. */
  get(name: string): T {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    const nearest = nearestName(name, this.names);
    const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
    const known = this.names.length > 0 ? `known: ${this.names.join(", ")}` : "none is registered";
    throw new ConfigError(`There is no ${this.what} ${JSON.stringify(name)}; ${known}.${hint}`);
  }
}

/** What `make` makes of the registries' entries, made again when one of them has grown. */
export function cachedBy<T>(registries: readonly { readonly version: number }[], make: () => T): () => T {
  let made: { readonly versions: string; readonly value: T } | undefined;
  return () => {
    const versions = registries.map(({ version }) => version).join();
    if (made?.versions !== versions) made = { versions, value: make() };
    return made.value;
  };
}
