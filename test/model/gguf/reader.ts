/**
 * A reader of GGUF 3 files for the tests, written from the format's description and sharing nothing with the writer.
 * It insists on what readers may rely on: alignment, tensors in order without overlap, a file that ends where it should.
 */

import { readFile } from "node:fs/promises";

export interface ReadTensor {
  readonly name: string;
  /** As stored: the contiguous dimension first. */
  readonly dimensions: readonly number[];
  /** ggml's number of the format. */
  readonly type: number;
  readonly bytes: Buffer;
}

export interface ReadGguf {
  readonly metadata: ReadonlyMap<string, { readonly type: string; readonly value: unknown }>;
  readonly tensors: ReadonlyMap<string, ReadTensor>;
}

const TYPES = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"];
/** Elements and bytes of a block, by ggml's number: f32, f16, q8_0, bf16. */
const BLOCKS: Readonly<Record<number, readonly [elements: number, bytes: number]>> = {
  0: [1, 4],
  1: [1, 2],
  8: [32, 34],
  30: [1, 2],
};
const ALIGNMENT = 32;

export async function readGguf(path: string): Promise<ReadGguf> {
  const file = await readFile(path);
  let at = 0;
  const take = (length: number) => {
    at += length;
    return file.subarray(at - length, at);
  };
  const u32 = () => take(4).readUInt32LE();
  const u64 = () => Number(take(8).readBigUInt64LE());
  const string = () => new TextDecoder("utf-8", { fatal: true }).decode(take(u64()));
  const scalar = (type: string): unknown => {
    switch (type) {
      case "u32":
        return u32();
      case "i32":
        return take(4).readInt32LE();
      case "f32":
        return take(4).readFloatLE();
      case "bool":
        return [false, true][take(1)[0]!];
      case "string":
        return string();
    }
    throw new Error(`unexpected type ${type} at ${at}`);
  };
  if (take(4).toString("latin1") !== "GGUF" || u32() !== 3) throw new Error("not GGUF 3");
  const [tensorCount, keyCount] = [u64(), u64()];
  const metadata = new Map<string, { type: string; value: unknown }>();
  for (let i = 0; i < keyCount; i++) {
    const key = string();
    if (metadata.has(key)) throw new Error(`${key} is there twice`);
    const type = TYPES[u32()]!;
    if (type !== "array") {
      metadata.set(key, { type, value: scalar(type) });
      continue;
    }
    const element = TYPES[u32()]!;
    metadata.set(key, { type: `${element}[]`, value: Array.from({ length: u64() }, () => scalar(element)) });
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = string();
    const dimensions = Array.from({ length: u32() }, u64);
    return { name, dimensions, type: u32(), offset: u64() };
  });
  const start = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
  let end = at;
  const tensors = new Map<string, ReadTensor>();
  for (const { name, dimensions, type, offset } of infos) {
    const [elements, bytes] = BLOCKS[type]!;
    if (dimensions[0]! % elements !== 0) throw new Error(`${name}: a row is no whole number of blocks`);
    const size = (dimensions.reduce((product, n) => product * n, 1) / elements) * bytes;
    if (offset % ALIGNMENT !== 0 || start + offset < end || start + offset - end >= ALIGNMENT) {
      throw new Error(`${name} is not at the next aligned place`);
    }
    if (file.subarray(end, start + offset).some((byte) => byte !== 0)) throw new Error("padding is not zero");
    end = start + offset + size;
    if (tensors.has(name)) throw new Error(`${name} is there twice`);
    tensors.set(name, { name, dimensions, type, bytes: file.subarray(start + offset, end) });
  }
  if (file.length - end >= ALIGNMENT || file.length < end)
    throw new Error(`the file has ${file.length - end} more bytes`);
  return { metadata, tensors };
}

/** A tensor's numbers, in the order in which they are stored. */
export function numbersOf({ type, bytes }: ReadTensor): number[] {
  const [elements, size] = BLOCKS[type]!;
  const blocks = bytes.length / size;
  if (type === 0) return Array.from({ length: blocks }, (_, i) => bytes.readFloatLE(i * 4));
  if (type === 1) return Array.from({ length: blocks }, (_, i) => half(bytes.readUInt16LE(i * 2)));
  if (type === 30) {
    const widened = Buffer.alloc(4);
    return Array.from({ length: blocks }, (_, i) => {
      widened.writeUInt16LE(bytes.readUInt16LE(i * 2), 2);
      return widened.readFloatLE();
    });
  }
  return Array.from({ length: blocks * elements }, (_, i) => {
    const block = Math.floor(i / elements) * size;
    return half(bytes.readUInt16LE(block)) * bytes.readInt8(block + 2 + (i % elements));
  });
}

/** binary16 by its definition. */
function half(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const sign = bits >> 15 ? -1 : 1;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
