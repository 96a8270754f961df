/** Counts and sizes of models, as people read them. */

/** 494.03M; small counts as they are. */
export function inMillions(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)}B`;
  return count >= 1e5 ? `${(count / 1e6).toFixed(2)}M` : String(count);
}

/** In the binary unit that leaves one to four digits before the point. */
export function inBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}
