/**
 * How large the pieces of prompts are that a session computes between two decoding steps.
 *
 * While sequences are decoded each of them waits for the piece, so a piece is to take about as long as `STEPS_OF_A_PIECE`
 * of their steps. What it takes depends on the model, the machine and what else it does, so it is measured: after every
 * piece the next one grows or shrinks by at most a factor of two. While nothing is decoded pieces have one fixed size, so
 * that equal requests to an idle engine are computed equally, to the bit.
 */

/** A stream's tokens then come at most about this many steps, and its own, apart. */
const STEPS_OF_A_PIECE = 2;
/** Sizes are multiples of this, at least one: below it matrix products are slow. */
const UNIT = 16;
/** Positions of a piece while nothing is decoded, and the most while something is. */
const LARGEST = 512;
/** The median of so many last steps is how long one takes: a single slow step does not make the next piece larger. */
const STEPS_MEASURED = 9;

export class PrefillPacing {
  /** Of the last decoding steps, in milliseconds. */
  #stepTimes: number[] = [];
  #tokens = UNIT;

  /** Positions of the next piece. */
  pieceTokens(decoding: boolean): number {
    if (decoding) return this.#tokens;
    // The next sequences that are decoded are other ones, so their step times are not comparable.
    this.#stepTimes = [];
    this.#tokens = UNIT;
    return LARGEST;
  }

  /** A decoding step took so long. */
  stepTook(milliseconds: number): void {
    this.#stepTimes.push(milliseconds);
    if (this.#stepTimes.length > STEPS_MEASURED) this.#stepTimes.shift();
  }

  /** A piece of so many positions took so long. */
  pieceTook(tokens: number, milliseconds: number): void {
    const median = [...this.#stepTimes].sort((a, b) => a - b)[this.#stepTimes.length >> 1];
    if (median === undefined) return;
    const ratio = (STEPS_OF_A_PIECE * median) / Math.max(milliseconds, 1e-3);
    // The short last piece of a prompt says nothing about the speed of larger pieces.
    if (tokens < this.#tokens && ratio > 1) return;
    const wanted = tokens * Math.min(2, Math.max(0.5, ratio));
    this.#tokens = Math.min(LARGEST, Math.max(UNIT, Math.floor(wanted / UNIT) * UNIT));
  }
}
