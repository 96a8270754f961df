/**
 * Requests of a model in the order of their numbers, whatever the order in which they arrive: clients send the parts of a
 * batch side by side, the first of them last. The one whose number is next is carried out, the others wait.
 *
 * A number that never comes would hold up all behind it for ever. So after some time those that wait for it are failed, not
 * carried out: they were meant to follow something that did not happen. What comes later goes on behind them.
 */

import { RequestFailure } from "./refusal.ts";

interface Waiting {
  readonly start: () => void;
  readonly fail: (error: RequestFailure) => void;
}

export class NumberedTurns {
  readonly #patienceMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #next: number;
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `first`: the first number; `patienceMs`: how long a missing one is waited for. */
  constructor(first: number, patienceMs: number) {
    this.#next = first;
    this.#patienceMs = patienceMs;
  }

  /**
   * Carries out `work` when all before it are done. Rejects with RequestFailure for a number that was passed, or where one
   * before it never came. Whoever waits for it hears of it before `after` is done, the next one begins after it.
   */
  take<T>(number: number, work: () => Promise<T>, after: () => Promise<void> = async () => {}): Promise<T> {
    if (number < this.#next || this.#waiting.has(number)) {
      return Promise.reject(
        new RequestFailure(`The request of number ${number} came too late: ${this.#next} is the next one.`),
      );
    }
    return new Promise<T>((resolve, reject) => {
      const start = () => {
        this.#running = true;
        this.#next = number + 1;
        void work()
          .then(resolve, reject)
          .then(after)
          .finally(() => {
            this.#running = false;
            this.#advance();
          });
      };
      this.#waiting.set(number, { start, fail: reject });
      this.#advance();
    });
  }

  /** Fails everything that waits. */
  close(error: RequestFailure): void {
    clearTimeout(this.#timer);
    for (const { fail } of this.#waiting.values()) fail(error);
    this.#waiting.clear();
  }

  #advance(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#running || this.#waiting.size === 0) return;
    const next = this.#waiting.get(this.#next);
    if (next !== undefined) {
      this.#waiting.delete(this.#next);
      next.start();
      return;
    }
    this.#timer = setTimeout(() => this.#giveUp(), this.#patienceMs);
    this.#timer.unref();
  }

  #giveUp(): void {
    const missing = this.#next;
    this.#next = Math.max(...this.#waiting.keys()) + 1;
    this.close(
      new RequestFailure(
        `This request was not carried out: number ${missing}, before it, did not come within ${this.#patienceMs / 1000} s. ` +
          "What was accumulated before that is still there.",
      ),
    );
  }
}
