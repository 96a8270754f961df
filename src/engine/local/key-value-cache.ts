/**
 * A key-value cache: for each layer the keys and values of B rows of M positions, [B, kv, M, D′], in memory that
 * attention reads and extends in place. The batch may shrink to its first rows without moving anything.
 */

import type { NativeScope } from "../../compute/native-scope.ts";
import type { DeviceTensor, Runtime } from "../../compute/runtime.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { allocateFloats } from "./weights.ts";

/** D′: attention over a cache takes heads of 8, 16, 24 … numbers, so others are filled up with zeros, which change nothing. */
export function cachedHeadWidth({ headDim }: ModelConfig): number {
  return Math.ceil(headDim / 8) * 8;
}

/** B rows of M positions in every layer. */
export class KeyValueCache {
  readonly rows: number; // B
  readonly positions: number; // M
  readonly #width: number; // D′
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  /** Keys of layer 0, values of layer 0, keys of layer 1, … */
  readonly #memory: readonly Float32Array[];

  constructor(runtime: Runtime, config: ModelConfig, rows: number, positions: number) {
    this.rows = rows;
    this.positions = positions;
    this.#runtime = runtime;
    this.#config = config;
    this.#width = cachedHeadWidth(config);
    const length = rows * config.numKvHeads * positions * this.#width;
    this.#memory = Array.from({ length: 2 * config.numLayers }, () => allocateFloats(length));
  }

  /** Bytes of one row of M positions. */
  static rowBytes(config: ModelConfig, positions: number): number {
    return 2 * config.numLayers * config.numKvHeads * positions * cachedHeadWidth(config) * 4;
  }

  /** The first `rows` rows, as what the sampling program reads and as what it writes: the same memory. `scope` holds
   * the handles. */
  bind(rows: number, scope: NativeScope): { feeds: Map<string, DeviceTensor>; fetches: Map<string, DeviceTensor> } {
    const dims = [rows, this.#config.numKvHeads, this.positions, this.#width];
    const feeds = new Map<string, DeviceTensor>();
    const fetches = new Map<string, DeviceTensor>();
    this.#memory.forEach((memory, i) => {
      const tensor = scope.hold(this.#runtime.view("float32", dims, memory));
      const layer = i >> 1;
      feeds.set(`${i % 2 === 0 ? "keys" : "values"}.${layer}`, tensor);
      fetches.set(`${i % 2 === 0 ? "newKeys" : "newValues"}.${layer}`, tensor);
    });
    return { feeds, fetches };
  }

  /** Copies the first `length` positions of a row of `source` to a row of this cache. */
  copyRow(row: number, source: KeyValueCache, sourceRow: number, length: number): void {
    const { numKvHeads } = this.#config;
    const width = this.#width;
    this.#memory.forEach((memory, i) => {
      const from = source.#memory[i]!;
      for (let head = 0; head < numKvHeads; head++) {
        const start = (sourceRow * numKvHeads + head) * source.positions * width;
        memory.set(from.subarray(start, start + length * width), (row * numKvHeads + head) * this.positions * width);
      }
    });
  }
}
