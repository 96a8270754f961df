/**
 * The framing of SwanLab's run files (its `core_python/store`, version 0.10): LevelDB's log format
 * (github.com/google/leveldb, doc/log_format.md) behind a header of 7 bytes, with zlib's CRC-32 in place of LevelDB's.
 *
 * Blocks have 32,768 bytes. A record is in one piece or in several, none of which crosses the end of a block:
 *
 *     CRC-32 of the type's byte and the data   u32, little-endian
 *     length of the data                       u16
 *     type                                     u8: 1 whole, 2 first, 3 middle, 4 last
 *
 * Where fewer than 7 bytes are left in a block, zeros fill it.
 */

import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { readAt } from "../read-at.ts";

const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7;
const [WHOLE, FIRST, MIDDLE, LAST] = [1, 2, 3, 4] as const;

/** `:SWL`, the magic number, the version of the format. */
export const FILE_HEADER = Buffer.from([0x3a, 0x53, 0x57, 0x4c, 0xd6, 0xe1, 2]);

/** The bytes that stand for a record at a place of the file. */
export function framedAt(position: number, data: Uint8Array): Buffer {
  const pieces: Uint8Array[] = [];
  let at = position;
  let isFirst = true;
  for (let rest = data; ; ) {
    let room = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (room < HEADER_BYTES) {
      pieces.push(Buffer.alloc(room));
      at += room;
      room = BLOCK_BYTES;
    }
    const piece = rest.subarray(0, room - HEADER_BYTES);
    rest = rest.subarray(piece.length);
    const isLast = rest.length === 0;
    const type = isFirst ? (isLast ? WHOLE : FIRST) : isLast ? LAST : MIDDLE;
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(checksum(type, piece), 0);
    header.writeUInt16LE(piece.length, 4);
    header.writeUInt8(type, 6);
    pieces.push(header, piece);
    at += HEADER_BYTES + piece.length;
    isFirst = false;
    if (isLast) return Buffer.concat(pieces);
  }
}

/** A record of a file and where its bytes begin and end. */
export interface PlacedRecord {
  readonly data: Buffer;
  readonly begin: number;
  readonly end: number;
}

/**
 * The records of a file, in order, up to its end or to one that is not whole or not what its checksum says, as a killed process
 * leaves it. A file that does not begin with the header has none.
 */
export async function* runFileRecords(path: string): AsyncGenerator<PlacedRecord, void, void> {
  const file = await open(path, "r");
  try {
    const header = await readAt(file, 0, FILE_HEADER.length);
    if (!header.equals(FILE_HEADER)) return;
    for (let begin = FILE_HEADER.length; ; ) {
      const record = await recordAt(file, begin);
      if (record === undefined) return;
      yield record;
      begin = record.end;
    }
  } finally {
    await file.close();
  }
}

async function recordAt(file: FileHandle, begin: number): Promise<PlacedRecord | undefined> {
  const pieces: Buffer[] = [];
  for (let at = begin; ; ) {
    const room = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (room < HEADER_BYTES) at += room;
    const header = await readAt(file, at, HEADER_BYTES);
    if (header.length < HEADER_BYTES) return undefined;
    const length = header.readUInt16LE(4);
    const type = header.readUInt8(6);
    const data = await readAt(file, at + HEADER_BYTES, length);
    const isExpected = pieces.length === 0 ? type === WHOLE || type === FIRST : type === MIDDLE || type === LAST;
    if (!isExpected || data.length < length || checksum(type, data) !== header.readUInt32LE(0)) return undefined;
    pieces.push(data);
    at += HEADER_BYTES + length;
    if (type === WHOLE || type === LAST) return { data: Buffer.concat(pieces), begin, end: at };
  }
}

function checksum(type: number, data: Uint8Array): number {
  const ofType = crc32(Uint8Array.of(type));
  // zlib takes an empty piece for a wish to begin anew.
  return data.length === 0 ? ofType : crc32(data, ofType);
}
