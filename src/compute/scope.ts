/**
 * Objects that hold memory which no garbage collector frees, and that are released together: a scope releases
 * everything that it holds. A program that makes several tensors, one after another, and fails half-way, still releases
 * those that were made.
 */

/** Something that holds memory or a handle which no garbage collector frees. */
export interface Disposable {
  dispose(): void;
}

export class Scope implements Disposable {
  readonly #held: Disposable[] = [];

  /** Takes `object` over and returns it. */
  hold<T extends Disposable>(object: T): T {
    this.#held.push(object);
    return object;
  }

  /** Holds `object` no longer: it is the caller's. */
  handOver(object: Disposable): void {
    const place = this.#held.indexOf(object);
    if (place >= 0) this.#held.splice(place, 1);
  }

  /** Releases everything that is held, the newest first; the scope may then be used again. */
  dispose(): void {
    for (let object = this.#held.pop(); object; object = this.#held.pop()) object.dispose();
  }
}
