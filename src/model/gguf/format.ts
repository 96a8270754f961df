/**
 * The GGUF file format, version 3 (github.com/ggml-org/ggml, docs/gguf.md), written: magic and version, typed metadata,
 * one line for each tensor (name, dimensions, number format, place), then the tensors' bytes, each at a multiple of 32.
 *
 * Everything but the tensors' bytes is known before the first of them is: the header is made whole from shapes alone and
 * the bytes follow in pieces, so a model larger than memory can be written. What a tensor or a key means to llama.cpp is
 * not known here; `tensors.ts`, `metadata.ts` and `tokenizer.ts` know. `gguf-file.ts` reads what is written here.
 */

import type { Folder } from "../../folder.ts";
import { elementCount } from "../parameters.ts";
import { encodedBytes, type TensorFormat } from "./number-formats.ts";

/** Tensors begin at multiples of this many bytes, the format's default `general.alignment`. */
const ALIGNMENT = 32;
const VERSION = 3;

/** The format's numbers of the value types that are written here. */
const VALUE_TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;
/** ggml's numbers of the tensor formats. */
const TENSOR_TYPES: Readonly<Record<TensorFormat, number>> = { f32: 0, f16: 1, q8_0: 8, bf16: 30 };

/** A metadata value with its type in the file; `values` is an array of that type. */
export type GgufValue =
  | { readonly type: "uint32" | "int32" | "float32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "int32" | "float32"; readonly values: readonly number[] }
  | { readonly type: "string"; readonly values: readonly string[] };

/** Metadata by key, in the order in which they are written. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** One tensor of a file to be written. */
export interface GgufTensor {
  readonly name: string;
  /** As everywhere in Aha, rows before columns: the last dimension is the contiguous one. The file has them reversed. */
  readonly shape: readonly number[];
  readonly format: TensorFormat;
  /** Its bytes, in pieces of any size, `encodedBytes(format, elements)` in all. Called once, when its turn has come. */
  readonly pieces: () => AsyncIterable<Uint8Array>;
}

/** Called as tensors are written, with their bytes so far. An error that it throws ends the writing. */
export type GgufProgress = (writtenBytes: number, totalBytes: number) => void;

/**
 * Writes a file of the folder. An error from `pieces` or `onProgress` is thrown on, and nothing has changed on
 * the disk.
 */
export async function writeGguf(
  folder: Folder,
  name: string,
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
  onProgress: GgufProgress = () => {},
): Promise<void> {
  const header = encodeHeader(metadata, tensors);
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  let doneBytes = 0;
  await folder.write(name, async (file) => {
    await file.write(header);
    for (const tensor of tensors) {
      const sizeBytes = tensorBytes(tensor);
      let written = 0;
      for await (const piece of tensor.pieces()) {
        await file.write(piece);
        written += piece.length;
        doneBytes += piece.length;
        onProgress(doneBytes, totalBytes);
      }
      if (written !== sizeBytes) throw new Error(`${tensor.name} gave ${written} bytes, expected ${sizeBytes}.`);
      await file.write(new Uint8Array(padding(sizeBytes)));
    }
  });
}

/** Bytes of a tensor in the file, without the padding after it. */
export function tensorBytes(tensor: Pick<GgufTensor, "shape" | "format">): number {
  return encodedBytes(tensor.format, elementCount(tensor.shape));
}

/** Everything before the first tensor's bytes, padded to where they begin. */
function encodeHeader(metadata: GgufMetadata, tensors: readonly GgufTensor[]): Uint8Array {
  const bytes = new ByteBuffer();
  bytes.raw(new TextEncoder().encode("GGUF"));
  bytes.uint32(VERSION);
  bytes.uint64(tensors.length);
  bytes.uint64(metadata.size);
  for (const [key, value] of metadata) {
    bytes.string(key);
    encodeValue(bytes, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    bytes.string(tensor.name);
    bytes.uint32(tensor.shape.length);
    for (const size of [...tensor.shape].reverse()) bytes.uint64(size);
    bytes.uint32(TENSOR_TYPES[tensor.format]);
    bytes.uint64(offset);
    const sizeBytes = tensorBytes(tensor);
    offset += sizeBytes + padding(sizeBytes);
  }
  bytes.raw(new Uint8Array(padding(bytes.length)));
  return bytes.done();
}

function encodeValue(bytes: ByteBuffer, value: GgufValue): void {
  if (!("values" in value)) {
    bytes.uint32(VALUE_TYPES[value.type]);
    encodeElement(bytes, value.type, value.value);
    return;
  }
  bytes.uint32(VALUE_TYPES.array);
  bytes.uint32(VALUE_TYPES[value.type]);
  bytes.uint64(value.values.length);
  for (const element of value.values) encodeElement(bytes, value.type, element);
}

function encodeElement(bytes: ByteBuffer, type: GgufValue["type"], value: string | number | boolean): void {
  if (typeof value === "string") bytes.string(value);
  else if (typeof value === "boolean") bytes.uint8(value ? 1 : 0);
  else if (type === "float32") bytes.float32(value);
  else if (type === "int32") bytes.int32(value);
  else bytes.uint32(value);
}

/** Zero bytes that bring a length to the next multiple of the alignment. */
function padding(length: number): number {
  return (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;
}

/** A little-endian buffer that grows as it is written to. */
class ByteBuffer {
  #bytes = new Uint8Array(2 ** 16);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  uint8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.length, value);
    this.length += 1;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#view.setInt32(this.length, value, true);
    this.length += 4;
  }

  uint64(value: number): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.length, BigInt(value), true);
    this.length += 8;
  }

  float32(value: number): void {
    this.#reserve(4);
    this.#view.setFloat32(this.length, value, true);
    this.length += 4;
  }

  /** UTF-8 with its length in bytes before it. */
  string(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.uint64(encoded.length);
    this.raw(encoded);
  }

  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.length);
    this.length += value.length;
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  #reserve(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + more));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
