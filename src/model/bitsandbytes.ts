/**
 * Checkpoints whose matrices bitsandbytes has packed in 4 bits (NF4; QLoRA, arXiv:2305.14314), as transformers saves them:
 * in place of the matrix `W` its codes, two a byte, and beside them
 *
 *     W.absmax                            one scale for each block of the flattened matrix, f32; with double quantization u8
 *     W.nested_absmax, W.nested_quant_map with double quantization: scale = map[code] · nested_absmax of its block + offset
 *     W.quant_map                         the 16 levels, which bitsandbytes has built in
 *     W.quant_state.bitsandbytes__nf4     the shape, the dtype and the sizes of blocks, as the bytes of a JSON object
 *
 * An element is level · scale, rounded to the dtype that the matrix had before: the numbers that bitsandbytes' own
 * `dequantize_4bit` gives. An engine that holds matrices in NF4 takes codes and scales as they are, where blocks have its
 * size; there level · scale is not rounded.
 *
 * Files may come from anywhere: sizes are compared with each other before anything of their size is allocated.
 */

import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../float-formats.ts";
import { NF4_BLOCK_SIZE } from "../graph/ops/quantized.ts";
import { parseJson } from "../json-text.ts";
import { elementCount } from "./parameters.ts";
import { NF4_LEVELS, type Nf4Values } from "./quantization.ts";
import type { ReadDtype, SafetensorsFile, TensorEntry, TensorFile } from "./safetensors.ts";

const STATE = ".quant_state.bitsandbytes__";
const COMPANIONS = ["absmax", "quant_map", "nested_absmax", "nested_quant_map"] as const;
type Companion = (typeof COMPANIONS)[number];
const MAX_STATE_BYTES = 2 ** 16;
/** Codes that are read at a time: 1 MiB. */
const PIECE_BYTES = 2 ** 20;

/** Sizes of blocks that bitsandbytes has. */
const blockSize = z.union([32, 64, 128, 256, 512, 1024, 2048, 4096].map((size) => z.literal(size)));
const stateSchema = z.looseObject({
  quant_type: z.string(),
  blocksize: blockSize,
  dtype: z.enum(["float32", "float16", "bfloat16"]),
  shape: z
    .array(
      z
        .int()
        .min(1)
        .max(2 ** 31),
    )
    .min(1)
    .max(2),
  nested_blocksize: blockSize.optional(),
  nested_dtype: z.literal("float32").optional(),
  nested_offset: z.number().optional(),
});
type State = z.infer<typeof stateSchema>;

const DTYPES = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const satisfies Record<string, ReadDtype>;

/** What is asked of `quantization_config` in a `config.json`. */
const configSchema = z.looseObject({
  quant_method: z.string().optional(),
  load_in_4bit: z.boolean().optional(),
  load_in_8bit: z.boolean().optional(),
  bnb_4bit_quant_type: z.string().default("fp4"),
});

/** Refuses a `quantization_config` whose weights are not read. Throws CheckpointError, naming the key. */
export function checkQuantizationConfig(value: unknown, where: string): void {
  if (value === undefined || value === null) return;
  const parsed = configSchema.safeParse(value);
  const refuse = (key: string, found: unknown): CheckpointError =>
    new CheckpointError(
      `${where}: quantization_config${key} = ${String(JSON.stringify(found)).slice(0, 80)} is not supported. Supported is bitsandbytes ` +
        'in 4 bits: quant_method "bitsandbytes", load_in_4bit true, bnb_4bit_quant_type "nf4". Take the model without ' +
        "quantization; model.quantization packs it as it is loaded.",
    );
  if (!parsed.success) throw refuse("", value);
  const { quant_method, load_in_4bit, load_in_8bit, bnb_4bit_quant_type } = parsed.data;
  if (quant_method !== undefined && quant_method !== "bitsandbytes") throw refuse(".quant_method", quant_method);
  if (load_in_8bit === true) throw refuse(".load_in_8bit", true);
  if (load_in_4bit !== true) throw refuse(".load_in_4bit", load_in_4bit ?? null);
  if (bnb_4bit_quant_type !== "nf4") throw refuse(".bnb_4bit_quant_type", bnb_4bit_quant_type);
}

/**
 * Puts the matrices that bitsandbytes has packed in the place of their codes in `fileOf`, and takes their companions out.
 * Throws CheckpointError for states that are damaged, or another packing.
 */
export async function unpackBitsandbytes(
  fileOf: Map<string, TensorFile>,
  files: readonly SafetensorsFile[],
): Promise<void> {
  const rawOf = new Map(files.flatMap((file) => [...file.entries.keys()].map((name) => [name, file] as const)));
  for (const [name, file] of rawOf) {
    const at = name.indexOf(STATE);
    if (at < 0) continue;
    const matrix = name.slice(0, at);
    const part = (tensor: string): Part | undefined => {
      const own = rawOf.get(tensor);
      return own && { file: own, entry: own.entries.get(tensor)! };
    };
    const companions = new Map(COMPANIONS.map((key) => [key, part(`${matrix}.${key}`)]));
    fileOf.set(
      matrix,
      await Nf4Tensor.open(matrix, part(matrix), { file, entry: file.entries.get(name)! }, companions),
    );
    for (const key of COMPANIONS) fileOf.delete(`${matrix}.${key}`);
    fileOf.delete(name);
  }
}

/** One tensor of a file. */
interface Part {
  readonly file: SafetensorsFile;
  readonly entry: TensorEntry;
}

/** A packed matrix as a file of one tensor, which has the matrix's shape and former dtype. */
class Nf4Tensor implements TensorFile {
  readonly path: string;
  readonly entries: Map<string, TensorEntry>;
  readonly #codes: Part;
  readonly #companions: ReadonlyMap<Companion, Part | undefined>;
  readonly #state: State;
  /** Of every block, once they have been read. */
  #scales: Float32Array | undefined;

  private constructor(codes: Part, companions: ReadonlyMap<Companion, Part | undefined>, state: State) {
    const { name, byteOffset } = codes.entry;
    const present = [...companions.values()].filter((one) => one !== undefined);
    const sizeBytes = [codes, ...present].reduce((sum, { entry }) => sum + entry.sizeBytes, 0);
    const entry = { name, dtype: DTYPES[state.dtype], shape: state.shape, byteOffset, sizeBytes, packedAs: "NF4" };
    this.path = codes.file.path;
    this.entries = new Map([[name, entry]]);
    this.#codes = codes;
    this.#companions = companions;
    this.#state = state;
  }

  static async open(
    name: string,
    codes: Part | undefined,
    state: Part,
    companions: ReadonlyMap<Companion, Part | undefined>,
  ): Promise<Nf4Tensor> {
    const where = `${state.file.path}: ${state.entry.name}`;
    const refuse = (why: string): never => {
      throw new CheckpointError(`${where}: ${why}.`);
    };
    if (state.entry.dtype !== "U8" || state.entry.sizeBytes > MAX_STATE_BYTES) {
      refuse(
        `is ${state.entry.sizeBytes} bytes of ${state.entry.dtype}; expected at most ${MAX_STATE_BYTES} bytes of U8`,
      );
    }
    if (!state.entry.name.endsWith(`${STATE}nf4`)) refuse("is of another packing than nf4, the only one that is read");
    const bytes = new Uint8Array(state.entry.sizeBytes);
    await state.file.readBytes(state.entry.name, 0, bytes);
    const parsed = stateSchema.safeParse(parseJson(new TextDecoder().decode(bytes), where, CheckpointError));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      return refuse(`is no quantization state: ${issue!.path.join(".") || "the top"}: ${issue!.message}`);
    }
    const { quant_type, shape, blocksize, nested_blocksize, nested_offset } = parsed.data;
    if (quant_type !== "nf4") refuse(`quant_type is ${JSON.stringify(quant_type)}; only "nf4" is read`);
    const elements = elementCount(shape);
    const blocks = Math.ceil(elements / blocksize);
    const present = companions;
    const require = (key: Companion, dtype: "U8" | "F32", count: number) => {
      const found = present.get(key)?.entry;
      if (found === undefined) return refuse(`${name}.${key} is missing`);
      if (found.dtype === dtype && elementCount(found.shape) === count) return;
      refuse(
        `${name}.${key} has ${elementCount(found.shape)} numbers of ${found.dtype}; expected ${count} of ${dtype}`,
      );
    };
    if (codes === undefined) return refuse(`${name} is missing`);
    const wanted = Math.ceil(elements / 2);
    if (codes.entry.sizeBytes !== wanted) {
      refuse(`${name} has ${codes.entry.sizeBytes} bytes; expected ${wanted} for the shape [${shape.join(", ")}]`);
    }
    require("quant_map", "F32", NF4_LEVELS.length);
    const isNested = present.get("nested_absmax") !== undefined || present.get("absmax")?.entry.dtype === "U8";
    require("absmax", isNested ? "U8" : "F32", blocks);
    if (isNested) {
      if (nested_blocksize === undefined || nested_offset === undefined) {
        return refuse("has no nested_blocksize or no nested_offset, and its scales are quantized");
      }
      require("nested_absmax", "F32", Math.ceil(blocks / nested_blocksize));
      require("nested_quant_map", "F32", 256);
    }
    const levels = await numbersOf(present.get("quant_map")!);
    const strange = levels.findIndex((level, code) => !(Math.abs(level - NF4_LEVELS[code]!) < 1e-6));
    if (strange >= 0)
      refuse(`${name}.quant_map has ${levels[strange]} for code ${strange}, not ${NF4_LEVELS[strange]}`);
    return new Nf4Tensor(codes, present, parsed.data);
  }

  async readInto(name: string, destination: Float32Array): Promise<void> {
    const elements = elementCount(this.#state.shape);
    if (destination.length !== elements) {
      throw new CheckpointError(
        `${this.path}: ${name} has ${elements} elements, the destination ${destination.length}.`,
      );
    }
    await this.readElements(name, 0, destination);
  }

  async readElements(name: string, first: number, destination: Float32Array): Promise<void> {
    const elements = elementCount(this.#state.shape);
    if (first < 0 || first + destination.length > elements) {
      const range = `${first} … ${first + destination.length}`;
      throw new CheckpointError(`${this.path}: ${name} has ${elements} elements; ${range} are not among them.`);
    }
    const { blocksize, dtype } = this.#state;
    const scales = await this.#readScales();
    const bytes = new Uint8Array(Math.min(PIECE_BYTES, Math.ceil(destination.length / 2) + 1));
    for (let done = 0; done < destination.length; ) {
      // From a whole byte on; the element before it, if any, is passed over.
      const begin = Math.floor((first + done) / 2);
      const end = Math.min(Math.ceil((first + destination.length) / 2), begin + bytes.length);
      const part = bytes.subarray(0, end - begin);
      await this.#codes.file.readBytes(name, begin, part);
      const stop = Math.min(destination.length, end * 2 - first);
      for (; done < stop; done++) {
        const element = first + done;
        const byte = part[(element >> 1) - begin]!;
        const code = (element & 1) === 0 ? byte >> 4 : byte & 15;
        destination[done] = NF4_LEVELS[code]! * scales[Math.floor(element / blocksize)]!;
      }
    }
    roundTo(dtype, destination);
  }

  async readNf4(name: string, { codes, scales }: Nf4Values): Promise<boolean> {
    if (this.#state.blocksize !== NF4_BLOCK_SIZE) return false;
    await this.#codes.file.readBytes(name, 0, codes);
    scales.set(await this.#readScales());
    return true;
  }

  /** The scale of every block, f32. */
  async #readScales(): Promise<Float32Array> {
    if (this.#scales) return this.#scales;
    const absmax = this.#companions.get("absmax")!;
    const { nested_blocksize: nestedSize, nested_offset: offset = 0 } = this.#state;
    if (absmax.entry.dtype === "F32" || nestedSize === undefined) {
      this.#scales = await numbersOf(absmax);
    } else {
      const codes = new Uint8Array(absmax.entry.sizeBytes);
      await absmax.file.readBytes(absmax.entry.name, 0, codes);
      const outer = await numbersOf(this.#companions.get("nested_absmax")!);
      const map = await numbersOf(this.#companions.get("nested_quant_map")!);
      this.#scales = Float32Array.from(
        codes,
        (code, block) => Math.fround(map[code]! * outer[Math.floor(block / nestedSize)]!) + Math.fround(offset),
      );
    }
    if (this.#scales.every(Number.isFinite)) return this.#scales;
    throw new CheckpointError(`${absmax.file.path}: ${absmax.entry.name} has scales that are not finite.`);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

async function numbersOf({ file, entry }: Part): Promise<Float32Array> {
  const values = new Float32Array(elementCount(entry.shape));
  await file.readInto(entry.name, values);
  return values;
}

/** Rounds to the nearest number of the dtype, in place. */
function roundTo(dtype: State["dtype"], values: Float32Array): void {
  if (dtype === "float32") return;
  const halves = new Uint16Array(values.length);
  if (dtype === "bfloat16") {
    toBfloat16(values, halves);
    fromBfloat16(halves, values);
  } else {
    toFloat16(values, halves);
    fromFloat16(halves, values);
  }
}
