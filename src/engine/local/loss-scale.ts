/**
 * The scale of the loss where gradients are float16 (Micikevicius et al., arXiv:1710.03740, §3.2): gradients are computed
 * times a power of two, so that small ones are numbers of float16, and divided by it in float32. Where they overflow, the step
 * is skipped and the scale halved; after many steps without that it is doubled. The constants are those of PyTorch's
 * `GradScaler`.
 *
 * A function of the gradients alone, and a part of the saved state: a resumed run goes on with the same bytes.
 */

const INITIAL = 2 ** 16;
const STEPS_BEFORE_GROWTH = 2000;
const LARGEST = 2 ** 24;

/** What of it is saved. */
export interface LossScaleState {
  /** A power of two, at least 1. */
  readonly value: number;
  /** Steps that were taken since it changed. */
  readonly steps: number;
}

/** See the head of this file. */
export class LossScale {
  #value: number;
  #steps: number;

  constructor({ value, steps }: LossScaleState = { value: INITIAL, steps: 0 }) {
    this.#value = value;
    this.#steps = steps;
  }

  get value(): number {
    return this.#value;
  }

  get state(): LossScaleState {
    return { value: this.#value, steps: this.#steps };
  }

  /** A gradient was finite, and a step was taken with it. */
  stepTaken(): void {
    if (++this.#steps < STEPS_BEFORE_GROWTH) return;
    this.#value = Math.min(LARGEST, 2 * this.#value);
    this.#steps = 0;
  }

  /** A gradient of a finite loss was not finite. At a scale of 1 the scale is not what makes it so. */
  overflowed(): void {
    this.#value = Math.max(1, this.#value / 2);
    this.#steps = 0;
  }
}
