/**
 * What one judgement may cost. Steps are counted, so where a judgement gives up is the same on every machine; the clock
 * is only a safeguard, for a step that takes longer than expected.
 */

const MAX_STEPS = 50_000;
const MAX_MS = 5000;
/** The clock is looked at once in so many steps. */
const STEPS_PER_LOOK = 64;

/** Thrown when a judgement has cost too much; it never leaves this folder. */
export class BudgetExceeded extends Error {
  override name = "BudgetExceeded";
}

/** Steps and time of one judgement. */
export class JudgementBudget {
  #steps = 0;
  readonly #started = performance.now();

  /** Counts one step, or several. */
  spend(steps = 1): void {
    const before = this.#steps;
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) throw new BudgetExceeded(`needs more than ${MAX_STEPS} steps to compare`);
    const looks = Math.floor(this.#steps / STEPS_PER_LOOK) > Math.floor(before / STEPS_PER_LOOK);
    if (looks && performance.now() - this.#started > MAX_MS) {
      throw new BudgetExceeded(`takes longer than ${MAX_MS} ms to compare`);
    }
  }
}
