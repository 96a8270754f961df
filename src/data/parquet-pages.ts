/**
 * The page headers of a Parquet column chunk, checked before the decoder reads it. The decoder trusts the number of
 * values and the sizes in a header, so one damaged byte could make it allocate gigabytes. Only headers are read, a
 * window at a time; pages are jumped over.
 *
 * Format: parquet.thrift, `PageHeader`, in Thrift's compact protocol.
 */

import type { ColumnMetaData } from "hyparquet";
import { deserializeTCompactProtocol } from "hyparquet/src/thrift.js";

/** How much is read at once; a header has some dozens of bytes, with statistics of long texts some thousands. */
const WINDOW_BYTES = 64 * 2 ** 10;

/** Least bytes that are kept in the window for a header, where the chunk has them. */
const HEADER_BYTES = 16 * 2 ** 10;

/** Page types that hold values. */
const DATA_PAGE = 0;
const DICTIONARY_PAGE = 2;
const DATA_PAGE_V2 = 3;

/** Reads bytes [start, end) of the file. */
type ReadBytes = (start: number, end: number) => Promise<ArrayBuffer>;

interface PageHeader {
  readonly bytes: number;
  readonly type: number;
  readonly uncompressed: number;
  readonly compressed: number;
  readonly values: number;
}

/**
 * What is wrong with the pages of a column chunk that lies at [start, end) of the file; undefined where each page lies in
 * it, none is larger than `maxBytes`, nor all together, and they hold as many values as the footer says.
 */
export async function pagesFault(
  column: ColumnMetaData,
  [start, end]: readonly [number, number],
  maxBytes: number,
  read: ReadBytes,
): Promise<string | undefined> {
  let window = new DataView(new ArrayBuffer(0));
  let windowStart = start;
  let uncompressed = 0;
  let values = 0;
  for (let at = start; at < end; ) {
    const windowEnd = windowStart + window.byteLength;
    if (windowEnd < Math.min(end, at + HEADER_BYTES)) {
      window = new DataView(await read(at, Math.min(end, at + WINDOW_BYTES)));
      windowStart = at;
    }
    const header = readHeader(window, at - windowStart);
    if (header === undefined) return `at byte ${at} there is no page header`;
    const next = at + header.bytes + header.compressed;
    if (header.compressed < 0 || next > end) return `the page at byte ${at} reaches beyond its column`;
    uncompressed += header.uncompressed;
    if (header.uncompressed < 0 || uncompressed > maxBytes) {
      return `its pages up to byte ${at} are said to have ${uncompressed} bytes, at most ${maxBytes} are decoded at once`;
    }
    if (header.type === DATA_PAGE || header.type === DATA_PAGE_V2) values += header.values;
    const mostValues = header.type === DICTIONARY_PAGE ? header.uncompressed : Number(column.num_values);
    if (header.values < 0 || Math.max(values, header.values) > mostValues) {
      return `the page at byte ${at} is said to have ${header.values} values, which cannot be`;
    }
    at = next;
  }
  if (values === Number(column.num_values)) return undefined;
  return `its pages have ${values} values, where the footer says ${column.num_values}`;
}

function readHeader(view: DataView, offset: number): PageHeader | undefined {
  const reader = { view, offset };
  try {
    const fields: Record<string, unknown> = deserializeTCompactProtocol(reader);
    const inner = (fields.field_5 ?? fields.field_7 ?? fields.field_8) as Record<string, unknown> | undefined;
    const [type, uncompressed, compressed] = [fields.field_1, fields.field_2, fields.field_3];
    const values = inner?.field_1 ?? 0;
    if (![type, uncompressed, compressed, values].every((value) => typeof value === "number")) return undefined;
    return {
      bytes: reader.offset - offset,
      type: type as number,
      uncompressed: uncompressed as number,
      compressed: compressed as number,
      values: values as number,
    };
  } catch {
    return undefined;
  }
}
