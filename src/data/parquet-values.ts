/**
 * Values of Parquet columns in JSON's form, none of them rounded. The decoder makes doubles of decimals and milliseconds of
 * finer times, so it is asked for what lies in the file, and the schema says here what that is:
 *
 *     whole numbers, decimals    a number where a double holds it, else a bigint or an `ExactNumber` (`exact-json.ts`)
 *     timestamps                 ISO 8601 text with three, six or nine digits of a second, as many as there are
 *     dates, times of day        ISO 8601 text: 2024-02-29, 23:59:59.5
 *     intervals                  ISO 8601 text: P1M2DT0.5S
 *     NaN, infinities            null; the texts Infinity and -Infinity
 *     bytes, BSON                text where they are UTF-8, else Base64
 *
 * Formats of values: github.com/apache/parquet-format, LogicalTypes.md.
 */

import { type FileMetaData, type ParquetParsers, parquetSchema, type SchemaElement, type SchemaTree } from "hyparquet";
import { ExactNumber, exactNumber, parseExactJson } from "../exact-json.ts";

/** Makes a value of a column, as the decoder gives it, one of JSON. */
export type ToJson = (value: unknown) => unknown;

/** A file's metadata as the decoder is to see it, and what makes its values those of JSON, by column. */
export interface ValuePlan {
  readonly metadata: FileMetaData;
  readonly columns: ReadonlyMap<string, ToJson>;
}

/** The decoder reads these only where the older annotation is there too. */
const CONVERTED_TYPES: Readonly<Record<string, SchemaElement["converted_type"]>> = {
  DATE: "DATE",
  JSON: "JSON",
  LIST: "LIST",
  MAP: "MAP",
};

/** The plan for a file with this metadata. */
export function planValues(metadata: FileMetaData): ValuePlan {
  const columns = parquetSchema(metadata).children.map((column) => [column.element.name, toJsonOf(column)] as const);
  return { metadata: { ...metadata, schema: metadata.schema.map(forDecoder) }, columns: new Map(columns) };
}

/** The decoder's own conversions: of those values that need nothing but themselves. */
export const VALUE_PARSERS: Partial<ParquetParsers> = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && decodeText(bytes),
  jsonFromBytes: (bytes: Uint8Array | undefined) => bytes && parseExactJson(decodeText(bytes)),
  timestampFromMilliseconds: (value: unknown) => timestampText(value, 3),
  timestampFromMicroseconds: (value: unknown) => timestampText(value, 6),
  timestampFromNanoseconds: (value: unknown) => timestampText(value, 9),
  dateFromDays: (days: unknown) => (typeof days === "number" ? dateText(days) : null),
};

/** The element without the annotations that are read here; what is only annotated in the newer way, in the older one. */
function forDecoder(element: SchemaElement): SchemaElement {
  if (element.num_children === undefined && leafReader(element) !== undefined) {
    const { converted_type: _, logical_type: __, ...plain } = element;
    return plain;
  }
  const known = element.converted_type ?? CONVERTED_TYPES[element.logical_type?.type ?? ""];
  return known === undefined ? element : { ...element, converted_type: known };
}

/** What makes JSON of a column, however it is nested: rows, lists and mappings of such values. */
function toJsonOf(node: SchemaTree): ToJson {
  const { element, children } = node;
  if (children.length === 0) {
    const read = leafReader(element) ?? plainValue;
    return each((value) => (value === null || value === undefined ? null : read(value)));
  }
  const kind = element.converted_type ?? element.logical_type?.type;
  const only = children.length === 1 ? children[0]! : undefined;
  if (kind === "LIST" && only?.element.repetition_type === "REPEATED") {
    return each(toJsonOf(only.children.length === 1 ? only.children[0]! : only));
  }
  if (kind === "MAP" && only?.children.length === 2) {
    const value = toJsonOf(only.children[1]!);
    return each(mapped(() => value));
  }
  if (element.logical_type?.type === "VARIANT") return plainValue;
  const byName = new Map(children.map((child) => [child.element.name, toJsonOf(child)]));
  return each(mapped((name) => byName.get(name) ?? plainValue));
}

/** Lists that the decoder made of a column's repetitions, item by item. */
function each(toJson: ToJson): ToJson {
  const read: ToJson = (value) => (Array.isArray(value) ? value.map(read) : toJson(value));
  return read;
}

function mapped(toJson: (key: string) => ToJson): ToJson {
  return (value) => {
    if (typeof value !== "object" || value === null) return null;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toJson(key)(inner)]));
  };
}

/** What reads a value that the decoder would round or refuse; undefined for one that it may convert. */
function leafReader({ type, converted_type, logical_type, scale = 0 }: SchemaElement): ToJson | undefined {
  if (converted_type === "DECIMAL") return (value) => decimal(value, scale);
  if (logical_type?.type === "DECIMAL") return (value) => decimal(value, logical_type.scale ?? 0);
  if (logical_type?.type === "TIME") return (value) => timeText(value, DIGITS[logical_type.unit]);
  if (converted_type === "TIME_MILLIS") return (value) => timeText(value, 3);
  if (converted_type === "TIME_MICROS") return (value) => timeText(value, 6);
  if (converted_type === "INTERVAL") return intervalText;
  if (converted_type === "BSON" || logical_type?.type === "BSON") return base64;
  return type === undefined ? plainValue : undefined;
}

/** Digits after the point of a second. */
const DIGITS = { MILLIS: 3, MICROS: 6, NANOS: 9 } as const;

function plainValue(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === "bigint") return exactNumber(String(value));
  if (typeof value === "number") return Number.isFinite(value) ? value : Number.isNaN(value) ? null : String(value);
  if (typeof value !== "object" || value instanceof ExactNumber) return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return textOrBase64(value);
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    return Array.from(value as unknown as ArrayLike<unknown>, plainValue);
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plainValue(inner)]));
}

/** Far beyond what any writer has (76), and short enough to be computed with at once. */
const MAX_DECIMAL_DIGITS = 1000;

/** unscaled · 10^−scale; the unscaled number is whole, or its bytes in two's complement, the highest first. */
function decimal(value: unknown, scale: number): unknown {
  if (!(scale >= 0 && scale <= MAX_DECIMAL_DIGITS)) throw new RangeError(`a decimal with ${scale} places`);
  const unscaled = value instanceof Uint8Array ? fromBytes(value) : BigInt(value as number | bigint);
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, "0");
  const sign = unscaled < 0n ? "-" : "";
  return exactNumber(sign + withPoint(digits, scale));
}

/** A point before the last `places` digits, and zeros at the end left out. */
function withPoint(digits: string, places: number): string {
  const [whole, fraction] = [digits.slice(0, digits.length - places), digits.slice(digits.length - places)];
  const kept = fraction.replace(/0+$/, "");
  return kept === "" ? whole : `${whole}.${kept}`;
}

function fromBytes(bytes: Uint8Array): bigint {
  if (bytes.length > MAX_DECIMAL_DIGITS) throw new RangeError(`a decimal of ${bytes.length} bytes`);
  if (bytes.length === 0) return 0n;
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${Buffer.from(bytes).toString("hex")}`));
}

/** JavaScript's dates reach so many milliseconds in both directions. */
const MOST_MILLISECONDS = 8_640_000_000_000_000n;

/** A moment in units of 10^−digits seconds since 1970; beyond JavaScript's dates (the year 275,760) the number itself. */
function timestampText(value: unknown, digits: 3 | 6 | 9): unknown {
  if (value === undefined || value === null) return null;
  const moment = BigInt(value as number | bigint);
  const perMillisecond = 10n ** BigInt(digits - 3);
  const rest = ((moment % perMillisecond) + perMillisecond) % perMillisecond;
  const milliseconds = (moment - rest) / perMillisecond;
  if (milliseconds > MOST_MILLISECONDS || milliseconds < -MOST_MILLISECONDS) return exactNumber(String(moment));
  const text = new Date(Number(milliseconds)).toISOString().slice(0, -1);
  if (rest === 0n) return `${text}Z`;
  const finer = String(rest).padStart(digits - 3, "0");
  // Nanoseconds only where there are some.
  return `${text}${finer.endsWith("000") ? finer.slice(0, 3) : finer}Z`;
}

const DAY_MILLISECONDS = 86_400_000;

function dateText(days: number): unknown {
  const date = new Date(days * DAY_MILLISECONDS);
  return Number.isNaN(date.getTime()) ? days : date.toISOString().slice(0, -"T00:00:00.000Z".length);
}

/** A time of day in units of 10^−digits seconds. */
function timeText(value: unknown, digits: number): string {
  const [seconds, fraction] = [
    BigInt(value as number | bigint) / 10n ** BigInt(digits),
    BigInt(value as number | bigint),
  ];
  const two = (part: bigint) => String(part).padStart(2, "0");
  const below = String(fraction % 10n ** BigInt(digits)).padStart(digits, "0");
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}`;
  return `${clock}:${withPoint(two(seconds % 60n) + below, digits)}`;
}

/** Months, days and milliseconds, each 32 bits without a sign, the lowest byte first. */
function intervalText(value: unknown): string {
  const view = Buffer.from(value as Uint8Array);
  const [months, days, milliseconds] = [0, 4, 8].map((at) => view.readUInt32LE(at)) as [number, number, number];
  return `P${months}M${days}DT${milliseconds / 1000}S`;
}

function base64(value: unknown): string {
  return Buffer.from(value as Uint8Array).toString("base64");
}

/** Throws TypeError for bytes that are not UTF-8. */
function decodeText(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

function textOrBase64(bytes: Uint8Array): string {
  try {
    return decodeText(bytes);
  } catch {
    return base64(bytes);
  }
}
