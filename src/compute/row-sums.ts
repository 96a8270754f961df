/**
 * Sums of exponentials over blocks of the vocabulary, by a program: of rows of logits [B, V] at a temperature each the
 * largest logit and, for blocks of 128 tokens, Σ exp((z − largest) / temperature). 32 rows of 49,152 logits take a
 * hundredth of what a loop in JavaScript takes.
 */

import { sum } from "../graph/ops/broadcast.ts";
import { exponential, multiply, subtract } from "../graph/ops/elementwise.ts";
import { concat, split } from "../graph/ops/join.ts";
import { largest } from "../graph/ops/normalize.ts";
import { reshape } from "../graph/ops/shape.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import { CompiledPrograms } from "./compiled-programs.ts";
import type { Device, DeviceTensor } from "./device.ts";
import { type DrawRequest, type SumsOf, temperaturesOf } from "./draw-token.ts";
import { HostInput } from "./host-memory.ts";
import { BLOCK_TOKENS, type BlockSums } from "./logit-row.ts";
import { Scope } from "./scope.ts";

/** Inputs `logits` [B, V], `inverseTemperatures` [B, 1]; outputs `largest` [B, 1], `sums` [B, ⌈V/128⌉]. */
export function rowSumsGraph(vocabSize: number): { graph: Graph; outputs: Record<"largest" | "sums", Tensor> } {
  const graph = new Graph();
  const logits = graph.input("logits", "float32", ["B", vocabSize]);
  const inverseTemperatures = graph.input("inverseTemperatures", "float32", ["B", 1]);
  const top = largest(logits);
  const weights = exponential(multiply(subtract(logits, top), inverseTemperatures));
  const rest = vocabSize % BLOCK_TOKENS;
  const whole = vocabSize - rest;
  const [blocks, last] = rest === 0 ? [weights] : split(weights, 1, [whole, rest]);
  const sums = sum(reshape(blocks!, ["B", whole / BLOCK_TOKENS, BLOCK_TOKENS]), [2]);
  return { graph, outputs: { largest: top, sums: last ? concat([sums, sum(last, [1], true)], 1) : sums } };
}

/** The programs of a device, one for each size of vocabulary. */
export class RowSums {
  readonly #device: Device;
  readonly #programs: CompiledPrograms<number>;

  constructor(device: Device) {
    this.#device = device;
    this.#programs = new CompiledPrograms(device);
  }

  /** The sums of every row of logits [B, V], each at its own temperature. */
  async of(logits: DeviceTensor<"float32">, temperatures: readonly number[]): Promise<BlockSums[]> {
    const [rows, vocabSize] = logits.dims as readonly [number, number];
    const program = await this.#programs.get(vocabSize, () => rowSumsGraph(vocabSize));
    const scope = new Scope();
    try {
      const { data, tensor, upload } = scope.hold(new HostInput(this.#device, "float32", [rows, 1]));
      for (const [row, temperature] of temperatures.entries()) data[row] = 1 / temperature;
      upload();
      const feeds = new Map([
        ["logits", logits],
        ["inverseTemperatures", tensor],
      ]);
      const call = scope.hold(program.prepare(feeds));
      await call.run();
      const results = [call.results.get("largest")!, call.results.get("sums")!] as DeviceTensor<"float32">[];
      const [largest, sums] = (await this.#device.kernels.readAll(results)) as [Float32Array, Float32Array];
      const blocks = sums.length / rows;
      return Array.from({ length: rows }, (_, row) => {
        const own = sums.subarray(row * blocks, (row + 1) * blocks);
        let total = 0;
        for (let block = 0; block < blocks; block++) total += own[block]!;
        return { largest: largest[row]!, inverseTemperature: 1 / temperatures[row]!, sums: own, total };
      });
    } finally {
      scope.dispose();
    }
  }
}

/**
 * The sums of the rows that requests are for, at both temperatures of each. `logits` are rows from `firstRow` on; one that no
 * request reads has sums at temperature 1.
 */
export async function sumsFor(
  rowSums: RowSums,
  logits: DeviceTensor<"float32">,
  firstRow: number,
  requests: readonly DrawRequest[],
): Promise<SumsOf> {
  const [rows] = logits.dims as readonly [number, number];
  const ofDraws = new Array<number>(rows).fill(1);
  const ofLogprobs = new Array<number>(rows).fill(1);
  for (const request of requests) {
    const row = request.row - firstRow;
    [ofDraws[row], ofLogprobs[row]] = temperaturesOf(request);
  }
  const sums = await rowSums.of(logits, ofDraws);
  const isSame = ofDraws.every((temperature, row) => temperature === ofLogprobs[row]);
  const logprobSums = isSame ? sums : await rowSums.of(logits, ofLogprobs);
  return (request) => {
    const row = request.row - firstRow;
    const [temperature, logprobTemperature] = temperaturesOf(request);
    // Of several requests for one row the last one's temperatures have been summed up.
    if (temperature !== ofDraws[row] || logprobTemperature !== ofLogprobs[row]) return undefined;
    return [sums[row]!, logprobSums[row]!];
  };
}
