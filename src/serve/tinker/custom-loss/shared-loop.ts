/** What takes long shares the event loop with others, and ends where nobody wants it any more. */

import { setImmediate } from "node:timers/promises";

/** How long it occupies the event loop before others get their turn. */
const TURN_MS = 20;

export class SharedLoop {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** To be awaited between two parts of the work. Throws the signal's reason where it was aborted. */
  readonly pause = async (): Promise<void> => {
    if (performance.now() - this.#since > TURN_MS) {
      await setImmediate();
      this.#since = performance.now();
    }
    this.#signal?.throwIfAborted();
  };
}
