/** Sizes of files as people read and write them, in the decimal units of the Hub's own pages: 1 GB is 10⁹ bytes. */

const UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;

/** `988097824` as `988 MB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toPrecision(3)} ${UNITS[unit]}`;
}

/** The bytes that a text such as `50GB`, `1.5 TB` or `4GiB` means, or undefined. */
export function parseSize(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*$/i.exec(text);
  if (match === null) return undefined;
  const [, number, prefix, binary] = match as unknown as [string, string, string, string];
  if (prefix === "" && binary !== "") return undefined;
  const power = prefix === "" ? 0 : "kmgt".indexOf(prefix.toLowerCase()) + 1;
  const bytes = Math.round(Number(number) * (binary === "" ? 1000 : 1024) ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
