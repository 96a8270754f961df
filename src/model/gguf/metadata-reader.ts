/**
 * Numbers, strings and typed values at the beginning of a GGUF file, each with its name for messages.
 *
 * The reader has the first part of a file in memory and knows the size of the whole. What the file cannot hold is an
 * error that says where; what lies behind the part in memory makes `whole` give up, to be called again with more.
 */

import { CheckpointError } from "../../errors.ts";

/** A metadata value. Whole numbers of 64 bits are numbers where these are exact. */
export type MetadataValue = number | bigint | boolean | string | readonly MetadataValue[];

/** Bytes of the value types of a fixed size, by the format's number; strings (8) and arrays (9) have their length. */
const FIXED_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const STRING = 8;
const ARRAY = 9;
/** A string's, or an array's, own length, and an array's type. */
const LEAST_VARIABLE_BYTES = 8;
/** Of arrays in arrays; llama.cpp has none. */
const MAX_DEPTH = 2;

/** Thrown, and caught by `whole`, where more of the file is needed. */
class NeedsMore extends Error {}

export class MetadataReader {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileBytes: number;
  readonly #path: string;
  readonly #text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(bytes: Uint8Array, fileBytes: number, path: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileBytes = fileBytes;
    this.#path = path;
  }

  /** What `read` returns, or undefined where it needs more of the file than is in memory. */
  whole<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (error instanceof NeedsMore) return undefined;
      throw error;
    }
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  /** A number of 64 bits that a double holds exactly. */
  uint64(what: string): number {
    const value = this.#view.getBigUint64(this.#take(8, what), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.#refuse(`${what} is ${value}, which no file can mean.`);
    return Number(value);
  }

  /** How many things of at least `leastBytes` each follow. */
  count(what: string, leastBytes: number): number {
    const count = this.uint64(what);
    const most = Math.floor((this.#fileBytes - this.position) / leastBytes);
    if (count <= most) return count;
    return this.#refuse(`${what} is ${count}, but the rest of the file has room for ${most} at most.`);
  }

  string(what: string): string {
    const length = this.count(`the length of ${what}`, 1);
    const start = this.#take(length, what);
    try {
      return this.#text.decode(this.#bytes.subarray(start, start + length));
    } catch {
      return this.#refuse(`${what} (byte ${start}) is no UTF-8 text.`);
    }
  }

  /** A value behind the number of its type. */
  value(key: string): MetadataValue {
    const type = this.uint32(`the type of ${key}`);
    return type === ARRAY ? this.#array(key, 1) : this.#element(type, `the value of ${key}`);
  }

  /** An array: the type of its elements, their number, and the elements, which may be arrays. */
  #array(key: string, depth: number): readonly MetadataValue[] {
    const what = `the value of ${key}`;
    const type = this.uint32(`the type of the elements of ${key}`);
    const length = this.count(`the length of ${key}`, FIXED_BYTES[type] ?? LEAST_VARIABLE_BYTES);
    if (type === ARRAY) {
      if (depth === MAX_DEPTH) this.#refuse(`${what} has arrays within each other, more than ${MAX_DEPTH} deep.`);
      return Array.from({ length }, () => this.#array(key, depth + 1));
    }
    const bytes = FIXED_BYTES[type];
    // Asked for at once, so that a long array is not begun where it is not in memory whole.
    if (bytes !== undefined) this.#require(length * bytes, what);
    return Array.from({ length }, () => this.#element(type, what));
  }

  #element(type: number, what: string): MetadataValue {
    if (type === STRING) return this.string(what);
    const bytes = FIXED_BYTES[type];
    if (bytes === undefined) return this.#refuse(`${what} has the type ${type}, which the format does not have.`);
    const at = this.#take(bytes, what);
    switch (type) {
      case 0:
        return this.#view.getUint8(at);
      case 1:
        return this.#view.getInt8(at);
      case 2:
        return this.#view.getUint16(at, true);
      case 3:
        return this.#view.getInt16(at, true);
      case 4:
        return this.#view.getUint32(at, true);
      case 5:
        return this.#view.getInt32(at, true);
      case 6:
        return this.#view.getFloat32(at, true);
      case 7:
        return this.#view.getUint8(at) !== 0;
      case 10:
        return exact(this.#view.getBigUint64(at, true));
      case 11:
        return exact(this.#view.getBigInt64(at, true));
      default:
        return this.#view.getFloat64(at, true);
    }
  }

  /** The place of the next `length` bytes, which are passed over. */
  #take(length: number, what: string): number {
    this.#require(length, what);
    this.position += length;
    return this.position - length;
  }

  #require(length: number, what: string): void {
    const end = this.position + length;
    if (end > this.#fileBytes) {
      this.#refuse(
        `${what} needs ${length} bytes from byte ${this.position} on, but the file ends at ${this.#fileBytes}. ` +
          "It is cut off: fetch it again.",
      );
    }
    if (end > this.#bytes.length) throw new NeedsMore();
  }

  #refuse(reason: string): never {
    throw new CheckpointError(`${this.#path}: ${reason}`);
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
