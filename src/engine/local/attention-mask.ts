/** Masks of attention, as the programs of policies and of reward models read them. */

/** Added to the score of a position that must not be attended to: its probability is exactly 0 in f32. */
export const MASKED = -1e9;

/** 0 at and before the diagonal, masked after. */
export function causalMask(size: number): Float32Array {
  const mask = new Float32Array(size * size);
  for (let row = 0; row < size; row++) mask.fill(MASKED, row * size + row + 1, (row + 1) * size);
  return mask;
}
