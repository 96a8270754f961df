/**
 * One thing at a time: work that is requested while other work is running waits for its turn, in the order of the
 * requests. If nothing is running, the work starts immediately, before `take` returns, so a caller can prepare its next
 * call in the meantime. Work that fails does not block the work that waits after it.
 *
 * This is how an engine keeps the contract's promise about overlapping calls. Work must not wait for work of its own
 * kind: if a verb called another verb, it would wait for itself for ever.
 */

import { EngineError } from "../errors.ts";

/** See the head of this file. */
export class Turns {
  /**
   * Settles when everything that was requested so far is done, and never rejects; undefined where nothing is running.
   */
  #last: Promise<void> | undefined;
  #waiting = 0;

  /** Whether work waits for its turn. Long-running work can ask for this and stop early. */
  get contended(): boolean {
    return this.#waiting > 0;
  }

  /** Carries out `work` when its turn comes, and returns its result or its error. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last ? this.#after(this.#last, work) : work();
    const done = () => {
      if (this.#last === settled) this.#last = undefined;
    };
    const settled: Promise<void> = result.then(done, done);
    this.#last = settled;
    return result;
  }

  async #after<T>(before: Promise<void>, work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    await before;
    this.#waiting--;
    return work();
  }
}

/** Turns of an engine's verbs: none begins any more once the engine was disposed of. */
export class VerbTurns {
  readonly #turns: Turns;
  #isOver = false;

  constructor(turns: Turns = new Turns()) {
    this.#turns = turns;
  }

  /** Those of another engine that waits for this one's verbs, and this one for its: each has an end of its own. */
  beside(): VerbTurns {
    return new VerbTurns(this.#turns);
  }

  get contended(): boolean {
    return this.#turns.contended;
  }

  take<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.take(work);
  }

  /** As `take`. Throws EngineError, when its turn comes, on an engine that was disposed of. */
  verb<T>(work: () => Promise<T>): Promise<T> {
    return this.take(async () => {
      if (this.#isOver) throw new EngineError("This engine was disposed of; open another one.");
      return work();
    });
  }

  /** The last turn: carries out `release`, once however often it is asked for. */
  end(release: () => Promise<void> | void): Promise<void> {
    return this.take(async () => {
      if (this.#isOver) return;
      this.#isOver = true;
      await release();
    });
  }
}
