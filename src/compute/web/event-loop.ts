/**
 * Lets the event loop of a thread in that computes: promises alone never let a message in, so without it a worker would hear
 * "stop" only when it is done. A timer would do, but browsers make nested timers wait for 4 ms.
 */

/** The longest that a thread computes without a look at its messages. */
const LONGEST_MS = 15;

/** A port as browsers and Node have it. */
interface Port {
  onmessage: ((event: unknown) => void) | null;
  postMessage(message: unknown): void;
  /** Whether the port keeps the process alive; Node's alone have these. */
  ref?(): void;
  unref?(): void;
}

export class EventLoop {
  readonly #listening: Port;
  readonly #sending: Port;
  #last = performance.now();
  #waiting: (() => void)[] = [];

  constructor() {
    const { port1, port2 } = new MessageChannel() as unknown as { readonly port1: Port; readonly port2: Port };
    this.#listening = port1;
    this.#sending = port2;
    this.#listening.onmessage = () => {
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#last = performance.now();
      this.#listening.unref?.();
      for (const resume of waiting) resume();
    };
    this.#listening.unref?.();
  }

  /** Returns at once where messages were let in a short time ago; otherwise lets them in. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#last < LONGEST_MS) return;
    await new Promise<void>((resume) => {
      this.#waiting.push(resume);
      this.#listening.ref?.();
      this.#sending.postMessage(undefined);
    });
  }
}
