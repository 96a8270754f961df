/** Draws from a single row of logits, for tests. */

import { type Draw, type DrawOptions, drawTokens } from "../../src/compute/draw-token.ts";

/** Draws from `row` with the uniform number `u` in [0, 1); tokens in `excluded` are never drawn. */
export function drawToken(row: Float32Array, u: number, options: DrawOptions, excluded: readonly number[] = []): Draw {
  return drawTokens(row, row.length, [{ row: 0, u, options, excluded, topLogprobs: 0 }])[0]!;
}

/** The `count` most probable tokens of a row at a temperature. They come with a draw that asks for them. */
export function mostProbable(row: Float32Array, count: number, temperature: number): NonNullable<Draw["top"]> {
  const options = { temperature, topP: 1, topK: 0 };
  return drawTokens(row, row.length, [{ row: 0, u: 0, options, excluded: [], topLogprobs: count }])[0]!.top ?? [];
}
