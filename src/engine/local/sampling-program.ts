/**
 * The sampling program, and its use in decoding: one new position of every sequence in the first rows of a cache. Its other
 * use, prompts, is `prefill.ts`. What it is not: a sampler; no token is drawn here.
 */

import { NativeScope } from "../../compute/native-scope.ts";
import type { DeviceTensor, PreparedCall, Program, Runtime } from "../../compute/runtime.ts";
import { rotaryTables } from "../../model/decoder.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import type { KeyValueCache } from "./key-value-cache.ts";
import { samplingGraph } from "./programs.ts";
import type { Weights } from "./weights.ts";

/** The compiled program. Holds a native session: dispose of it, once no call of it runs. */
export class SamplingProgram {
  readonly runtime: Runtime;
  readonly config: ModelConfig;
  readonly #form: WeightForm;
  readonly #program: Program;
  /** The one that scores its positions; compiled when it is first needed. */
  #scoring: Program | undefined;
  #tables: { readonly count: number; readonly cos: Float32Array; readonly sin: Float32Array } | undefined;

  constructor(runtime: Runtime, config: ModelConfig, form: WeightForm) {
    this.runtime = runtime;
    this.config = config;
    this.#form = form;
    this.#program = this.#compile(false);
  }

  dispose(): void {
    this.#program.dispose();
    this.#scoring?.dispose();
  }

  #compile(scored: boolean): Program {
    const { graph, outputs } = samplingGraph(this.config, this.#form, { scored });
    return this.runtime.compile(graph, outputs);
  }

  /** Decoding steps over this cache; dispose of it before the cache goes. */
  decodeStep(weights: Weights, cache: KeyValueCache): DecodeStep {
    return new DecodeStep((rows, scope) => this.bind(weights, cache, [rows, 1], scope));
  }

  /** Binds the program to T new positions in each of the first B rows of the cache; `scope` holds all native handles. */
  bind(weights: Weights, cache: KeyValueCache, shape: readonly [number, number], scope: NativeScope): BoundStep {
    const { step, fetches, feeds } = this.#operands(weights, cache, shape, scope);
    return { ...step, call: scope.hold(this.#program.prepare(feeds, fetches)) };
  }

  /** The same, with the scores of every position and so many alternatives each, at least one. */
  bindScored(
    weights: Weights,
    cache: KeyValueCache,
    shape: readonly [number, number],
    alternatives: number,
    scope: NativeScope,
  ): ScoredStep {
    this.#scoring ??= this.#compile(true);
    const { step, fetches, feeds } = this.#operands(weights, cache, shape, scope);
    const targets = scope.hold(this.runtime.zeros("int64", shape));
    feeds.set("targets", targets);
    feeds.set("alternatives", scope.hold(this.runtime.zeros("float32", [alternatives])));
    const call = scope.hold(this.#scoring.prepare(feeds, fetches));
    const result = (name: string) => call.results.get(name)!.data;
    return {
      ...step,
      call,
      targets: targets.data as BigInt64Array,
      targetLogprobs: result("targetLogprobs") as Float32Array,
      topLogprobs: result("topLogprobs") as Float32Array,
      topTokens: result("topTokens") as BigInt64Array,
    };
  }

  #operands(weights: Weights, cache: KeyValueCache, [B, T]: readonly [number, number], scope: NativeScope) {
    const half = this.config.headDim / 2;
    const tables = this.#rotaryTables(cache.positions);
    const tableDims = [cache.positions, half];
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
    const inputs = {
      ids: tensors.ids.data as BigInt64Array,
      positions: tensors.positions.data as BigInt64Array,
      lastPositions: tensors.lastPositions.data as Int32Array,
      totalLength: tensors.totalLength.data as Int32Array,
      rows: tensors.rows.data as BigInt64Array,
    };
    return {
      step: { inputs, logits: logits.data as Float32Array },
      feeds: new Map([...weights.tensors, ...Object.entries(tensors), ...slots.feeds]),
      fetches: new Map([...slots.fetches, ["logits", logits]]),
    };
  }

  /** Tables of at least `count` positions; a longer one begins with a shorter one. */
  #rotaryTables(count: number) {
    if (this.#tables === undefined || this.#tables.count < count) {
      this.#tables = { count, ...rotaryTables(this.config, count) };
    }
    return this.#tables;
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
export interface BoundStep {
  readonly inputs: StepInputs;
  readonly logits: Float32Array; // [B, V]
  readonly call: PreparedCall;
}

/** The scoring program, likewise; A alternatives. */
export interface ScoredStep extends BoundStep {
  /** The token after each position, to be filled like the inputs. */
  readonly targets: BigInt64Array; // [B, T]
  readonly targetLogprobs: Float32Array; // [B·T]
  readonly topLogprobs: Float32Array; // [B·T, A]
  readonly topTokens: BigInt64Array; // [B·T, A]
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
