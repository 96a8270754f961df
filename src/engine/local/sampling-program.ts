/**
 * The sampling program and its two uses: prefill, which computes whole prompts into a cache of their own, and decoding,
 * one new position of every sequence in the first rows of a cache. What it is not: a sampler; no token is drawn here.
 */

import { NativeScope } from "../../compute/native-scope.ts";
import type { DeviceTensor, PreparedCall, Program, Runtime } from "../../compute/runtime.ts";
import { rotaryTables } from "../../model/decoder.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { KeyValueCache } from "./key-value-cache.ts";
import { samplingGraph } from "./programs.ts";
import type { Weights } from "./weights.ts";

/** Prompt positions computed at once in a prefill. */
const PREFILL_TOKENS = 4096;

/** The keys, values and next-token logits of one computed prompt. */
export interface ComputedPrompt {
  readonly cache: KeyValueCache;
  readonly row: number;
  readonly logits: Float32Array; // [V]
}

/** The compiled program. Holds a native session: dispose of it, once no call of it runs. */
export class SamplingProgram {
  readonly runtime: Runtime;
  readonly config: ModelConfig;
  readonly #program: Program;

  constructor(runtime: Runtime, config: ModelConfig, form: WeightForm) {
    this.runtime = runtime;
    this.config = config;
    const { graph, outputs } = samplingGraph(config, form);
    this.#program = runtime.compile(graph, outputs);
  }

  dispose(): void {
    this.#program.dispose();
  }

  /** Computes the first of these prompts, as many as fit one prefill and at least one. */
  async prefill(weights: Weights, wanted: readonly Int32Array[]): Promise<Map<Int32Array, ComputedPrompt>> {
    const members: Int32Array[] = [];
    let length = 0; // T
    for (const tokens of wanted) {
      const longest = Math.max(length, tokens.length);
      if (members.length > 0 && longest * (members.length + 1) > PREFILL_TOKENS) break;
      members.push(tokens);
      length = longest;
    }
    const B = members.length;
    const cache = new KeyValueCache(this.runtime, this.config, B, length);
    const tables = rotaryTables(this.config, length);
    const scope = new NativeScope();
    try {
      const step = this.#bind({ weights, cache, tables }, [B, length], scope);
      const { inputs } = step;
      members.forEach((tokens, row) => {
        for (let t = 0; t < length; t++) {
          inputs.ids[row * length + t] = BigInt(tokens[t] ?? 0);
          inputs.positions[row * length + t] = BigInt(t);
        }
        inputs.lastPositions[row] = tokens.length - 1;
        inputs.rows[row] = BigInt(row * length + tokens.length - 1);
      });
      inputs.totalLength[0] = length;
      await step.call.run();
      const { vocabSize } = this.config;
      // The logits' memory outlives the native handle on it.
      return new Map(
        members.map((tokens, row) => {
          return [tokens, { cache, row, logits: step.logits.subarray(row * vocabSize, (row + 1) * vocabSize) }];
        }),
      );
    } finally {
      scope.dispose();
    }
  }

  /** Decoding steps over this cache; dispose of it before the cache goes. */
  decodeStep(weights: Weights, cache: KeyValueCache): DecodeStep {
    const context = { weights, cache, tables: rotaryTables(this.config, cache.positions) };
    return new DecodeStep((rows, scope) => this.#bind(context, [rows, 1], scope));
  }

  /** Binds the program to T new positions in each of the first B rows of the cache; `scope` holds all native handles. */
  #bind({ weights, cache, tables }: StepContext, [B, T]: readonly [number, number], scope: NativeScope): BoundStep {
    const half = this.config.headDim / 2;
    const tableDims = [tables.cos.length / half, half];
    const zeros = (dtype: "int64" | "int32" | "float32", dims: readonly number[]) =>
      scope.hold(this.runtime.zeros(dtype, dims));
    const tensors = {
      ids: zeros("int64", [B, T]),
      positions: zeros("int64", [B, T]),
      lastPositions: zeros("int32", [B]),
      totalLength: zeros("int32", []),
      rows: zeros("int64", [B]),
      cos: scope.hold(this.runtime.view("float32", tableDims, tables.cos)),
      sin: scope.hold(this.runtime.view("float32", tableDims, tables.sin)),
    } satisfies Record<string, DeviceTensor>;
    const logits = zeros("float32", [B, this.config.vocabSize]);
    const slots = cache.bind(B, scope);
    const feeds = new Map([...weights.tensors, ...Object.entries(tensors), ...slots.feeds]);
    const call = scope.hold(this.#program.prepare(feeds, new Map([...slots.fetches, ["logits", logits]])));
    const inputs = {
      ids: tensors.ids.data as BigInt64Array,
      positions: tensors.positions.data as BigInt64Array,
      lastPositions: tensors.lastPositions.data as Int32Array,
      totalLength: tensors.totalLength.data as Int32Array,
      rows: tensors.rows.data as BigInt64Array,
    };
    return { inputs, logits: logits.data as Float32Array, call };
  }
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
  readonly logits: Float32Array; // [B, V]
  readonly call: PreparedCall;
}

/** What every step over one cache reads. */
interface StepContext {
  readonly weights: Weights;
  readonly cache: KeyValueCache;
  readonly tables: { readonly cos: Float32Array; readonly sin: Float32Array };
}

/** One decoding step over the first rows of the cache; the call is prepared anew only when their number changes. */
export class DecodeStep {
  readonly #bind: (rows: number, scope: NativeScope) => BoundStep;
  readonly #scope = new NativeScope();
  #bound: { readonly rows: number; readonly step: BoundStep } | undefined;

  constructor(bind: (rows: number, scope: NativeScope) => BoundStep) {
    this.#bind = bind;
  }

  /** Logits [rows · V] after these last tokens; `lengths`: tokens of each sequence so far, the last one included. */
  async run(lastTokens: readonly number[], lengths: readonly number[]): Promise<Float32Array> {
    const rows = lastTokens.length;
    if (this.#bound?.rows !== rows) {
      this.dispose();
      this.#bound = { rows, step: this.#bind(rows, this.#scope) };
    }
    const { inputs, call, logits } = this.#bound.step;
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
    await call.run();
    return logits;
  }

  dispose(): void {
    this.#bound = undefined;
    this.#scope.dispose();
  }
}
