/**
 * Kernels made of a device's own programs, for a device that has no others: each is a small graph over the elements of a
 * tensor, compiled at its first use, which writes its results over its operands. Tokens are drawn by a program too. Only
 * where more is asked of a draw than that program does are logits read, and drawn from on the host. Numbers are f32
 * throughout, so results agree with the CPU's loops up to rounding.
 */

import { cast } from "../graph/ops/cast.ts";
import { add, multiply } from "../graph/ops/elementwise.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import type { HalfDType } from "../graph/tensor-type.ts";
import type { AdamWOptions } from "../optim/adamw.ts";
import { CompiledPrograms } from "./compiled-programs.ts";
import type { Device, DeviceTensor, Kernels, OptimizedTensor, StoredDType } from "./device.ts";
import { DrawPrograms, drawsWhole } from "./draw-program.ts";
import { type Draw, type DrawRequest, drawTokens } from "./draw-token.ts";
import { elementsOf, read, tensorOf } from "./host-memory.ts";
import { adamWGraph, adamWName, adamWNumbers, joinedGroups, resultName, squaresGraph } from "./joined-programs.ts";
import { JoinedReads } from "./joined-reads.ts";
import { blockCount } from "./logit-row.ts";
import type { ProgramGraph } from "./program.ts";
import { RowSums, sumsFor } from "./row-sums.ts";
import { type Disposable, Scope } from "./scope.ts";

type FloatTensor = DeviceTensor<"float32">;

/** A kernel as a graph: its results by name, from tensors of n elements and from numbers. */
interface Kernel {
  readonly tensors: readonly string[];
  readonly numbers: readonly string[];
  readonly results: (operands: Readonly<Record<string, Tensor>>) => Readonly<Record<string, Tensor>>;
}

const ADD: Kernel = {
  tensors: ["a", "b"],
  numbers: [],
  results: ({ a, b }) => ({ a: add(a!, b!) }),
};

const MIX: Kernel = {
  tensors: ["a", "b"],
  numbers: ["keep", "share"],
  results: ({ a, b, keep, share }) => ({ a: add(multiply(a!, keep!), multiply(b!, share!)) }),
};

/** Numbers that kernels read, as scalars on the device. */
interface NumberTensors extends Disposable {
  readonly tensors: Readonly<Record<string, FloatTensor>>;
}

/** Kernels of a device, by its programs. */
export class GraphKernels implements Kernels {
  readonly #device: Device;
  readonly #rowSums: RowSums;
  readonly #draws: DrawPrograms;
  readonly #reads: JoinedReads;
  readonly #programs: CompiledPrograms<Kernel>;
  readonly #roundings: CompiledPrograms<HalfDType>;
  /** By the number of tensors. */
  readonly #squares: CompiledPrograms<number>;
  /** By the number of tensors and whether they decay. */
  readonly #adamWPrograms: CompiledPrograms<string>;

  constructor(device: Device) {
    this.#device = device;
    this.#draws = new DrawPrograms(device);
    this.#reads = new JoinedReads(device);
    this.#rowSums = new RowSums(device);
    this.#programs = new CompiledPrograms(device);
    this.#roundings = new CompiledPrograms(device);
    this.#squares = new CompiledPrograms(device);
    this.#adamWPrograms = new CompiledPrograms(device);
  }

  async add(sums: readonly FloatTensor[], addends: readonly FloatTensor[]): Promise<void> {
    for (const [i, a] of sums.entries()) await this.#run(ADD, { a, b: addends[i]! });
  }

  async mix(targets: readonly FloatTensor[], others: readonly FloatTensor[], share: number): Promise<void> {
    const numbers = this.#numbers({ keep: 1 - share, share });
    try {
      for (const [i, a] of targets.entries()) await this.#run(MIX, { a, b: others[i]! }, numbers.tensors);
    } finally {
      numbers.dispose();
    }
  }

  async round(sources: readonly FloatTensor[], targets: readonly DeviceTensor<HalfDType>[]): Promise<void> {
    for (const [i, target] of targets.entries()) {
      const program = await this.#roundings.get(target.dtype, () => roundingGraph(target.dtype));
      const scope = new Scope();
      try {
        const flat = <D extends StoredDType>(tensor: DeviceTensor<D>) =>
          scope.hold(this.#device.view(tensor, [elementsOf(tensor.dims)]));
        const [feeds, fetches] = [new Map([["a", flat(sources[i]!)]]), new Map([["rounded", flat(target)]])];
        await scope.hold(program.prepare(feeds, fetches)).run();
      } finally {
        scope.dispose();
      }
    }
  }

  async norm(tensors: readonly FloatTensor[], others: readonly FloatTensor[]) {
    // The total stays on the device, so that of all tensors' squares one number is read.
    const numbers = this.#numbers({ total: 0 });
    const total = numbers.tensors.total!;
    const scope = new Scope();
    try {
      for (const group of joinedGroups(tensors, ({ dims }) => elementsOf(dims))) {
        const program = await this.#squares.get(group.length, () => squaresGraph(group.length));
        const flat = group.map(
          (one, i) => [`a${i}`, scope.hold(this.#device.view(one, [elementsOf(one.dims)]))] as const,
        );
        const call = program.prepare(new Map([...flat, ["total", total]]), new Map([[resultName("total"), total]]));
        await scope.hold(call).run();
      }
      const [squares, ...numbersOfOthers] = await this.readAll([total, ...others]);
      return { norm: Math.sqrt(squares![0]!), others: numbersOfOthers };
    } finally {
      scope.dispose();
      numbers.dispose();
    }
  }

  readAll(tensors: readonly FloatTensor[]): Promise<Float32Array[]> {
    return this.#reads.of(tensors);
  }

  async adamW(
    parameters: readonly OptimizedTensor[],
    step: number,
    gradientScale: number,
    options: AdamWOptions,
  ): Promise<void> {
    const numbers = this.#numbers(adamWNumbers(step, gradientScale, options));
    try {
      for (const decays of [true, false]) {
        const own = parameters.filter((one) => one.decays === decays);
        const groups = joinedGroups(own, ({ values }) => elementsOf(values.dims));
        for (const group of groups) await this.#adamW(group, decays && options.weightDecay !== 0, numbers.tensors);
      }
    } finally {
      numbers.dispose();
    }
  }

  /** One program for all tensors of a group, which it writes over. */
  async #adamW(
    group: readonly OptimizedTensor[],
    decays: boolean,
    numbers: Readonly<Record<string, FloatTensor>>,
  ): Promise<void> {
    const count = group.length;
    const program = await this.#adamWPrograms.get(`${count} ${decays}`, () => adamWGraph(count, decays));
    const scope = new Scope();
    try {
      const flat = (tensor: FloatTensor) => scope.hold(this.#device.view(tensor, [elementsOf(tensor.dims)]));
      const feeds = new Map<string, DeviceTensor>(Object.entries(numbers));
      const fetches = new Map<string, DeviceTensor>();
      group.forEach(({ values, gradient, firstMoment, secondMoment }, i) => {
        feeds.set(adamWName("g", i), flat(gradient));
        for (const [name, tensor] of [
          ["w", values],
          ["m", firstMoment],
          ["v", secondMoment],
        ] as const) {
          const own = flat(tensor);
          feeds.set(adamWName(name, i), own);
          fetches.set(resultName(adamWName(name, i)), own);
        }
      });
      await scope.hold(program.prepare(feeds, fetches)).run();
    } finally {
      scope.dispose();
    }
  }

  async draw(logits: FloatTensor, requests: readonly DrawRequest[]): Promise<Draw[]> {
    if (requests.length > 0 && requests.every(drawsWhole)) return this.#draws.draw(logits, requests);
    const vocabSize = logits.dims[1]!;
    const sumsOf = blockCount(vocabSize) === 1 ? undefined : await sumsFor(this.#rowSums, logits, 0, requests);
    return drawTokens(await read(this.#device, logits), vocabSize, requests, sumsOf);
  }

  /** Numbers on the device, for as many runs as want them. */
  #numbers(numbers: Readonly<Record<string, number>>): NumberTensors {
    const scope = new Scope();
    const tensors = Object.entries(numbers).map(
      ([name, value]) => [name, scope.hold(tensorOf(this.#device, "float32", [], Float32Array.of(value)))] as const,
    );
    return { tensors: Object.fromEntries(tensors), dispose: () => scope.dispose() };
  }

  /** Runs a kernel; a result is written over the operand of its name, be that a tensor or a number. */
  async #run(
    kernel: Kernel,
    tensors: Readonly<Record<string, FloatTensor>>,
    numbers: Readonly<Record<string, FloatTensor>> = {},
  ): Promise<void> {
    const program = await this.#programs.get(kernel, () => kernelGraph(kernel));
    const scope = new Scope();
    try {
      const flat = Object.entries(tensors).map(
        ([name, tensor]) => [name, scope.hold(this.#device.view(tensor, [elementsOf(tensor.dims)]))] as const,
      );
      const operands = [...flat, ...Object.entries(numbers)];
      const results = new Set(program.outputs.map(({ name }) => name));
      const written = operands.flatMap(([name, tensor]) => {
        const result = resultName(name);
        return results.has(result) ? [[result, tensor] as const] : [];
      });
      const call = scope.hold(program.prepare(new Map(operands), new Map(written)));
      await call.run();
    } finally {
      scope.dispose();
    }
  }
}

/** The kernels that are small graphs over elements, by what they do. */
export const elementKernelGraphs = (): Readonly<Record<string, ProgramGraph>> => ({
  add: kernelGraph(ADD),
  mix: kernelGraph(MIX),
});

function kernelGraph(kernel: Kernel): ProgramGraph {
  const graph = new Graph();
  const operands = Object.fromEntries([
    ...kernel.tensors.map((name) => [name, graph.input(name, "float32", ["n"])] as const),
    ...kernel.numbers.map((name) => [name, graph.input(name, "float32", [])] as const),
  ]);
  const results = Object.entries(kernel.results(operands)).map(([name, tensor]) => [resultName(name), tensor]);
  return { graph, outputs: Object.fromEntries(results) };
}

/** Input `a` [n]; output `rounded`: its numbers in 16 bits. */
export function roundingGraph(dtype: HalfDType): ProgramGraph {
  const graph = new Graph();
  return { graph, outputs: { rounded: cast(graph.input("a", "float32", ["n"]), dtype) } };
}
