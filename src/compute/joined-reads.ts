/**
 * Numbers of several tensors in one transfer. A transfer from a GPU waits until everything that was asked of it before is
 * done, and while the host waits it asks for nothing more; so a step reads once. The tensors are joined there by programs that
 * concatenate up to seven, and these joined ones again.
 */

import { concat } from "../graph/ops/join.ts";
import { Graph } from "../graph/tensor.ts";
import { CompiledPrograms } from "./compiled-programs.ts";
import type { Device, DeviceTensor } from "./device.ts";
import { elementsOf, read } from "./host-memory.ts";
import { joinedGroups } from "./joined-programs.ts";
import type { ProgramGraph } from "./program.ts";
import { Scope } from "./scope.ts";

type FloatTensor = DeviceTensor<"float32">;

const elements = ({ dims }: FloatTensor): number => elementsOf(dims);

/** See the head of this file. */
export class JoinedReads {
  readonly #device: Device;
  /** By the number of tensors. */
  readonly #programs: CompiledPrograms<number>;

  constructor(device: Device) {
    this.#device = device;
    this.#programs = new CompiledPrograms(device);
  }

  /** The numbers of each tensor, to be read only. One transfer, unless they are too many for one buffer. */
  async of(tensors: readonly FloatTensor[]): Promise<Float32Array[]> {
    const scope = new Scope();
    try {
      let parts = tensors.map((tensor) => scope.hold(this.#device.view(tensor, [elements(tensor)])));
      for (let groups = joinedGroups(parts, elements); groups.length < parts.length; ) {
        parts = [];
        for (const group of groups) parts.push(await this.#join(group, scope));
        groups = joinedGroups(parts, elements);
      }
      const numbers: Float32Array[] = [];
      for (const part of parts) numbers.push(await read(this.#device, part));
      return cut(numbers, tensors.map(elements));
    } finally {
      scope.dispose();
    }
  }

  async #join(group: readonly FloatTensor[], scope: Scope): Promise<FloatTensor> {
    if (group.length === 1) return group[0]!;
    const program = await this.#programs.get(group.length, () => joiningGraph(group.length));
    const call = scope.hold(program.prepare(new Map(group.map((tensor, i) => [`a${i}`, tensor]))));
    await call.run();
    return call.results.get("joined") as FloatTensor;
  }
}

/** Inputs `a0` …, `count` of them, flat; output `joined`. */
export function joiningGraph(count: number): ProgramGraph {
  const graph = new Graph();
  const inputs = Array.from({ length: count }, (_, i) => graph.input(`a${i}`, "float32", [`n${i}`]));
  return { graph, outputs: { joined: concat(inputs, 0) } };
}

/** Consecutive pieces of these lengths; none lies in two parts. */
function cut(parts: readonly Float32Array[], lengths: readonly number[]): Float32Array[] {
  let [part, start] = [0, 0];
  return lengths.map((length) => {
    if (start + length > parts[part]!.length) [part, start] = [part + 1, 0];
    const piece = parts[part]!.subarray(start, start + length);
    start += length;
    return piece;
  });
}
