/**
 * The bytes of a text file as its reader wants them: unpacked where the file is gzipped (several members are one text),
 * UTF-8 also where it begins with the byte order mark of UTF-16, and refused by name where the beginning shows that it is
 * no text at all, whatever its ending says: a Git LFS pointer, another compression, Parquet, a web page.
 *
 * The size in a packed file's header is not reliable, so the limit applies to the unpacked bytes.
 */

import { createReadStream } from "node:fs";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { DataError } from "../errors.ts";
import { systemReason } from "../files.ts";
import { isLfsPointer, lfsPointerMessage } from "../lfs-pointer.ts";

/** Most bytes of text, unpacked, that are read of one file where a reader names no other limit. */
export const MAX_TEXT_BYTES = 16 * 2 ** 30;

/** How much of the beginning is looked at. */
const BEGINNING_BYTES = 4096;

const ascii = (text: string) => [...Buffer.from(text, "latin1")];

const GZIP = [0x1f, 0x8b];
const UTF_16_LE = [0xff, 0xfe];
const UTF_16_BE = [0xfe, 0xff];

/** Beginnings of files that are no text, and what to say of each. */
const FOREIGN: readonly (readonly [beginning: readonly number[], what: string])[] = [
  [[0x28, 0xb5, 0x2f, 0xfd], "is compressed with zstd, which is not read. Unpack it first (zstd -d FILE)"],
  [
    [...ascii("BZh"), 0x39, 0x31, 0x41, 0x59],
    "is compressed with bzip2, which is not read. Unpack it first (bunzip2 FILE)",
  ],
  [[0xfd, ...ascii("7zXZ"), 0x00], "is compressed with xz, which is not read. Unpack it first (unxz FILE)"],
  [[0x04, 0x22, 0x4d, 0x18], "is compressed with lz4, which is not read. Unpack it first (lz4 -d FILE)"],
  [
    [...ascii("PK"), 0x03, 0x04],
    "is a zip archive (Excel's .xlsx is one too), which is not read. Unpack it, or save it as CSV",
  ],
  [[...ascii("7z"), 0xbc, 0xaf], "is a 7z archive, which is not read. Unpack it first"],
  [[...ascii("PAR1"), 0x15], "is a Parquet file. Give it the ending .parquet"],
  [ascii("ARROW1"), "is an Arrow file, which is not read. Save the data set with to_parquet() instead"],
  [[0xff, 0xff, 0xff, 0xff], "is an Arrow stream, which is not read. Save the data set with to_parquet() instead"],
  [ascii("SQLite format 3"), "is an SQLite database, which is not read. Export the table as CSV"],
  [[0x89, ...ascii("HDF")], "is an HDF5 file, which is not read. Save the table as Parquet or CSV"],
  [[0x80, 0x04, 0x95], "is a Python pickle, which is not read. Save the rows as JSON Lines or Parquet"],
];

/** Beginnings of web pages, in lower case. */
const WEB_PAGE = /^\s*<(?:!doctype html|html)/i;

/**
 * The text of a file as UTF-8, piece by piece.
 *
 * @throws DataError for a file that cannot be read, is no text, cannot be unpacked, or is longer than `maxBytes`.
 */
export async function* readTextBytes(file: string, maxBytes = MAX_TEXT_BYTES): AsyncGenerator<Buffer, void, void> {
  const source = await peeked(readChunks(file));
  const isPacked = beginsWith(source.beginning, GZIP);
  const text = isPacked ? await peeked(unzipped(source.all, file)) : source;
  try {
    if (isPacked && beginsWith(text.beginning, GZIP)) throw new DataError(`${file} is gzipped twice. Unpack it once.`);
    let length = 0;
    for await (const piece of asUtf8(text, file)) {
      length += piece.length;
      if (length > maxBytes) {
        const more = isPacked ? "the file unpacks to more" : "the file is longer";
        throw new DataError(`${file}: expected at most ${maxBytes} bytes, ${more}. Split it.`);
      }
      yield piece;
    }
  } finally {
    await text.pieces.return();
    await source.pieces.return();
  }
}

/** Bytes of which the first were looked at. */
interface Peeked {
  /** The first piece; undefined where there is none. */
  readonly beginning: Buffer | undefined;
  /** Where it came from, to be closed. */
  readonly pieces: AsyncGenerator<Buffer, void, void>;
  /** All of them, the first again. */
  readonly all: AsyncIterable<Buffer>;
}

async function peeked(pieces: AsyncGenerator<Buffer, void, void>): Promise<Peeked> {
  const { value: beginning } = await pieces.next();
  async function* all() {
    if (beginning === undefined) return;
    yield beginning;
    yield* pieces;
  }
  return { beginning: beginning ?? undefined, pieces, all: all() };
}

function beginsWith(bytes: Buffer | undefined, beginning: readonly number[]): boolean {
  return bytes !== undefined && beginning.every((byte, i) => bytes[i] === byte);
}

function refuseForeign(file: string, beginning: Buffer | undefined): void {
  if (beginning === undefined) return;
  if (isLfsPointer(beginning)) throw new DataError(lfsPointerMessage(file));
  const found = FOREIGN.find(([bytes]) => beginsWith(beginning, bytes));
  if (found) throw new DataError(`${file} ${found[1]}.`);
  if (WEB_PAGE.test(beginning.subarray(0, 64).toString("latin1"))) {
    throw new DataError(`${file} is a web page, not data. Was the page of the file saved in place of the file?`);
  }
}

/** The bytes of a file, in order; a refusal of the operating system is a DataError that names the file. */
async function* readChunks(file: string): AsyncGenerator<Buffer, void, void> {
  try {
    yield* createReadStream(file) as AsyncIterable<Buffer>;
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new DataError(`Cannot read ${file}: ${reason}. Check the path.`);
  }
}

async function* unzipped(packed: AsyncIterable<Buffer>, file: string): AsyncGenerator<Buffer, void, void> {
  const gunzip = createGunzip();
  // Errors of both streams are thrown by the iteration below.
  pipeline(Readable.from(packed, { objectMode: false }), gunzip, () => {});
  try {
    yield* gunzip as AsyncIterable<Buffer>;
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    if (error.code === "Z_BUF_ERROR")
      throw new DataError(`${file} is gzipped and ends too early: it was cut off. Get it again.`);
    if (typeof error.code !== "string" || !error.code.startsWith("Z_")) throw error;
    throw new DataError(`${file} is gzipped and damaged (${error.message}). Get it again.`);
  }
}

/** The pieces of a text in whichever encoding its beginning shows, as UTF-8. Throws DataError for what is no text. */
async function* asUtf8({ beginning, all }: Peeked, file: string): AsyncGenerator<Buffer, void, void> {
  refuseForeign(file, beginning);
  const encoding = beginsWith(beginning, UTF_16_LE)
    ? "utf-16le"
    : beginsWith(beginning, UTF_16_BE)
      ? "utf-16be"
      : "utf-8";
  if (encoding === "utf-8") {
    if (beginning?.subarray(0, BEGINNING_BYTES).includes(0)) {
      throw new DataError(
        `${file}: expected UTF-8 text, the file has zero bytes in it. If it is UTF-16 without a byte order mark, save it ` +
          "as UTF-8; otherwise it is no text.",
      );
    }
    yield* all;
    return;
  }
  // It drops the byte order mark.
  const decoder = new TextDecoder(encoding, { fatal: true });
  const decoded = (bytes?: Buffer): Buffer => {
    try {
      return Buffer.from(decoder.decode(bytes, { stream: bytes !== undefined }), "utf8");
    } catch {
      throw new DataError(`${file} begins as UTF-16 text and goes on as something else. Save it as UTF-8.`);
    }
  };
  for await (const bytes of all) yield decoded(bytes);
  yield decoded();
}
