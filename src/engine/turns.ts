/**
 * One thing at a time: work that is asked for while other work goes on waits for its turn, in the order in which it was
 * asked for. Where nothing goes on it starts at once, before `take` returns: a caller that prepares its next call
 * meanwhile loses no time. Work that fails does not hold up what waits behind it.
 *
 * This is how an engine keeps the contract's promise about overlapping calls. Work must not wait for work of its own
 * kind: a verb that calls another verb would wait for ever.
 */

export class Turns {
  /** Settles, and never rejects, when everything asked for so far is done; undefined where nothing goes on. */
  #last: Promise<void> | undefined;
  #waiting = 0;

  /** Whether work waits for its turn: long work that could stop somewhere may want to know. */
  get contended(): boolean {
    return this.#waiting > 0;
  }

  /** Carries out `work` when its turn comes, and hands on what becomes of it. */
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
