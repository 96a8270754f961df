/**
 * Finds out which judgement is late when a thread that judges takes too long.
 *
 * While a judge blocks the thread, no other judgement can finish, so only this one counts as late. Otherwise every
 * judgement that has waited for longer than the limit is late. Time is the clock's, counted from when the judge was
 * called.
 */

/** Which inputs of a request are being judged, and since when. */
export class Stopwatch {
  /** Called once, with the inputs that are late; none where the thread is late with something else. */
  onTimeout: (blamed: readonly number[]) => void = () => {};
  readonly #limitMs: number;
  /** In the order in which they began. */
  readonly #startedAt = new Map<number, number>();
  /** Those of them whose judge has not returned, not even a promise. */
  readonly #holding = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;
  #lastHeard = performance.now();

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    this.#arm();
  }

  start(indices: readonly number[]): void {
    const now = performance.now();
    for (const index of indices) {
      this.#startedAt.set(index, now);
      this.#holding.add(index);
    }
    this.#heard();
  }

  /** The judge of these has returned a promise. */
  release(indices: readonly number[]): void {
    for (const index of indices) this.#holding.delete(index);
    this.#heard();
  }

  stop(index: number): void {
    this.#startedAt.delete(index);
    this.#holding.delete(index);
    this.#heard();
  }

  /** What is being judged now. */
  underWay(): number[] {
    return [...this.#startedAt.keys()];
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#disposed = true;
  }

  #heard(): void {
    this.#lastHeard = performance.now();
    this.#arm();
  }

  /** When the next one is late, in milliseconds of `performance.now`. */
  #deadline(): number {
    const [holding] = this.#holding;
    const [oldest] = this.#startedAt.values();
    const since = holding === undefined ? (oldest ?? this.#lastHeard) : this.#startedAt.get(holding)!;
    return since + this.#limitMs;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    // If this thread was busy, a timer may fire before messages that came in time are read, so they are read first.
    const look = () => setImmediate(() => this.#look());
    this.#timer = setTimeout(look, Math.max(0, this.#deadline() - performance.now()));
  }

  #look(): void {
    if (this.#disposed) return;
    const now = performance.now();
    if (now < this.#deadline()) {
      this.#arm();
      return;
    }
    const blamed =
      this.#holding.size > 0 ? [...this.#holding] : this.underWay().filter((index) => this.#isLate(index, now));
    clearTimeout(this.#timer);
    this.onTimeout(blamed);
  }

  #isLate(index: number, now: number): boolean {
    return now - this.#startedAt.get(index)! >= this.#limitMs;
  }
}
