/** Numbers, amounts and sizes as people read and write them: on the terminal, in errors and in the report. */

/** Shown in place of a number that is missing. */
const ABSENT = "–";
/** Decimal units, as the Hub's own pages have them: 1 GB is 10⁹ bytes. */
const UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;

/** `0.5737` as `57 %`; with a decimal below 10 %. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return ABSENT;
  const value = share * 100;
  const digits = value !== 0 && Math.abs(value) < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} %`;
}

/** With one decimal. */
export function decimal(value: number | null | undefined): string {
  return value === null || value === undefined ? ABSENT : value.toFixed(1);
}

/** Three significant digits, without an exponent where it can be avoided. */
export function plain(value: number | null | undefined): string {
  if (value === null || value === undefined) return ABSENT;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  if (size >= 0.001) return String(Number(value.toPrecision(3)));
  return value.toExponential(1);
}

/** `263,000` as `0.26 million`, below 100,000 as it is. */
export function count(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toPrecision(2)} billion`;
  if (value >= 1e5) return `${Number((value / 1e6).toPrecision(value >= 1e6 ? 3 : 2))} million`;
  return Math.round(value).toLocaleString("en-US");
}

/** Seconds as `0:07`, `12:34` or `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  const two = (value: number) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** `494033920` as `494.03M`; counts below 100,000 as they are. */
export function inMillions(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)}B`;
  return count >= 1e5 ? `${(count / 1e6).toFixed(2)}M` : String(count);
}

/** Bytes in the binary unit that leaves one to four digits before the point: `988097824` as `942.3 MiB`. */
export function inBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}

/** Bytes in decimal units: `988097824` as `988 MB`. */
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
