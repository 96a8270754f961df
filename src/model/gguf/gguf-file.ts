/**
 * A GGUF file, versions 2 and 3, opened for reading (github.com/ggml-org/ggml, docs/gguf.md): its metadata, its tensors by
 * name, and their numbers as f32.
 *
 * A file may come from anywhere: every count, length, size and offset is compared with the size of the file before it
 * is used and before memory is allocated for it. `format.ts` writes what is read here; the importer knows what keys and
 * tensors mean to a model.
 *
 * A reader of our own: `@huggingface/gguf` 0.4 answers a file that is cut off with a RangeError that names no place,
 * silently cuts strings at the end of its buffer, and depends on `@huggingface/tasks`.
 */

import { CheckpointError } from "../../errors.ts";
import { type ByteSource, type Folder, openedFile, readFully } from "../../folder.ts";
import { isLfsPointer, lfsPointerMessage } from "../../lfs-pointer.ts";
import { elementCount } from "../parameters.ts";
import { BLOCK_FORMATS, type BlockFormat, UNREAD_FORMATS } from "./block-formats.ts";
import { MetadataReader, type MetadataValue } from "./metadata-reader.ts";

const MAGIC = 0x46554747; // "GGUF"
const FIRST_PIECE_BYTES = 4 * 2 ** 20;
/** Metadata and the list of tensors; a vocabulary of 256,000 tokens with its merges takes about 15 MB. */
const MAX_HEADER_BYTES = 256 * 2 ** 20;
const MAX_DIMENSIONS = 4;
/** The fewest bytes that a key with its value, and an entry of the list of tensors, take. */
const LEAST_KEY_BYTES = 13;
const LEAST_TENSOR_BYTES = 32;
const DEFAULT_ALIGNMENT = 32;
/** How many bytes of a tensor are read at a time. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** One tensor of a file. */
export interface GgufEntry {
  readonly name: string;
  readonly format: BlockFormat;
  /** As everywhere in Aha, rows before columns; the file has them reversed. */
  readonly shape: readonly number[];
  /** Of its first byte, from the start of the file. */
  readonly byteOffset: number;
  readonly sizeBytes: number;
}

interface Header {
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, GgufEntry>;
}

/** An open GGUF file whose header was checked. Close it after use. */
export class GgufFile {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** By tensor name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufEntry>;
  readonly #file: ByteSource;

  private constructor(path: string, { metadata, tensors }: Header, file: ByteSource) {
    this.path = path;
    this.metadata = metadata;
    this.tensors = tensors;
    this.#file = file;
  }

  /** Opens a file and checks its header. Throws CheckpointError for a file that is missing, damaged or hostile. */
  static async open(folder: Folder, name: string): Promise<GgufFile> {
    const path = folder.pathOf(name);
    return openedFile(folder, name, async (file) => new GgufFile(path, await readHeader(file, path), file));
  }

  /**
   * Numbers of a tensor as f32, in row-major order: as many as `to` has, from the element `first` on. Both are multiples
   * of the format's block. Throws CheckpointError for a tensor that is not there.
   */
  async readElements(name: string, first: number, to: Float32Array): Promise<void> {
    const entry = this.tensors.get(name);
    if (entry === undefined) throw new CheckpointError(`${this.path} has no tensor ${JSON.stringify(name)}.`);
    const { blockElements, blockBytes, decode } = entry.format;
    const outside = first < 0 || first + to.length > elementCount(entry.shape);
    if (outside || first % blockElements !== 0 || to.length % blockElements !== 0) {
      throw new RangeError(`${name}: elements ${first} … ${first + to.length} are no whole blocks of the tensor`);
    }
    const blocksAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / blockBytes));
    const chunk = new Uint8Array(Math.min(blocksAtOnce, to.length / blockElements) * blockBytes);
    const start = entry.byteOffset + (first / blockElements) * blockBytes;
    for (let done = 0; done < to.length / blockElements; done += blocksAtOnce) {
      const blocks = Math.min(blocksAtOnce, to.length / blockElements - done);
      const bytes = chunk.subarray(0, blocks * blockBytes);
      await readFully(this.#file, bytes, start + done * blockBytes, endsEarly(this.path));
      decode(bytes, to.subarray(done * blockElements, (done + blocks) * blockElements));
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Reads more of the file until its header fits. */
async function readHeader(file: ByteSource, path: string): Promise<Header> {
  const size = file.sizeBytes;
  for (let length = FIRST_PIECE_BYTES; ; length *= 4) {
    const bytes = new Uint8Array(Math.min(length, size, MAX_HEADER_BYTES));
    await readFully(file, bytes, 0, endsEarly(path));
    if (isLfsPointer(bytes)) throw new CheckpointError(lfsPointerMessage(path));
    const header = parseHeader(new MetadataReader(bytes, size, path), path, size);
    if (header !== undefined) return header;
    if (bytes.length === MAX_HEADER_BYTES) {
      throw new CheckpointError(
        `${path}: its header is longer than ${MAX_HEADER_BYTES / 2 ** 20} MiB, which is no model's.`,
      );
    }
  }
}

/** The header, or undefined where `reader` has only a part of it. */
function parseHeader(reader: MetadataReader, path: string, fileBytes: number): Header | undefined {
  const refuse = (reason: string): never => {
    throw new CheckpointError(`${path}: ${reason}`);
  };
  return reader.whole(() => {
    if (fileBytes < 24 || reader.uint32("the magic number") !== MAGIC) {
      refuse("it does not begin with GGUF, so it is no GGUF file (or one that is cut off).");
    }
    const version = reader.uint32("the version");
    if (version === 0x02000000 || version === 0x03000000) {
      refuse("it is written in big-endian order, for another kind of processor; take a little-endian file.");
    }
    if (version !== 2 && version !== 3)
      refuse(`GGUF version ${version} is not read, only 2 and 3: convert the model anew.`);
    const tensorCount = reader.count("the number of tensors", LEAST_TENSOR_BYTES);
    const keyCount = reader.count("the number of keys", LEAST_KEY_BYTES);
    const metadata = new Map<string, MetadataValue>();
    for (let i = 0; i < keyCount; i++) {
      const key = reader.string(`the name of key ${i}`);
      if (metadata.has(key)) refuse(`the key ${JSON.stringify(key)} is there twice.`);
      metadata.set(key, reader.value(key));
    }
    if (metadata.has("split.count") && metadata.get("split.count") !== 1) {
      refuse("it is one part of a model in several files; join them first (llama-gguf-split --merge).");
    }
    const listed = Array.from({ length: tensorCount }, (_, i) => readEntry(reader, i, refuse));
    const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
    if (typeof alignment !== "number" || alignment < 1 || alignment % 8 !== 0) {
      return refuse(`general.alignment is ${String(alignment)}; expected a multiple of 8.`);
    }
    const data = Math.ceil(reader.position / alignment) * alignment;
    return { metadata, tensors: placed(listed, { data, alignment, fileBytes, refuse }) };
  });
}

/** An entry of the list of tensors, its place still relative to the first tensor. */
function readEntry(reader: MetadataReader, index: number, refuse: (reason: string) => never): GgufEntry {
  const name = reader.string(`the name of tensor ${index}`);
  const what = `the tensor ${JSON.stringify(name)}`;
  const rank = reader.uint32(`the dimensions of ${what}`);
  if (rank > MAX_DIMENSIONS) refuse(`${what} has ${rank} dimensions; a tensor has at most ${MAX_DIMENSIONS}.`);
  const shape = Array.from({ length: rank }, () => reader.uint64(`the shape of ${what}`)).reverse();
  const type = reader.uint32(`the format of ${what}`);
  const byteOffset = reader.uint64(`the offset of ${what}`);
  const format = BLOCK_FORMATS.get(type);
  if (format === undefined) {
    const known = [...BLOCK_FORMATS.values()].map((one) => one.name).join(", ");
    return refuse(
      `${what} is in the format ${UNREAD_FORMATS.get(type) ?? `of number ${type}`}, which is not read. Read are ${known}: ` +
        "take another file of this model, or convert it (llama-quantize --allow-requantize FILE OUT Q8_0).",
    );
  }
  const elements = elementCount(shape);
  if (!Number.isSafeInteger(elements) || shape.includes(0)) {
    refuse(`${what} has the shape [${shape.join(", ")}], which no model's tensor has.`);
  }
  if ((shape.at(-1) ?? 1) % format.blockElements !== 0) {
    refuse(
      `${what} has rows of ${shape.at(-1)} numbers, which are no whole number of the ${format.blockElements} that a block ` +
        `of ${format.name} has.`,
    );
  }
  return { name, format, shape, byteOffset, sizeBytes: (elements / format.blockElements) * format.blockBytes };
}

/** The tensors at their places in the file, each within it and none over another. */
function placed(
  listed: readonly GgufEntry[],
  file: {
    readonly data: number;
    readonly alignment: number;
    readonly fileBytes: number;
    readonly refuse: (reason: string) => never;
  },
): ReadonlyMap<string, GgufEntry> {
  const { data, alignment, fileBytes, refuse } = file;
  const tensors = new Map<string, GgufEntry>();
  let last: GgufEntry | undefined;
  for (const relative of listed.toSorted((a, b) => a.byteOffset - b.byteOffset)) {
    const entry = { ...relative, byteOffset: data + relative.byteOffset };
    const what = `the tensor ${JSON.stringify(entry.name)}`;
    if (relative.byteOffset % alignment !== 0) {
      refuse(`${what} begins at byte ${relative.byteOffset} of the data, no multiple of ${alignment}.`);
    }
    if (entry.byteOffset + entry.sizeBytes > fileBytes) {
      refuse(
        `${what} reaches from byte ${entry.byteOffset} to ${entry.byteOffset + entry.sizeBytes}, but the file ends at ` +
          `${fileBytes}. It is cut off, or its sizes are wrong: fetch it again.`,
      );
    }
    if (last !== undefined && entry.byteOffset < last.byteOffset + last.sizeBytes) {
      refuse(`${what} lies over the tensor ${JSON.stringify(last.name)}.`);
    }
    last = entry;
  }
  for (const relative of listed) {
    if (tensors.has(relative.name)) refuse(`the tensor ${JSON.stringify(relative.name)} is there twice.`);
    tensors.set(relative.name, { ...relative, byteOffset: data + relative.byteOffset });
  }
  return tensors;
}

/** What `readFully` throws where a file, whose size was checked, ends too early. */
const endsEarly = (path: string) => () => new CheckpointError(`${path} became shorter while it was read.`);
