/**
 * The sampling program and its two uses: prefill, which computes whole prompts into a cache of their own, and decoding,
 * one new position of every sequence in the first rows of a cache. Logits stay on the device; what is asked of them is a
 * draw.
 */

import type { Device, DeviceTensor } from "../../compute/device.ts";
import type { Draw, DrawRequest } from "../../compute/draw-token.ts";
import { HostInput, tensorOf } from "../../compute/host-memory.ts";
import { compile, type PreparedCall, type Program } from "../../compute/program.ts";
import { type Disposable, Scope } from "../../compute/scope.ts";
import { rotaryTables } from "../../model/decoder.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { KeyValueCache } from "./key-value-cache.ts";
import { samplingGraph } from "./programs.ts";
import type { Weights } from "./weights.ts";

/** Prompt positions computed at once in a prefill. */
const PREFILL_TOKENS = 4096;

/** Computed prompts, each in a row of a cache and of logits. Dispose of them together. */
export interface ComputedPrompts extends Disposable {
  readonly cache: KeyValueCache;
  readonly logits: DeviceTensor<"float32">; // [B, V]
  /** By the prompt's array. */
  readonly rows: ReadonlyMap<Int32Array, number>;
}

/** The compiled program. Dispose of it, once no call of it runs. */
export class SamplingProgram implements Disposable {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly #program: Program;

  private constructor(device: Device, config: ModelConfig, program: Program) {
    this.device = device;
    this.config = config;
    this.#program = program;
  }

  static async compile(device: Device, config: ModelConfig, form: WeightForm): Promise<SamplingProgram> {
    const { graph, outputs } = samplingGraph(config, form);
    return new SamplingProgram(device, config, await compile(device, graph, outputs));
  }

  dispose(): void {
    this.#program.dispose();
  }

  /** A token for each request, from its row of logits. */
  draw(logits: DeviceTensor<"float32">, requests: readonly DrawRequest[]): Promise<Draw[]> {
    return this.device.kernels.draw(logits, requests);
  }

  /** Computes the first of these prompts, as many as fit one prefill and at least one. */
  async prefill(weights: Weights, wanted: readonly Int32Array[]): Promise<ComputedPrompts> {
    const members: Int32Array[] = [];
    let length = 0; // T
    for (const tokens of wanted) {
      const longest = Math.max(length, tokens.length);
      if (members.length > 0 && longest * (members.length + 1) > PREFILL_TOKENS) break;
      members.push(tokens);
      length = longest;
    }
    const B = members.length;
    const kept = new Scope();
    const scope = new Scope();
    try {
      const cache = kept.hold(new KeyValueCache(this.device, this.config, B, length));
      const logits = kept.hold(this.device.allocate("float32", [B, this.config.vocabSize]));
      const { inputs, call, upload } = this.#bind(weights, cache, this.#tables(length, scope), logits, length, scope);
      members.forEach((tokens, row) => {
        for (let t = 0; t < length; t++) {
          inputs.ids[row * length + t] = BigInt(tokens[t] ?? 0);
          inputs.positions[row * length + t] = BigInt(t);
        }
        inputs.lastPositions[row] = tokens.length - 1;
        inputs.rows[row] = BigInt(row * length + tokens.length - 1);
      });
      inputs.totalLength[0] = length;
      upload();
      await call.run();
      const rows = new Map(members.map((tokens, row) => [tokens, row]));
      return { cache, logits, rows, dispose: () => kept.dispose() };
    } catch (error) {
      kept.dispose();
      throw error;
    } finally {
      scope.dispose();
    }
  }

  /** Decoding steps over this cache; dispose of it before the cache goes. */
  decodeStep(weights: Weights, cache: KeyValueCache): DecodeStep {
    const scope = new Scope();
    const tables = this.#tables(cache.positions, scope);
    return new DecodeStep(scope, (rows, bound) => {
      const logits = bound.hold(this.device.allocate("float32", [rows, this.config.vocabSize]));
      return this.#bind(weights, cache, tables, logits, 1, bound);
    });
  }

  #tables(positions: number, scope: Scope): RotaryTensors {
    const { cos, sin } = rotaryTables(this.config, positions);
    const dims = [positions, this.config.headDim / 2];
    return {
      cos: scope.hold(tensorOf(this.device, "float32", dims, cos)),
      sin: scope.hold(tensorOf(this.device, "float32", dims, sin)),
    };
  }

  /** Binds the program to T new positions in each of the cache's first rows, as many as there are rows of logits; `scope`
   * holds what is made for that. */
  #bind(
    weights: Weights,
    cache: KeyValueCache,
    tables: RotaryTensors,
    logits: DeviceTensor<"float32">,
    T: number,
    scope: Scope,
  ): BoundStep {
    const B = logits.dims[0]!;
    const input = <D extends "int64" | "int32">(dtype: D, dims: readonly number[]) =>
      scope.hold(new HostInput(this.device, dtype, dims));
    const own = {
      ids: input("int64", [B, T]),
      positions: input("int64", [B, T]),
      lastPositions: input("int32", [B]),
      totalLength: input("int32", []),
      rows: input("int64", [B]),
    };
    const slots = cache.bind(B, scope);
    const named = Object.entries(own).map(([name, { tensor }]) => [name, tensor] as const);
    const feeds = new Map<string, DeviceTensor>([
      ...weights.tensors,
      ...named,
      ...Object.entries(tables),
      ...slots.feeds,
    ]);
    const call = scope.hold(this.#program.prepare(feeds, new Map([...slots.fetches, ["logits", logits]])));
    const inputs = {
      ids: own.ids.data,
      positions: own.positions.data,
      lastPositions: own.lastPositions.data,
      totalLength: own.totalLength.data,
      rows: own.rows.data,
    };
    const filled = Object.values(own);
    const upload = () => {
      for (const one of filled) one.upload();
    };
    return { inputs, upload, logits, call };
  }
}

interface RotaryTensors {
  readonly cos: DeviceTensor;
  readonly sin: DeviceTensor;
}

/** The inputs of the sampling program besides weights, tables and cache: the memory to fill before each run. */
interface StepInputs {
  readonly ids: BigInt64Array; // [B, T]
  readonly positions: BigInt64Array; // [B, T]
  readonly lastPositions: Int32Array; // [B]
  readonly totalLength: Int32Array; // []
  readonly rows: BigInt64Array; // [B]
}

/** The sampling program with everything bound that it reads and writes. */
interface BoundStep {
  readonly inputs: StepInputs;
  /** Brings the inputs to the device. */
  readonly upload: () => void;
  readonly logits: DeviceTensor<"float32">; // [B, V]
  readonly call: PreparedCall;
}

/** One decoding step over the first rows of the cache; the call is prepared anew only when their number changes. */
export class DecodeStep implements Disposable {
  readonly #bind: (rows: number, scope: Scope) => BoundStep;
  /** What steps of any number of rows read. */
  readonly #common: Scope;
  readonly #scope = new Scope();
  #bound: { readonly rows: number; readonly step: BoundStep } | undefined;

  constructor(common: Scope, bind: (rows: number, scope: Scope) => BoundStep) {
    this.#common = common;
    this.#bind = bind;
  }

  /** Logits [rows, V] after these last tokens, until the next run; `lengths`: tokens of each sequence so far, the last one
   * included. */
  async run(lastTokens: readonly number[], lengths: readonly number[]): Promise<DeviceTensor<"float32">> {
    const rows = lastTokens.length;
    if (this.#bound?.rows !== rows) {
      this.#bound = undefined;
      this.#scope.dispose();
      this.#bound = { rows, step: this.#bind(rows, this.#scope) };
    }
    const { inputs, upload, call, logits } = this.#bound.step;
    let longest = 0;
    lastTokens.forEach((token, row) => {
      const position = lengths[row]! - 1;
      inputs.ids[row] = BigInt(token);
      inputs.positions[row] = BigInt(position);
      inputs.lastPositions[row] = position;
      inputs.rows[row] = BigInt(row);
      longest = Math.max(longest, lengths[row]!);
    });
    inputs.totalLength[0] = longest;
    upload();
    await call.run();
    return logits;
  }

  dispose(): void {
    this.#bound = undefined;
    this.#scope.dispose();
    this.#common.dispose();
  }
}
