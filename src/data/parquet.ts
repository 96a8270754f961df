/**
 * Parquet, decoded by `hyparquet`: the form in which the Hub keeps most data sets. A file is a list of row groups; one at
 * a time is read and given out, so a file needs memory for its largest row group only, and who takes the first rows
 * reads the first group only.
 *
 * Values are brought into JSON's form without being rounded (`parquet-values.ts`).
 *
 * What a file says of itself, in its footer and in its page headers, is checked against its size and against limits
 * before memory is asked for; errors of the decoder are reported with file and rows. Not guarded against: a damaged run
 * length inside a page, which the decoder takes for granted. Downloads from the Hub are checked by their SHA-256.
 */

import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { type ColumnMetaData, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { AhaError, DataError } from "../errors.ts";
import { systemReason } from "../files.ts";
import { isLfsPointer, LFS_POINTER_BYTES, lfsPointerMessage } from "../lfs-pointer.ts";
import { pagesFault } from "./parquet-pages.ts";
import { planValues, VALUE_PARSERS, type ValuePlan } from "./parquet-values.ts";
import type { DataRow } from "./row.ts";

/** A file that is read in parts. Tests can replace it to see which parts are read. */
export interface ParquetBytes {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

/** How much of a file is decoded at once before it is refused. */
export interface ParquetLimits {
  /** The footer, which lists the row groups. */
  readonly maxFooterBytes: number;
  /** A row group, uncompressed; also each of its pages. */
  readonly maxRowGroupBytes: number;
  readonly maxRowGroupRows: number;
  /** Values of one column in a row group: more than rows where rows hold lists. */
  readonly maxColumnValues: number;
}

/** The limits where a caller names none. */
const PARQUET_LIMITS: ParquetLimits = {
  maxFooterBytes: 64 * 2 ** 20,
  maxRowGroupBytes: 2 * 2 ** 30,
  maxRowGroupRows: 10_000_000,
  maxColumnValues: 100_000_000,
};

/** `PAR1`, the footer's length and the first `PAR1`. */
const SMALLEST_FILE_BYTES = 12;

/**
 * The rows of a file, in order, one row group in memory at a time. `inspect` stands between the file and its reader.
 *
 * @throws DataError for a file that cannot be read, is not Parquet, is damaged, or exceeds a limit.
 */
export async function* readParquet(
  file: string,
  limits: ParquetLimits = PARQUET_LIMITS,
  inspect: (source: ParquetBytes) => ParquetBytes = (source) => source,
): AsyncGenerator<DataRow, void, void> {
  const handle = await openFile(file);
  try {
    const source = inspect(await sourceOf(handle, file));
    const plan = planValues(await readFooter(source, file, limits));
    let rowStart = 0;
    for (const { num_rows } of plan.metadata.row_groups) {
      const rowEnd = rowStart + Number(num_rows);
      if (rowEnd > rowStart) yield* readGroup({ source, ...plan, file, limits }, rowStart, rowEnd);
      rowStart = rowEnd;
    }
  } finally {
    await handle.close();
  }
}

/** How many rows a file has, by its footer; nothing else of it is read. Errors as in `readParquet`. */
export async function parquetRowCount(file: string): Promise<number> {
  const handle = await openFile(file);
  try {
    const { num_rows } = await readFooter(await sourceOf(handle, file), file, PARQUET_LIMITS);
    return Number(num_rows);
  } finally {
    await handle.close();
  }
}

interface OpenParquet extends ValuePlan {
  readonly source: ParquetBytes;
  readonly file: string;
  readonly limits: ParquetLimits;
}

async function* readGroup(opened: OpenParquet, rowStart: number, rowEnd: number): AsyncGenerator<DataRow, void, void> {
  const { source, metadata, columns, file, limits } = opened;
  await checkPages(opened, rowStart, rowEnd);
  const decodedRows = new Map<string, number>();
  const rows = await named(`${file}, rows ${rowStart + 1} to ${rowEnd}`, async () => {
    const decoded = await parquetReadObjects({
      file: source,
      metadata,
      rowStart,
      rowEnd,
      compressors: limited(limits.maxRowGroupBytes),
      // Bytes that are not declared as text stay bytes until they were looked at.
      utf8: false,
      parsers: VALUE_PARSERS,
      onChunk: ({ columnName, columnData }) => {
        decodedRows.set(columnName, (decodedRows.get(columnName) ?? 0) + columnData.length);
      },
    });
    return decoded.map((row) => {
      return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, columns.get(column)!(value)]));
    });
  });
  for (const [column, count] of decodedRows) {
    if (count >= rowEnd - rowStart) continue;
    throw new DataError(
      `${file}, row ${rowStart + count + 1}: the column ${column} ends before this row, though the file's footer says ` +
        "that it has it. The file is damaged; get it again.",
    );
  }
  for (const [i, fields] of rows.entries()) yield { fields, file, line: rowStart + i + 1, unit: "row" };
}

/** Refuses pages that contradict the footer or the limits, in the row group that begins at `rowStart`. */
async function checkPages(opened: OpenParquet, rowStart: number, rowEnd: number): Promise<void> {
  const { source, metadata, file, limits } = opened;
  let before = 0;
  const group = metadata.row_groups.find(({ num_rows }) => {
    const isIt = before === rowStart && num_rows > 0;
    before += Number(num_rows);
    return isIt;
  });
  for (const { meta_data: column } of group?.columns ?? []) {
    const start = firstByte(column!);
    const range = [start, start + Number(column!.total_compressed_size)] as const;
    const fault = await pagesFault(column!, range, limits.maxRowGroupBytes, (from, to) => source.slice(from, to));
    if (fault === undefined) continue;
    throw new DataError(
      `${file}, rows ${rowStart + 1} to ${rowEnd}: the column ${column!.path_in_schema.join(".")} is damaged: ${fault}. ` +
        "Get the file again.",
    );
  }
}

async function openFile(file: string): Promise<FileHandle> {
  try {
    return await open(file, "r");
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new DataError(`Cannot read ${file}: ${reason}. Check the path.`);
  }
}

async function sourceOf(handle: FileHandle, file: string): Promise<ParquetBytes> {
  const found = await handle.stat();
  if (!found.isFile()) throw new DataError(`Cannot read ${file}: it is not a regular file. Check the path.`);
  const byteLength = found.size;
  const read = async (start: number, end: number): Promise<ArrayBuffer> => {
    if (!(start >= 0 && start <= end && end <= byteLength)) {
      throw new DataError(`${file} has ${byteLength} bytes, but its footer points to bytes ${start} to ${end}.`);
    }
    const buffer = new ArrayBuffer(end - start);
    const bytes = new Uint8Array(buffer);
    for (let at = 0; at < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at);
      if (bytesRead === 0) throw new DataError(`${file} became shorter while it was read.`);
      at += bytesRead;
    }
    return buffer;
  };
  return {
    byteLength,
    slice: (start, end = byteLength) => {
      const bytes = read(start, end);
      // The decoder asks for several parts at the same time and may stop after one fails: the failures of the others
      // are handled here.
      bytes.catch(() => {});
      return bytes;
    },
  };
}

async function readFooter(source: ParquetBytes, file: string, limits: ParquetLimits): Promise<FileMetaData> {
  const { byteLength } = source;
  const isParquet = async (): Promise<boolean> => {
    const marks = [await source.slice(0, 4), await source.slice(byteLength - 4)];
    return marks.every((mark) => new TextDecoder().decode(mark) === "PAR1");
  };
  if (isLfsPointer(new Uint8Array(await source.slice(0, Math.min(LFS_POINTER_BYTES, byteLength))))) {
    throw new DataError(lfsPointerMessage(file));
  }
  if (byteLength < SMALLEST_FILE_BYTES || !(await isParquet())) {
    throw new DataError(
      `${file} is not a whole Parquet file: it does not begin and end with PAR1. Was it cut off? Get it again.`,
    );
  }
  const footerBytes = new DataView(await source.slice(byteLength - 8, byteLength - 4)).getUint32(0, true);
  if (footerBytes > byteLength - SMALLEST_FILE_BYTES || footerBytes > limits.maxFooterBytes) {
    throw new DataError(
      `${file}: the footer is said to have ${footerBytes} bytes; the file leaves ${byteLength - SMALLEST_FILE_BYTES} for ` +
        `it, and at most ${limits.maxFooterBytes} are read.`,
    );
  }
  const metadata = await named(file, () => parquetMetadataAsync(source, { initialFetchSize: footerBytes + 8 }));
  checkFooter(metadata, file, byteLength, limits);
  return metadata;
}

/** Refuses a footer that points outside the file, contradicts itself, or asks for more than the limits. */
function checkFooter(metadata: FileMetaData, file: string, byteLength: number, limits: ParquetLimits): void {
  const damaged = (fault: string): DataError => new DataError(`${file} is damaged: ${fault}. Get it again.`);
  let rows = 0;
  for (const [i, { columns, num_rows }] of metadata.row_groups.entries()) {
    const count = Number(num_rows);
    const group = `row group ${i + 1}`;
    if (!(count >= 0)) throw damaged(`${group} is said to have ${count} rows`);
    rows += count;
    // Writers differ in where they say that the columns of no rows lie.
    if (count === 0) continue;
    let bytes = 0;
    for (const { meta_data: column, file_path } of columns) {
      if (column === undefined || file_path !== undefined) {
        throw new DataError(`${file}: ${group} keeps a column in another file or encrypted, which is not supported.`);
      }
      const [start, size] = [firstByte(column), Number(column.total_compressed_size)];
      if (!(start >= 4 && size >= 0 && start + size <= byteLength)) {
        throw damaged(
          `${group} has ${column.path_in_schema.join(".")} at bytes ${start} to ${start + size} of ${byteLength}`,
        );
      }
      if (!(Number(column.num_values) >= count)) {
        throw damaged(
          `${group} has ${column.num_values} values of ${column.path_in_schema.join(".")} for ${count} rows`,
        );
      }
      if (Number(column.num_values) > limits.maxColumnValues) {
        throw new DataError(
          `${file}: ${group} has ${column.num_values} values of ${column.path_in_schema.join(".")}; at most ` +
            `${limits.maxColumnValues} are decoded at once. Write the file again with smaller row groups.`,
        );
      }
      bytes += Math.max(size, Number(column.total_uncompressed_size));
    }
    if (count <= limits.maxRowGroupRows && bytes <= limits.maxRowGroupBytes) continue;
    throw new DataError(
      `${file}: ${group} has ${count} rows of ${bytes} bytes; at most ${limits.maxRowGroupRows} rows and ` +
        `${limits.maxRowGroupBytes} bytes are decoded at once. Write the file again with smaller row groups.`,
    );
  }
  if (rows !== Number(metadata.num_rows)) {
    throw damaged(`it is said to have ${metadata.num_rows} rows, its row groups have ${rows}`);
  }
}

function firstByte({ dictionary_page_offset, data_page_offset }: ColumnMetaData): number {
  return Number(dictionary_page_offset || data_page_offset);
}

/** The decompressors; each is only asked for a page of at most `maxBytes`. */
function limited(maxBytes: number): typeof compressors {
  const entries = Object.entries(compressors).map(([codec, decompress]) => {
    const checked = (input: Uint8Array, outputLength: number): Uint8Array => {
      if (outputLength <= maxBytes) return decompress(input, outputLength);
      throw new DataError(`a page is said to have ${outputLength} bytes, at most ${maxBytes} are decoded at once`);
    };
    return [codec, checked];
  });
  return Object.fromEntries(entries) as typeof compressors;
}

/** Runs the decoder; what it throws about the file's content becomes a DataError that begins with `where`. */
async function named<T>(where: string, decode: () => Promise<T>): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    if (error instanceof AhaError || systemReason(error) !== undefined) throw error;
    const detail = error instanceof Error ? error.message : String(error);
    throw new DataError(`${where}: cannot be decoded as Parquet (${detail}). Is the file whole? Get it again.`);
  }
}
