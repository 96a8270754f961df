/** Numbers as people read them, on the terminal and in the report. */

/** Stands for a number that is not there. */
const ABSENT = "–";

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
