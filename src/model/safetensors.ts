/**
 * The safetensors file format (github.com/huggingface/safetensors): eight bytes with the length of a JSON header, the
 * header with each tensor's dtype, shape and place, then the tensors' bytes without a gap.
 *
 * A file may come from anywhere, so every number in its header is checked against the file before it is used: lengths,
 * ranges, overlaps, gaps, shape × dtype. Tensors are read one at a time into memory the caller provides and converted
 * to f32 (from F64, which is rounded, F32, F16, BF16) on the way; nothing holds a second copy of the weights. Tensors
 * of the format's other dtypes may be in a file, as buffers that no model needs, and are not read. Written are files of
 * F32, F16 or BF16, straight from the tensors' memory, which may be made one after another while the file is written.
 */

import { CheckpointError } from "../errors.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../float-formats.ts";
import { type ByteSink, type ByteSource, type Folder, openedFile, readFully } from "../folder.ts";
import { isLfsPointer, LFS_POINTER_BYTES, lfsPointerMessage } from "../lfs-pointer.ts";
import { elementCount } from "./parameters.ts";
import type { Nf4Values } from "./quantization.ts";

/** Headers beyond this are refused, as the reference implementation does. */
const MAX_HEADER_BYTES = 100_000_000;
const CHUNK_BYTES = 4 * 2 ** 20;
/** In ASCII. */
const SPACE = 0x20;

/** Bytes of a number in each format that is written. */
export const DTYPE_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;

/** Number formats that are written. */
export type FloatDtype = keyof typeof DTYPE_BYTES;

/** Bits of an element in each of the format's dtypes. */
const STORED_BITS = {
  ...{ F64: 64, F32: 32, F16: 16, BF16: 16 },
  ...{ F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F6_E2M3: 6, F6_E3M2: 6, F4: 4 },
  ...{ I64: 64, I32: 32, I16: 16, I8: 8, U64: 64, U32: 32, U16: 16, U8: 8, BOOL: 8, C64: 64 },
} as const;

/** Every dtype that a file may have. */
export type StoredDtype = keyof typeof STORED_BITS;

/** Number formats that are read. */
const READ_DTYPES = ["F32", "F64", "F16", "BF16"] as const satisfies readonly StoredDtype[];
export type ReadDtype = (typeof READ_DTYPES)[number];

/** Whether numbers of this format are read. */
export function isReadDtype(dtype: StoredDtype): dtype is ReadDtype {
  return READ_DTYPES.some((known) => known === dtype);
}

/** What to do with a checkpoint whose weights are of another dtype. */
export const CONVERT_ADVICE =
  `Weights are read from ${READ_DTYPES.join(", ")}: convert the checkpoint, e.g. with transformers' save_pretrained ` +
  "after loading it as float32.";

/** One tensor of a file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** Of its first byte, from the start of the file. */
  readonly byteOffset: number;
  readonly sizeBytes: number;
  /** How it is packed, where it is: its dtype is then that of the numbers that are read. */
  readonly packedAs?: string;
}

/** Tensors that are read by name as f32: those of a file, or what stands for some of them. Close it after use. */
export interface TensorFile {
  readonly path: string;
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readInto(name: string, destination: Float32Array): Promise<void>;
  readElements(name: string, first: number, destination: Float32Array): Promise<void>;
  /** Codes and scales of a packed tensor as they are; false where its blocks are not those of the engine. */
  readNf4?(name: string, target: Nf4Values): Promise<boolean>;
  /** Gives the tensor `name` a second name. */
  alias?(name: string, other: string): void;
  close(): Promise<void>;
}

/** An open safetensors file whose header was checked. Close it after use. */
export class SafetensorsFile implements TensorFile {
  readonly path: string;
  /** By tensor name. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly #entries: Map<string, TensorEntry>;
  readonly #file: ByteSource;

  private constructor(path: string, entries: Map<string, TensorEntry>, file: ByteSource) {
    this.path = path;
    this.entries = entries;
    this.#entries = entries;
    this.#file = file;
  }

  /** Opens a file and checks its header. Throws CheckpointError for a file that is missing, damaged or hostile. */
  static async open(folder: Folder, name: string): Promise<SafetensorsFile> {
    requireLittleEndian();
    const path = folder.pathOf(name);
    return openedFile(folder, name, async (file) => new SafetensorsFile(path, await readHeader(file, path), file));
  }

  /** Gives the tensor `name` a second name. */
  alias(name: string, other: string): void {
    this.#entries.set(other, { ...this.#entry(name), name: other });
  }

  /** Reads a tensor's elements, as f32, into `destination`, which has exactly as many. Throws CheckpointError. */
  async readInto(name: string, destination: Float32Array): Promise<void> {
    const elements = elementCount(this.#entry(name).shape);
    if (destination.length !== elements) {
      throw new CheckpointError(
        `${this.path}: ${name} has ${elements} elements, the destination ${destination.length}.`,
      );
    }
    await this.readElements(name, 0, destination);
  }

  /** As `readInto`, for as many elements as `destination` has from the element `first` on, in row-major order. */
  async readElements(name: string, first: number, destination: Float32Array): Promise<void> {
    const entry = this.#entry(name);
    const elements = elementCount(entry.shape);
    if (first < 0 || first + destination.length > elements) {
      const range = `${first} … ${first + destination.length}`;
      throw new CheckpointError(`${this.path}: ${name} has ${elements} elements; ${range} are not among them.`);
    }
    if (!isReadDtype(entry.dtype)) {
      throw new CheckpointError(`${this.path}: ${name} has dtype ${JSON.stringify(entry.dtype)}. ${CONVERT_ADVICE}`);
    }
    if (entry.dtype === "F32") {
      const bytes = new Uint8Array(destination.buffer, destination.byteOffset, destination.byteLength);
      await readFully(this.#file, bytes, entry.byteOffset + first * 4, endsEarly(this.path));
      return;
    }
    const { buffer, widen } = CONVERSIONS[entry.dtype];
    const chunk = buffer(Math.min(CHUNK_BYTES / 8, destination.length));
    for (let done = 0; done < destination.length; done += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, destination.length - done));
      const bytes = new Uint8Array(part.buffer, 0, part.byteLength);
      await readFully(
        this.#file,
        bytes,
        entry.byteOffset + (first + done) * part.BYTES_PER_ELEMENT,
        endsEarly(this.path),
      );
      widen(part, destination.subarray(done, done + part.length));
    }
  }

  /** Reads a tensor's bytes from the byte `first` on, whatever its dtype; as many as `destination` has. */
  async readBytes(name: string, first: number, destination: Uint8Array): Promise<void> {
    const { byteOffset, sizeBytes } = this.#entry(name);
    if (first < 0 || first + destination.length > sizeBytes) {
      throw new CheckpointError(`${this.path}: ${name} has ${sizeBytes} bytes; more than those are asked for.`);
    }
    await readFully(this.#file, destination, byteOffset + first, endsEarly(this.path));
  }

  #entry(name: string): TensorEntry {
    const entry = this.entries.get(name);
    if (entry === undefined) throw new CheckpointError(`${this.path} has no tensor ${JSON.stringify(name)}.`);
    return entry;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** How numbers of other formats become f32: what they are read into, and what changes them. */
interface Conversion {
  readonly buffer: (elements: number) => Uint16Array | Float64Array;
  readonly widen: (from: Uint16Array | Float64Array, to: Float32Array) => void;
}

const halves = (elements: number) => new Uint16Array(elements);

const CONVERSIONS: Readonly<Record<Exclude<ReadDtype, "F32">, Conversion>> = {
  BF16: { buffer: halves, widen: (from, to) => fromBfloat16(from as Uint16Array, to) },
  F16: { buffer: halves, widen: (from, to) => fromFloat16(from as Uint16Array, to) },
  F64: { buffer: (elements) => new Float64Array(elements), widen: (from, to) => to.set(from) },
};

/** One tensor to write: f32 in row-major order, or what makes it when its turn comes. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | (() => Float32Array | Promise<Float32Array>);
}

/** One tensor in memory. */
export interface TensorData extends TensorSource {
  readonly data: Float32Array;
}

/**
 * Writes a safetensors file. `metadata` goes into the header; `{ format: "pt" }` is what
 * transformers expects. Throws CheckpointError for tensors of the same name, of another size than their shape, or, in
 * float16, with numbers beyond its range.
 */
export async function writeSafetensors(
  folder: Folder,
  fileName: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
  dtype: FloatDtype = "F32",
): Promise<void> {
  requireLittleEndian();
  const header = new Map<string, unknown>([["__metadata__", metadata]]);
  let offset = 0;
  for (const { name, shape, data } of tensors) {
    if (header.has(name))
      throw new CheckpointError(`Two tensors are named ${JSON.stringify(name)}; names must differ.`);
    if (typeof data !== "function") requireElements(name, shape, data);
    const end = offset + elementCount(shape) * DTYPE_BYTES[dtype];
    header.set(name, { dtype, shape, data_offsets: [offset, end] });
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  // Padded with spaces so that the data begin at a multiple of eight and can be memory-mapped.
  const headerBytes = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(SPACE);
  new DataView(headerBytes.buffer).setBigUint64(0, BigInt(headerBytes.length - 8), true);
  headerBytes.set(json, 8);
  await folder.write(fileName, async (file) => {
    await file.write(headerBytes);
    for (const { name, shape, data: source } of tensors) {
      const data = typeof source === "function" ? await source() : source;
      requireElements(name, shape, data);
      if (dtype === "F32") await file.write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      else await writeHalves(file, name, data, dtype);
    }
  });
}

function requireElements(name: string, shape: readonly number[], data: Float32Array): void {
  if (elementCount(shape) === data.length) return;
  throw new CheckpointError(`${name}: shape [${shape.join(", ")}] does not have ${data.length} elements.`);
}

/** From here on binary16 rounds to infinity. */
const FLOAT16_LIMIT = 65_520;

async function writeHalves(file: ByteSink, name: string, data: Float32Array, dtype: "F16" | "BF16"): Promise<void> {
  const chunk = new Uint16Array(Math.min(CHUNK_BYTES / 2, data.length));
  for (let done = 0; done < data.length; done += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, data.length - done));
    const from = data.subarray(done, done + part.length);
    const large = dtype === "F16" ? from.find((value) => Math.abs(value) >= FLOAT16_LIMIT) : undefined;
    if (large !== undefined) {
      throw new CheckpointError(
        `${name} has the value ${large}, and float16 ends at 65504. Write the model as bfloat16 or float32.`,
      );
    }
    if (dtype === "F16") toFloat16(from, part);
    else toBfloat16(from, part);
    await file.write(new Uint8Array(part.buffer, 0, part.byteLength));
  }
}

async function readHeader(file: ByteSource, path: string): Promise<Map<string, TensorEntry>> {
  const fileBytes = file.sizeBytes;
  const beginning = new Uint8Array(Math.min(LFS_POINTER_BYTES, fileBytes));
  await readFully(file, beginning, 0, endsEarly(path));
  if (isLfsPointer(beginning)) throw new CheckpointError(lfsPointerMessage(path));
  if (fileBytes < 8) throw damaged(path, `it has ${fileBytes} bytes, less than the 8 of a header's length`);
  const lengthBytes = new Uint8Array(8);
  await readFully(file, lengthBytes, 0, endsEarly(path));
  const headerBytes = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES) throw damaged(path, `its header claims ${headerBytes} bytes`);
  if (headerBytes > fileBytes - 8) {
    throw damaged(path, `its header claims ${headerBytes} bytes, the file has ${fileBytes}`);
  }
  const bytes = new Uint8Array(headerBytes);
  await readFully(file, bytes, 8, endsEarly(path));
  return parseHeader(bytes, fileBytes - 8 - headerBytes, 8 + headerBytes, path);
}

function parseHeader(bytes: Uint8Array, dataBytes: number, dataStart: number, path: string): Map<string, TensorEntry> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw damaged(path, "its header is not JSON");
  }
  if (!isRecord(header)) throw damaged(path, "its header is not a JSON object");
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") entries.push(parseEntry(name, value, dataBytes, dataStart, path));
  }
  // Sorted by place, each tensor must begin where the one before it ends: no overlap, no gap, nothing after the last.
  const byPlace = [...entries].sort((a, b) => a.byteOffset - b.byteOffset || a.sizeBytes - b.sizeBytes);
  let end = dataStart;
  for (const { name, byteOffset, sizeBytes } of byPlace) {
    if (byteOffset < end) throw damaged(path, `tensor ${JSON.stringify(name)} overlaps another one`);
    if (byteOffset > end) throw damaged(path, `there is a gap before tensor ${JSON.stringify(name)}`);
    end = byteOffset + sizeBytes;
  }
  if (end !== dataStart + dataBytes) {
    throw damaged(path, `its tensors end ${dataStart + dataBytes - end} bytes before the file does`);
  }
  return new Map(entries.map((entry) => [entry.name, entry]));
}

function parseEntry(name: string, value: unknown, dataBytes: number, dataStart: number, path: string): TensorEntry {
  const here = `tensor ${JSON.stringify(name.slice(0, 200))}`;
  if (!isRecord(value)) throw damaged(path, `${here} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(STORED_BITS, dtype)) {
    throw new CheckpointError(
      `${path}: ${here} has dtype ${JSON.stringify(dtype)}, which the format does not have. ${CONVERT_ADVICE}`,
    );
  }
  if (!isCountList(shape)) throw damaged(path, `${here} has no valid shape`);
  if (!isCountList(offsets) || offsets.length !== 2) throw damaged(path, `${here} has no valid data_offsets`);
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > dataBytes) throw damaged(path, `${here} lies at ${begin} … ${end} of ${dataBytes} bytes`);
  const sizeBytes = (elementCount(shape) * STORED_BITS[dtype as StoredDtype]) / 8;
  if (sizeBytes !== end - begin) {
    throw damaged(path, `${here}: ${dtype} [${shape.join(", ")}] needs ${sizeBytes} bytes, it has ${end - begin}`);
  }
  return { name, dtype: dtype as StoredDtype, shape, byteOffset: dataStart + begin, sizeBytes };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

function damaged(path: string, what: string): CheckpointError {
  return new CheckpointError(`${path} is not a sound safetensors file: ${what}. Fetch or save it again.`);
}

/** What `readFully` throws where a file ends too early. */
const endsEarly = (path: string) => () => damaged(path, "it ends too early");

/** The format is little-endian, and bytes are used as they are; no big-endian machine runs ONNX Runtime either. */
function requireLittleEndian(): void {
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1)
    throw new CheckpointError("Checkpoints can only be read and written on little-endian machines.");
}
