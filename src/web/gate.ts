/**
 * A gate that a run passes before everything that takes long: closed, it holds the run between two steps, with the model, its
 * programs and what was sampled in memory, so that going on costs nothing.
 */

export class Gate {
  #left = 0;
  #isHolding = false;
  #waiting: (() => void)[] = [];
  readonly #onChange: () => void;

  /** `onChange` is called when the gate holds the run, or lets it go. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get isOpen(): boolean {
    return this.#left > 0;
  }

  /** The run has come to the closed gate. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Opens the gate for so many units of work. */
  open(units = Number.POSITIVE_INFINITY): void {
    this.#left = units;
    this.#isHolding = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const pass of waiting) pass();
    this.#onChange();
  }

  close(): void {
    this.#left = 0;
    this.#onChange();
  }

  /** A unit of work is done. */
  countUnit(): void {
    if (this.#left === 0) return;
    this.#left--;
    if (this.#left === 0) this.#onChange();
  }

  /** Settles when the gate is open. */
  async pass(): Promise<void> {
    if (this.isOpen) return;
    this.#isHolding = true;
    this.#onChange();
    await new Promise<void>((pass) => this.#waiting.push(pass));
  }
}
