/** Masks of attention, as the programs of policies and of reward models read them. */

/** Added to the score of a position that must not be attended to: its probability is exactly 0 in f32. */
export const MASKED = -1e9;

/** [size, size]: 0 at the diagonal and before it, or of that the last `window` places only; masked elsewhere. */
export function causalMask(size: number, window: number | null = null): Float32Array {
  const mask = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    mask.fill(MASKED, row * size + row + 1, (row + 1) * size);
    if (window !== null) mask.fill(MASKED, row * size, row * size + Math.max(0, row + 1 - window));
  }
  return mask;
}

/**
 * [S, C, P]: for the positions of completions that follow prompts of these lengths (`lengths` positions are the prompt's,
 * padding comes after them), 0 on those of the prompt that are among the last `window`, masked elsewhere.
 */
export function promptsInWindow(lengths: readonly number[], C: number, P: number, window: number): Float32Array {
  const mask = new Float32Array(lengths.length * C * P).fill(MASKED);
  lengths.forEach((length, s) => {
    for (let t = 0; t < C; t++) {
      const first = Math.max(0, length + t + 1 - window);
      const row = (s * C + t) * P;
      if (first < length) mask.fill(0, row + first, row + length);
    }
  });
  return mask;
}
