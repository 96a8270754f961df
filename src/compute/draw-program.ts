/**
 * Draws tokens where the logits are, for devices out of the host's reach: two numbers a sequence come back instead of a
 * vocabulary. It draws from the whole distribution, or the most probable token; what is more than that (top-k, top-p,
 * biases, alternatives) `draw-token.ts` does with logits that are read.
 *
 * The cumulative distribution is inverted in the order of token ids, like there, in two steps: which block of 128 tokens,
 * then which token of the block. Sums are f32, so a token may differ from one that was drawn in double precision where
 * the random number falls within a rounding of the border between two tokens.
 */

import { gatherRows } from "../graph/ops/index.ts";
import { largest } from "../graph/ops/normalize.ts";
import { Graph, type Operation, type Tensor } from "../graph/tensor.ts";
import { CompiledPrograms } from "./compiled-programs.ts";
import type { Device, DeviceTensor } from "./device.ts";
import type { Draw, DrawRequest } from "./draw-token.ts";
import { HostInput, read } from "./host-memory.ts";
import { BLOCK_TOKENS } from "./logit-row.ts";
import { Scope } from "./scope.ts";

const FLOAT32 = 1n;
const INT32 = 6n;

/** Whether the program draws what is asked for. */
export function drawsWhole({ options, excluded, topLogprobs, rules, logprobTemperature }: DrawRequest): boolean {
  const { temperature, topK, topP, minP = 0 } = options;
  const own = temperature === 0 ? 1 : temperature;
  const isWhole = topK === 0 && topP >= 1 && minP === 0 && excluded.length === 0 && rules === undefined;
  return isWhole && topLogprobs === 0 && (logprobTemperature ?? own) === own;
}

/**
 * Inputs `logits` [B, V]; for each of k draws `rows` (int64) [k], its row; `numbers` [k, 3]: the inverse temperature, the
 * random number, and 1 for the most probable token, else 0; `firstBlocks` (int32) [k, 1]: ⌈V/128⌉ times its place.
 * Output `draws` [k, 2]: the token, exact up to 2²⁴, and its log-probability.
 */
export function drawGraph(vocabSize: number): { graph: Graph; outputs: { draws: Tensor } } {
  const graph = new Graph();
  const rows = gatherRows(graph.input("logits", "float32", ["B", vocabSize]), graph.input("rows", "int64", ["k"]));
  const numbers = graph.input("numbers", "float32", ["k", 3]);
  const firstBlocks = graph.input("firstBlocks", "int32", ["k", 1]);
  const operands = [rows, largest(rows), numbers, firstBlocks];
  const [draws] = graph.apply(drawOperation(vocabSize), operands, [{ dtype: "float32", shape: ["k", 2] }]);
  return { graph, outputs: { draws: draws! } };
}

function drawOperation(vocabSize: number): Operation {
  const blocks = Math.ceil(vocabSize / BLOCK_TOKENS);
  const missing = blocks * BLOCK_TOKENS - vocabSize;
  return {
    name: "drawTokens",
    lower: (emit, [logits, top, numbers, firstBlocks]) => {
      const node = (type: string, ...inputs: string[]) => emit.node(type, inputs)[0]!;
      const constant = (value: number) => emit.constant(Float32Array.of(value), []);
      const integers = (...values: number[]) => emit.constant(BigInt64Array.from(values, BigInt), [values.length]);
      const cast = (x: string, to: bigint) => emit.node("Cast", [x], { attributes: { to } })[0]!;
      const total = (x: string, axis: number, keepdims: bigint) =>
        emit.node("ReduceSum", [x, integers(axis)], { attributes: { keepdims } })[0]!;
      const joined = (parts: string[], axis: bigint) => emit.node("Concat", parts, { attributes: { axis } })[0]!;
      const reshaped = (x: string, shape: Tensor["shape"]) =>
        emit.node("Reshape", [x, emit.shape(shape)], { attributes: { allowzero: 1n } })[0]!;
      /** How many of the sums along a row [k, n] are at most `bound`, the last one and its equals not counted. */
      const countUpTo = (weights: string, bound: string, n: number) => {
        const axis = emit.constant(BigInt64Array.of(1n), []);
        const sums = node("CumSum", weights, axis);
        const last = node("Slice", sums, integers(n - 1), integers(n), integers(1));
        const mask = node(
          "Mul",
          cast(node("LessOrEqual", sums, bound), FLOAT32),
          cast(node("Less", sums, last), FLOAT32),
        );
        return { mask, count: total(mask, 1, 1n) };
      };

      const [inverseTemperature, u, greedy] = emit.node("Split", [numbers!, integers(1, 1, 1)], {
        outputs: 3,
        attributes: { axis: 1n },
      }) as [string, string, string];
      const shifted = node("Mul", node("Sub", logits!, top!), inverseTemperature);
      const weights = node("Exp", shifted);
      const logTotal = node("Log", total(weights, 1, 1n));
      // Of a greedy draw only the largest weigh anything.
      const isTop = node("Mul", cast(node("GreaterOrEqual", logits!, top!), FLOAT32), greedy);
      const drawn = node("Add", node("Mul", weights, node("Sub", constant(1), greedy)), isTop);
      const padding = () => node("Expand", constant(0), emit.shape(["k", missing]));
      const whole = missing === 0 ? drawn : joined([drawn, padding()], 1n);
      const blockSums = total(reshaped(whole, ["k", blocks, BLOCK_TOKENS]), 2, 0n);
      const bound = node("Mul", u, total(blockSums, 1, 1n));
      const { mask, count: block } = countUpTo(blockSums, bound, blocks);
      // Not below 0: rounding must not end at a token of weight 0.
      const rest = node("Max", node("Sub", bound, total(node("Mul", blockSums, mask), 1, 1n)), constant(0));
      const place = reshaped(node("Add", cast(block, INT32), firstBlocks!), ["k"]);
      const own = emit.node("Gather", [reshaped(whole, [`${blocks}*k`, BLOCK_TOKENS]), place], {
        attributes: { axis: 0n },
      })[0]!;
      const { count: column } = countUpTo(own, rest, BLOCK_TOKENS);
      const token = node("Add", node("Mul", block, constant(BLOCK_TOKENS)), column);
      const logit = emit.node("GatherElements", [shifted, cast(token, INT32)], { attributes: { axis: 1n } })[0]!;
      return [joined([token, node("Sub", logit, logTotal)], 1n)];
    },
  };
}

/** The programs of a device, one for each size of vocabulary. */
export class DrawPrograms {
  readonly #device: Device;
  readonly #programs: CompiledPrograms<number>;

  constructor(device: Device) {
    this.#device = device;
    this.#programs = new CompiledPrograms(device);
  }

  /** A token for each request; all of them are such that `drawsWhole`. */
  async draw(logits: DeviceTensor<"float32">, requests: readonly DrawRequest[]): Promise<Draw[]> {
    const [, vocabSize] = logits.dims as readonly [number, number];
    const program = await this.#programs.get(vocabSize, () => drawGraph(vocabSize));
    const k = requests.length;
    const scope = new Scope();
    try {
      const rows = scope.hold(new HostInput(this.#device, "int64", [k]));
      const numbers = scope.hold(new HostInput(this.#device, "float32", [k, 3]));
      const firstBlocks = scope.hold(new HostInput(this.#device, "int32", [k, 1]));
      for (const [i, { row, u, options }] of requests.entries()) {
        const greedy = options.temperature === 0;
        rows.data[i] = BigInt(row);
        numbers.data.set([greedy ? 1 : 1 / options.temperature, greedy ? 0 : u, greedy ? 1 : 0], 3 * i);
        firstBlocks.data[i] = i * Math.ceil(vocabSize / BLOCK_TOKENS);
      }
      for (const input of [rows, numbers, firstBlocks]) input.upload();
      const feeds = new Map<string, DeviceTensor>([
        ["logits", logits],
        ["rows", rows.tensor],
        ["numbers", numbers.tensor],
        ["firstBlocks", firstBlocks.tensor],
      ]);
      const call = scope.hold(program.prepare(feeds));
      await call.run();
      const draws = await read(this.#device, call.results.get("draws") as DeviceTensor<"float32">);
      return requests.map((_, i) => ({ token: draws[2 * i]!, logprob: draws[2 * i + 1]! }));
    } finally {
      scope.dispose();
    }
  }
}
