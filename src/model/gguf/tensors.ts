/**
 * A model's parameters as llama.cpp's tensors: their names, their number formats, and the two changes there are.
 *
 * RoPE turns pairs of a head's numbers. Hugging Face's layout pairs number i with number i + D/2, and so do llama.cpp's
 * qwen2 and qwen3; its `llama` architecture pairs 2i with 2i + 1, as Meta's own checkpoints do. There the rows of the
 * query and key projections (and their biases) are interleaved within each head: row 2i of the file is row i, row 2i + 1
 * is row i + D/2. Scores are sums over a head, so nothing else notices. Norms and biases stay f32: they are few, and
 * llama.cpp adds and multiplies them in f32. A tied head is not stored; llama.cpp then uses the embedding.
 *
 * Where norms multiply by 1 + w, the file has 1 + w, rounded to f32 as the model's own program rounds it.
 */

import { CheckpointError } from "../../errors.ts";
import type { OpenCheckpoint } from "../checkpoint.ts";
import { ggufArchitecture } from "../families/registry.ts";
import type { ModelConfig } from "../model-config.ts";
import { parameterKind } from "../parameter-kinds.ts";
import { elementCount, type ParameterSpec, parameterSpecs } from "../parameters.ts";
import type { GgufTensor } from "./format.ts";
import { encode, findUnrepresentable, Q8_0_BLOCK, type TensorFormat } from "./number-formats.ts";

/** What is read, converted and written at a time, in elements: 32 MiB of f32. */
const PIECE_ELEMENTS = 2 ** 23;

/** By the last part of a parameter's name; `blk.N.` comes before those of a layer. */
const NAMES: Readonly<Record<string, string>> = {
  embed: "token_embd.weight",
  attnNorm: "attn_norm.weight",
  attnPostNorm: "post_attention_norm.weight",
  q: "attn_q.weight",
  k: "attn_k.weight",
  v: "attn_v.weight",
  qBias: "attn_q.bias",
  kBias: "attn_k.bias",
  vBias: "attn_v.bias",
  qNorm: "attn_q_norm.weight",
  kNorm: "attn_k_norm.weight",
  attnOut: "attn_output.weight",
  attnOutBias: "attn_output.bias",
  mlpNorm: "ffn_norm.weight",
  mlpPostNorm: "post_ffw_norm.weight",
  gate: "ffn_gate.weight",
  up: "ffn_up.weight",
  mlpDown: "ffn_down.weight",
  gateBias: "ffn_gate.bias",
  upBias: "ffn_up.bias",
  mlpDownBias: "ffn_down.bias",
  finalNorm: "output_norm.weight",
  head: "output.weight",
};

/** llama.cpp's name for a parameter (`layers.3.q` → `blk.3.attn_q.weight`). */
export function ggufTensorName(parameter: string): string {
  const [, layer, part] = /^(?:layers\.(\d+)\.)?(\w+)$/.exec(parameter) ?? [];
  const name = NAMES[part ?? ""];
  if (name === undefined) throw new Error(`Unknown parameter ${parameter}: give its GGUF name in gguf/tensors.ts.`);
  return layer === undefined ? name : `blk.${layer}.${name}`;
}

/**
 * The format that a parameter is stored in where `wanted` is asked for: vectors are f32, and a matrix whose rows are no
 * whole number of q8_0 blocks is f16, as with llama.cpp's converter.
 */
function storedFormat(wanted: TensorFormat, shape: readonly number[]): TensorFormat {
  if (shape.length < 2) return "f32";
  return wanted === "q8_0" && shape.at(-1)! % Q8_0_BLOCK !== 0 ? "f16" : wanted;
}

/**
 * Every tensor of the model but those that follow from its config, in the order of its parameters. About
 * `pieceElements` numbers are in memory at a time, at least one row (or head). Throws CheckpointError for a model that
 * llama.cpp's architecture of this name does not cover.
 */
export function weightTensors(
  checkpoint: OpenCheckpoint,
  wanted: TensorFormat,
  pieceElements: number = PIECE_ELEMENTS,
): GgufTensor[] {
  requireKnownShape(checkpoint.config);
  return parameterSpecs(checkpoint.config).map((spec) => {
    const format = storedFormat(wanted, spec.shape);
    return {
      name: ggufTensorName(spec.name),
      shape: spec.shape,
      format,
      pieces: () => encodedPieces(checkpoint, spec, format, pieceElements),
    };
  });
}

/** llama.cpp compares a file with what its architecture of this name has, and knows no exceptions. */
function requireKnownShape(config: ModelConfig): void {
  const { attentionOutputBias, mlpBias, numHeads, headDim, hiddenSize } = config;
  const { name, hasBiases, sharesHiddenSize } = ggufArchitecture(config.architecture);
  const refuse = (what: string, known: string): never => {
    throw new CheckpointError(
      `This model cannot be written to GGUF: it has ${what}, and llama.cpp's ${name} ${known}.`,
    );
  };
  if (!hasBiases && (attentionOutputBias || mlpBias))
    refuse(mlpBias ? "mlp_bias" : "attention_bias", "has no such biases");
  if (sharesHiddenSize && numHeads * headDim !== hiddenSize) {
    refuse(
      `${numHeads} heads of ${headDim} for a width of ${hiddenSize}`,
      `wants num_attention_heads · head_dim = hidden_size`,
    );
  }
}

/** A tensor of numbers at hand, stored as f32. */
export function vectorTensor(name: string, values: Float32Array): GgufTensor {
  return {
    name,
    shape: [values.length],
    format: "f32",
    pieces: async function* () {
      yield encode("f32", values);
    },
  };
}

/** A parameter's bytes, whole rows (where they are interleaved: whole heads) at a time. */
async function* encodedPieces(
  { config, fileOf }: OpenCheckpoint,
  { name, shape, checkpointName }: ParameterSpec,
  format: TensorFormat,
  pieceElements: number,
): AsyncGenerator<Uint8Array> {
  const file = fileOf.get(checkpointName)!;
  const elements = elementCount(shape);
  const columns = shape.length < 2 ? 1 : shape.at(-1)!; // a bias has one number a row
  const interleaved = isInterleaved(config, name);
  const unit = columns * (interleaved ? config.headDim : 1);
  const length = unit * Math.max(1, Math.floor(pieceElements / unit));
  for (let first = 0; first < elements; first += length) {
    const values = new Float32Array(Math.min(length, elements - first));
    await file.readElements(checkpointName, first, values);
    const bad = findUnrepresentable(format, values);
    if (bad >= 0) {
      throw new CheckpointError(
        `${file.path}: element ${first + bad} of ${checkpointName} is ${values[bad]}, which ${format} cannot hold. ` +
          (Number.isFinite(values[bad]) ? "Export with --dtype bf16 or f32." : "The weights are damaged or diverged."),
      );
    }
    shiftNorm(config, name, values, 1);
    yield encode(format, interleaved ? interleaveHeads(values, config.headDim, columns) : values);
  }
}

/** Adds `shift` to the values of a norm, in place, in a model whose norms multiply by 1 + w. */
export function shiftNorm(config: ModelConfig, name: string, values: Float32Array, shift: 1 | -1): void {
  if (!config.offsetNorms || parameterKind(name) !== "norm") return;
  for (let i = 0; i < values.length; i++) values[i] = values[i]! + shift;
}

/** Whether a parameter makes what RoPE turns, in the architecture in which llama.cpp pairs neighbours. */
export function isInterleaved(config: ModelConfig, name: string): boolean {
  return ggufArchitecture(config.architecture).pairsNeighbours && /\.[qk](?:Bias)?$/.test(name);
}

/** Rows [heads · D, columns] with those of each head's halves taken in turn: 0, D/2, 1, D/2 + 1, … */
function interleaveHeads(values: Float32Array, headDim: number, columns: number): Float32Array {
  return movedRows(values, columns, (row) => [rowOfHalves(row, headDim), row]);
}

/** The inverse of `interleaveHeads`. */
export function separateHeads(values: Float32Array, headDim: number, columns: number): Float32Array {
  return movedRows(values, columns, (row) => [row, rowOfHalves(row, headDim)]);
}

/** Where the row `row` of interleaved heads is in heads of two halves. */
function rowOfHalves(row: number, headDim: number): number {
  const within = row % headDim;
  return row - within + (within % 2) * (headDim / 2) + Math.floor(within / 2);
}

/** The rows in another order: for each number of a row, which row goes where. */
function movedRows(
  values: Float32Array,
  columns: number,
  move: (row: number) => readonly [from: number, to: number],
): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < values.length / columns; row++) {
    const [from, to] = move(row);
    result.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
  }
  return result;
}
