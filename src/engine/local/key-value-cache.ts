/**
 * A key-value cache: for each layer the keys and values of B rows of M positions, [B, kv, M, D′], in tensors that attention
 * reads and extends in place. The batch may shrink to its first rows without moving anything.
 */

import type { Device, DeviceTensor } from "../../compute/device.ts";
import { type Disposable, Scope } from "../../compute/scope.ts";
import { type FloatDType, isHalf } from "../../graph/tensor-type.ts";
import type { ModelConfig } from "../../model/model-config.ts";

/** D′: attention over a cache takes heads of 8, 16, 24 … numbers, so others are filled up with zeros, which change nothing. */
export function cachedHeadWidth({ headDim }: ModelConfig): number {
  return Math.ceil(headDim / 8) * 8;
}

/** Where the keys and values of a computed prompt are. */
export interface CachedPrompt {
  readonly cache: KeyValueCache;
  readonly row: number;
}

/** Rows in which sequences are decoded. Those in use are the first ones. */
export interface SequenceRows {
  readonly rows: number;
  /** A sequence begins in a free row, behind its computed prompt. */
  begin(row: number, prompt: Int32Array, computed: CachedPrompt): void;
  /** The sequence in this row has ended. That in the last used row, `cachedPositions` long, takes its place. */
  end(row: number, last: number, cachedPositions: number): void;
}

/** B rows of M positions in every layer. Dispose of it once nothing reads it any more. */
export class KeyValueCache implements SequenceRows, Disposable {
  readonly rows: number; // B
  readonly positions: number; // M
  readonly dtype: FloatDType;
  readonly #width: number; // D′
  readonly #device: Device;
  readonly #config: ModelConfig;
  readonly #scope = new Scope();
  /** Keys of layer 0, values of layer 0, keys of layer 1, … */
  readonly #tensors: readonly DeviceTensor<FloatDType>[];

  constructor(device: Device, config: ModelConfig, dtype: FloatDType, rows: number, positions: number) {
    this.rows = rows;
    this.positions = positions;
    this.dtype = dtype;
    this.#device = device;
    this.#config = config;
    this.#width = cachedHeadWidth(config);
    this.#tensors = Array.from({ length: 2 * config.numLayers }, () =>
      this.#scope.hold(device.allocate(dtype, this.#dims(rows), "key-value cache")),
    );
  }

  /** Bytes of one row of M positions. */
  static rowBytes(config: ModelConfig, dtype: FloatDType, positions: number): number {
    const numbers = 2 * config.numLayers * config.numKvHeads * positions * cachedHeadWidth(config);
    return numbers * (isHalf(dtype) ? 2 : 4);
  }

  /** The first `rows` rows, as what the sampling program reads and as what it writes: the same memory. `scope` holds
   * the views. */
  bind(rows: number, scope: Scope): { feeds: Map<string, DeviceTensor>; fetches: Map<string, DeviceTensor> } {
    const feeds = new Map<string, DeviceTensor>();
    const fetches = new Map<string, DeviceTensor>();
    this.#tensors.forEach((whole, i) => {
      const tensor = scope.hold(this.#device.view(whole, this.#dims(rows)));
      const layer = i >> 1;
      feeds.set(`${i % 2 === 0 ? "keys" : "values"}.${layer}`, tensor);
      fetches.set(`${i % 2 === 0 ? "newKeys" : "newValues"}.${layer}`, tensor);
    });
    return { feeds, fetches };
  }

  begin(row: number, prompt: Int32Array, computed: CachedPrompt): void {
    this.copyRow(row, computed.cache, computed.row, prompt.length);
  }

  end(row: number, last: number, cachedPositions: number): void {
    if (row !== last) this.copyRow(row, this, last, cachedPositions);
  }

  /** Copies the first `length` positions of a row of `source` to a row of this cache. */
  copyRow(row: number, source: KeyValueCache, sourceRow: number, length: number): void {
    const { numKvHeads } = this.#config;
    const width = this.#width;
    const [sourceStride, targetStride] = [source.positions * width, this.positions * width];
    this.#tensors.forEach((target, i) => {
      this.#device.copy({
        source: source.#tensors[i]!,
        sourceStart: sourceRow * numKvHeads * sourceStride,
        sourceStride,
        target,
        targetStart: row * numKvHeads * targetStride,
        targetStride,
        count: numKvHeads,
        length: length * width,
      });
    });
  }

  dispose(): void {
    this.#scope.dispose();
  }

  #dims(rows: number): readonly number[] {
    return [rows, this.#config.numKvHeads, this.positions, this.#width];
  }
}
