/** The straight line from one range of numbers to another, as of values to pixels; the middle where the first is one number. */
export function linearScale(
  fromLow: number,
  fromHigh: number,
  toLow: number,
  toHigh: number,
): (value: number) => number {
  const span = fromHigh - fromLow;
  return (value) => toLow + (span === 0 ? 0.5 : (value - fromLow) / span) * (toHigh - toLow);
}
