/**
 * The binary messages of the Tinker protocol (package tinker_public of the official SDK, 0.38): requests to train, and the
 * results of training and sampling. Everything else is JSON (`requests.ts`). Field numbers are the SDK's; those from 1000 on
 * are Aha's own, which other programs pass over (`aha-extension.ts`).
 */

import {
  bool,
  double,
  int32,
  int64,
  int64s,
  type MessageOf,
  map,
  message,
  optional,
  optionalBytes,
  optionalDouble,
  optionalString,
  repeated,
  string,
  WireError,
  within,
} from "./protobuf.ts";

/** Types of a tensor's elements. */
export const DTYPE = { float32: 1, int64: 2, int32: 3, bfloat16: 4 } as const;

/** Why a sequence ended. */
export const STOP_REASON = { stop: 0, length: 1 } as const;

const SPARSE_CSR = message("SparseCsr", {
  values: optionalBytes(1),
  crowIndices: optionalBytes(2),
  colIndices: optionalBytes(3),
});

const TENSOR = message("Tensor", {
  dense: optionalBytes(1),
  sparseCsr: optional(2, SPARSE_CSR),
  dtype: int32(3),
  shape: int64s(4),
});

const ENCODED_TEXT = message("EncodedText", { tokens: optionalBytes(1) });
const IMAGE = message("Image", { data: optionalBytes(1), format: string(2), expectedTokens: int32(3) });
const DMEL = message("Dmel", { dmel: optionalBytes(1) });

const CHUNK = message("Chunk", {
  encodedText: optional(1, ENCODED_TEXT),
  image: optional(2, IMAGE),
  dmel: optional(3, DMEL),
});

const SPAN = message("ProvenanceSpan.Span", { sequenceId: string(1), offset: int64(2), length: int64(3) });
const PROVENANCE_SPAN = message("ProvenanceSpan", {
  promptTokens: optional(1, SPAN),
  sampledTokens: optional(2, SPAN),
});

const DATUM = message("Datum", {
  modelInput: repeated(1, CHUNK),
  lossFnInputs: map(2, within(TENSOR)),
  modelInputSpans: repeated(3, PROVENANCE_SPAN),
  lossFnInputSpans: repeated(4, PROVENANCE_SPAN),
});

const LOSS_CONFIG_VALUE = message("LossConfigValue", { number: optionalDouble(1), text: optionalString(2) });

/** A request to compute a loss, with its gradient or without. */
export const FORWARD_BACKWARD_REQUEST = message("ForwardBackwardRequest", {
  modelId: string(1),
  seqId: int32(2),
  data: repeated(3, DATUM),
  lossFn: string(4),
  lossFnConfig: map(5, double),
  forwardOnly: bool(6),
  lossFnConfigV2: map(7, within(LOSS_CONFIG_VALUE)),
});

/** The same without its data: whose it is can be said of a request that is refused for them. */
export const FORWARD_BACKWARD_ADDRESS = message("ForwardBackwardRequest", { modelId: string(1), seqId: int32(2) });

const BATCHED_TENSOR = message("BatchedTensor", {
  data: optionalBytes(1),
  /** Where in `data` each datum begins, in bytes; one more than there are data. */
  offsets: optionalBytes(2),
  dtype: int32(3),
  trailingShape: int64s(4),
});

const ARRAY_RECORD = message("ArrayRecord", {
  typeTag: string(1),
  fields: map(2, within(BATCHED_TENSOR)),
  numDatums: int64(3),
});

/** What a loss came to. */
export const FORWARD_BACKWARD_OUTPUT = message("ForwardBackwardOutput", {
  lossFnOutputType: string(1),
  lossFnOutputs: repeated(2, ARRAY_RECORD),
  metrics: map(3, double),
});

const TOPK_LOGPROBS = message("TopkLogprobs", {
  tokenIds: optionalBytes(1),
  logprobs: optionalBytes(2),
  k: int32(3),
  length: int32(4),
});

const SAMPLED_SEQUENCE = message("SampledSequence", {
  stopReason: int32(1),
  tokens: optionalBytes(2),
  logprobs: optionalBytes(3),
  topkSampledLogprobs: optional(4, TOPK_LOGPROBS),
  /** Aha's: the tokens that each one was drawn from, int32, one set after another. */
  keptTokens: optionalBytes(1000),
  /** Aha's: how many each set has, int32. */
  keptCounts: optionalBytes(1001),
});

/** What a request to sample came to. */
export const SAMPLE_RESPONSE = message("SampleResponse", {
  sequences: repeated(1, SAMPLED_SEQUENCE),
  promptLogprobs: optionalBytes(2),
  topkPromptLogprobs: optional(3, TOPK_LOGPROBS),
  promptCacheHitTokens: int32(4),
  targetPromptLogprobs: optional(5, TENSOR),
});

export type WireTensor = MessageOf<typeof TENSOR>;
export type WireChunk = MessageOf<typeof CHUNK>;
export type WireDatum = MessageOf<typeof DATUM>;
export type WireForwardBackwardRequest = MessageOf<typeof FORWARD_BACKWARD_REQUEST>;
export type WireForwardBackwardOutput = MessageOf<typeof FORWARD_BACKWARD_OUTPUT>;
export type WireTopk = MessageOf<typeof TOPK_LOGPROBS>;
export type WireSequence = MessageOf<typeof SAMPLED_SEQUENCE>;
export type WireSampleResponse = MessageOf<typeof SAMPLE_RESPONSE>;

/** Most elements that a sparse tensor may stand for. */
const MOST_DENSE = 2 ** 27;

/** Bytes of numbers. */
export function bytesOf(values: Int32Array | Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function numbersIn<T>(
  bytes: Uint8Array | undefined,
  size: number,
  what: string,
  view: (buffer: ArrayBuffer, offset: number, length: number) => T,
): T {
  const own = bytes ?? new Uint8Array(0);
  if (own.length % size !== 0) throw new WireError(`${what} has ${own.length} bytes, no multiple of ${size}.`);
  const aligned = own.byteOffset % size === 0 ? own : new Uint8Array(own);
  return view(aligned.buffer as ArrayBuffer, aligned.byteOffset, own.length / size);
}

/** The int32 numbers in bytes; none in absent ones. */
export function int32sIn(bytes: Uint8Array | undefined, what = "A list of int32"): Int32Array {
  return numbersIn(bytes, 4, what, (...place) => new Int32Array(...place));
}

/** The float32 numbers in bytes. */
export function floatsIn(bytes: Uint8Array | undefined, what = "A list of float32"): Float32Array {
  return numbersIn(bytes, 4, what, (...place) => new Float32Array(...place));
}

function int64sIn(bytes: Uint8Array | undefined, what: string): Float64Array {
  const values = numbersIn(bytes, 8, what, (...place) => new BigInt64Array(...place));
  return Float64Array.from(values, (value) => {
    if (!Number.isSafeInteger(Number(value))) throw new WireError(`${what} has ${value}, which is beyond 2^53.`);
    return Number(value);
  });
}

/** A dense tensor of float32. */
export function floatTensor(values: Float32Array, shape: readonly number[] = [values.length]): WireTensor {
  return { dense: bytesOf(values), sparseCsr: undefined, dtype: DTYPE.float32, shape };
}

/** A dense tensor of whole numbers. */
export function integerTensor(values: Int32Array, shape: readonly number[] = [values.length]): WireTensor {
  const wide = BigInt64Array.from(values, BigInt);
  return { dense: bytesOf(wide), sparseCsr: undefined, dtype: DTYPE.int64, shape };
}

/** A tensor's numbers, row by row, with its shape; a sparse one is filled up with zeros. Throws WireError. */
export function tensorNumbers(
  { dense, sparseCsr, dtype, shape }: WireTensor,
  what: string,
): { readonly values: Float32Array | Float64Array; readonly shape: readonly number[] } {
  const read = (bytes: Uint8Array | undefined): Float32Array | Float64Array => {
    switch (dtype) {
      case DTYPE.float32:
        return floatsIn(bytes, what);
      case DTYPE.int64:
        return int64sIn(bytes, what);
      case DTYPE.int32:
        return Float64Array.from(int32sIn(bytes, what));
      default:
        throw new WireError(`${what} has elements of the type ${dtype}; take float32 (1) or int64 (2).`);
    }
  };
  const count = shape.reduce((product, size) => product * size, 1);
  if (shape.some((size) => size < 0) || count > MOST_DENSE) {
    throw new WireError(`${what} has the shape [${shape.join(", ")}], which is negative or too large.`);
  }
  if (!sparseCsr) {
    const values = read(dense);
    if (shape.length > 0 && values.length !== count) {
      throw new WireError(`${what} has ${values.length} numbers and the shape [${shape.join(", ")}].`);
    }
    return { values, shape: shape.length > 0 ? shape : [values.length] };
  }
  if (shape.length !== 2) throw new WireError(`${what} is sparse and has ${shape.length} dimensions, not 2.`);
  const [rows, columns] = shape as [number, number];
  const own = read(sparseCsr.values);
  const starts = int64sIn(sparseCsr.crowIndices, what);
  const places = int64sIn(sparseCsr.colIndices, what);
  const isSound =
    starts.length === rows + 1 &&
    starts[0] === 0 &&
    starts[rows] === own.length &&
    places.length === own.length &&
    starts.every((start, row) => row === 0 || start >= starts[row - 1]!) &&
    places.every((place) => place >= 0 && place < columns);
  if (!isSound) throw new WireError(`${what} is no sparse matrix of ${rows} × ${columns}.`);
  const values = new Float64Array(count);
  for (let row = 0; row < rows; row++) {
    for (let i = starts[row]!; i < starts[row + 1]!; i++) values[row * columns + places[i]!] = own[i]!;
  }
  return { values, shape };
}

/** One array for each datum, as a field of a result. */
export function batchedFloats(rows: readonly Float32Array[]): MessageOf<typeof BATCHED_TENSOR> {
  const offsets = new BigInt64Array(rows.length + 1);
  const all = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let place = 0;
  for (const [i, row] of rows.entries()) {
    all.set(row, place);
    place += row.length;
    offsets[i + 1] = BigInt(4 * place);
  }
  return { data: bytesOf(all), offsets: bytesOf(offsets), dtype: DTYPE.float32, trailingShape: [] };
}

/** The arrays of a field of a result, one for each datum. Throws WireError. */
export function floatRows({ data, offsets, dtype }: MessageOf<typeof BATCHED_TENSOR>, what: string): Float32Array[] {
  if (dtype !== DTYPE.float32) throw new WireError(`${what} has elements of the type ${dtype}, not float32 (1).`);
  const all = data ?? new Uint8Array(0);
  const bounds = int64sIn(offsets, `The offsets of ${what}`);
  return Array.from(bounds.subarray(1), (end, i) => {
    const start = bounds[i]!;
    if (start < 0 || end < start || end > all.length) throw new WireError(`${what} has offsets beyond its bytes.`);
    return floatsIn(all.subarray(start, end), what).slice();
  });
}
