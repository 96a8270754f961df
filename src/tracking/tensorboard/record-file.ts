/**
 * TensorFlow's record files (tensorflow.org/tutorials/load_data/tfrecord): records one after another, each
 *
 *     length of the data        u64, little-endian
 *     masked CRC-32C of those 8 bytes   u32
 *     the data
 *     masked CRC-32C of the data        u32
 *
 * The mask keeps the checksum of data that hold checksums apart from theirs: rotate right by 15 bits and add 0xa282ead8.
 */

import { open } from "node:fs/promises";
import { readAt } from "../read-at.ts";

const HEADER_BYTES = 12;
const CHECKSUM_BYTES = 4;
/** Nothing that Aha writes comes near it; a length beyond it is a damaged one. */
const MAX_RECORD_BYTES = 64 * 2 ** 20;

/** One record with its frame. */
export function framed(data: Uint8Array): Buffer {
  const record = Buffer.alloc(HEADER_BYTES + data.length + CHECKSUM_BYTES);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, HEADER_BYTES);
  record.writeUInt32LE(maskedCrc32c(data), HEADER_BYTES + data.length);
  return record;
}

/**
 * The data of the file's records, in order. It ends where the file does or where a record is not whole or its checksum wrong:
 * a killed process leaves such an end, and readers go no further either.
 */
export async function* eventFileRecords(path: string): AsyncGenerator<Buffer, void, void> {
  const file = await open(path, "r");
  try {
    for (let position = 0; ; ) {
      const header = await readAt(file, position, HEADER_BYTES);
      if (header.length < HEADER_BYTES || header.readUInt32LE(8) !== maskedCrc32c(header.subarray(0, 8))) return;
      const length = Number(header.readBigUInt64LE(0));
      if (length > MAX_RECORD_BYTES) return;
      const rest = await readAt(file, position + HEADER_BYTES, length + CHECKSUM_BYTES);
      if (rest.length < length + CHECKSUM_BYTES || rest.readUInt32LE(length) !== maskedCrc32c(rest.subarray(0, length)))
        return;
      yield rest.subarray(0, length);
      position += HEADER_BYTES + length + CHECKSUM_BYTES;
    }
  } finally {
    await file.close();
  }
}

/** Castagnoli's polynomial, bits reversed (RFC 3720 §12.1). */
const POLYNOMIAL = 0x82f63b78;
const CRC_OF_BYTE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC-32C with TensorFlow's mask. */
export function maskedCrc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = CRC_OF_BYTE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
