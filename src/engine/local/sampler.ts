/**
 * Continuous batching: completes many prompts with one decoding program and a fixed number of slots.
 *
 * Each distinct prompt is computed once (prefill) and its keys and values are copied to the slot of each of its samples.
 * A step computes one token for every active slot; a sequence that has ended leaves its slot to a waiting one, and when
 * none waits the batch shrinks (the last active row moves into the hole). The draw for a token depends on nothing but
 * (seed, iteration, prompt id, sample, position), so results do not depend on which sequences shared a batch.
 */

import { EngineError } from "../../errors.ts";
import { rotaryTables } from "../../model/decoder.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { hashString, philox } from "../../random.ts";
import { NativeScope } from "../../runtime/native-scope.ts";
import type { DeviceTensor, PreparedCall, Program, Runtime } from "../../runtime/runtime.ts";
import type { SampledSequence, SampleProgress, SamplePrompt, SamplingParams } from "../engine.ts";
import { type Draw, drawToken } from "./draw.ts";
import { KeyValueCache } from "./key-value-cache.ts";
import { samplingGraph } from "./programs.ts";
import type { Weights } from "./weights.ts";

/** Prompt positions computed at once in a prefill. */
const PREFILL_TOKENS = 4096;
const SAMPLING_STREAM = hashString("sampling");

export interface SamplerLimits {
  /** Most sequences decoded at once. */
  readonly maxSlots: number;
  /** Most memory for the slots' keys and values. */
  readonly cacheBytes: number;
}

/** A sequence that is waiting or being decoded. */
interface Sequence {
  readonly promptIndex: number;
  readonly sampleIndex: number;
  readonly tokens: number[];
  readonly logprobs: number[];
}

/** The keys, values and next-token logits of one computed prompt. */
interface ComputedPrompt {
  readonly cache: KeyValueCache;
  readonly row: number;
  readonly logits: Float32Array; // [V]
}

/** One call of `sample`. */
interface SampleCall {
  readonly weights: Weights;
  readonly prompts: readonly SamplePrompt[];
  readonly params: SamplingParams;
  readonly results: SampledSequence[];
  readonly onTokens: (count: number) => void;
}

export class Sampler {
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #limits: SamplerLimits;
  readonly #program: Program;
  /** The slots, kept between calls where they fit. */
  #cache: KeyValueCache | undefined;

  constructor(runtime: Runtime, config: ModelConfig, limits: SamplerLimits) {
    this.#runtime = runtime;
    this.#config = config;
    this.#limits = limits;
    const { graph, outputs } = samplingGraph(config);
    this.#program = runtime.compile(graph, outputs);
  }

  /** See `Engine.sample`. */
  async sample(
    weights: Weights,
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    const sequences = prompts.flatMap(({ numSamples }, promptIndex) =>
      Array.from(
        { length: numSamples },
        (_, sampleIndex): Sequence => ({ promptIndex, sampleIndex, tokens: [], logprobs: [] }),
      ),
    );
    const total = sequences.length;
    const results: SampledSequence[] = [];
    let tokens = 0;
    const onTokens = (count: number) => {
      tokens += count;
      onProgress?.({ finished: results.length, total, tokens });
    };
    if (total > 0) await this.#decodeAll(sequences, { weights, prompts, params, results, onTokens });
    return results.sort((a, b) => a.promptIndex - b.promptIndex || a.sampleIndex - b.sampleIndex);
  }

  dispose(): void {
    this.#program.dispose();
    this.#cache = undefined;
  }

  /** Decodes sequences until all have ended. */
  async #decodeAll(waiting: readonly Sequence[], call: SampleCall): Promise<void> {
    const { weights, prompts, params } = call;
    const { vocabSize } = this.#config;
    const longestPrompt = waiting.reduce(
      (max, { promptIndex }) => Math.max(max, prompts[promptIndex]!.tokens.length),
      0,
    );
    const cache = this.#slots(waiting.length, longestPrompt + params.maxCompletionTokens);
    const tables = rotaryTables(this.#config, cache.positions);
    const decode = new DecodeStep(this.#runtime, this.#program, this.#config, { weights, cache, tables });
    let computed = new Map<number, ComputedPrompt>();
    const active: Sequence[] = [];
    let next = 0;
    try {
      while (active.length > 0 || next < waiting.length) {
        while (active.length < cache.rows && next < waiting.length) {
          const sequence = waiting[next]!;
          if (!computed.has(sequence.promptIndex)) {
            computed = await this.#prefill(weights, prompts, promptsFrom(waiting, next, cache.rows));
          }
          next++;
          const prompt = computed.get(sequence.promptIndex)!;
          const ended = this.#extend(sequence, prompt.logits, call);
          call.onTokens(1);
          if (ended) continue;
          cache.copyRow(active.length, prompt.cache, prompt.row, prompts[sequence.promptIndex]!.tokens.length);
          active.push(sequence);
        }
        if (active.length === 0) continue;
        const lengths = active.map(({ promptIndex, tokens }) => prompts[promptIndex]!.tokens.length + tokens.length);
        const lastTokens = active.map(({ tokens }) => tokens[tokens.length - 1]!);
        const logits = await decode.run(lastTokens, lengths);
        const ended: number[] = [];
        active.forEach((sequence, row) => {
          if (this.#extend(sequence, logits.subarray(row * vocabSize, (row + 1) * vocabSize), call)) ended.push(row);
        });
        call.onTokens(active.length);
        // From the last row on, so that the row that moves into a hole is never one that has ended.
        for (const row of ended.reverse()) {
          const last = active.pop()!;
          if (row === active.length) continue;
          cache.copyRow(row, cache, active.length, lengths[active.length]!);
          active[row] = last;
        }
      }
    } finally {
      decode.dispose();
    }
  }

  /** Draws the next token of a sequence; true where that ends it, and it is among the results. */
  #extend(sequence: Sequence, logits: Float32Array, { prompts, params, results }: SampleCall): boolean {
    const { promptIndex, sampleIndex, tokens, logprobs } = sequence;
    const { token, logprob } = this.#draw(prompts[promptIndex]!, sequence, logits, params);
    if (Number.isNaN(logprob)) {
      throw new EngineError(
        "The policy's logits are not finite, so nothing can be sampled from it: its weights are damaged or have " +
          "diverged. Use an earlier checkpoint, or lower the learning rate.",
      );
    }
    tokens.push(token);
    logprobs.push(logprob);
    const stopped = params.stopTokenIds.includes(token);
    if (!stopped && tokens.length < params.maxCompletionTokens) return false;
    results.push({
      promptIndex,
      sampleIndex,
      tokens: Int32Array.from(tokens),
      logprobs: Float32Array.from(logprobs),
      finishReason: stopped ? "stop" : "length",
    });
    return true;
  }

  /**
   * The cache that a call of this size decodes in. How many rows it has must not depend on earlier calls, or a resumed run
   * would not be the uninterrupted one; how many positions may, for attention reads those of the sequence alone.
   */
  #slots(sequences: number, positions: number): KeyValueCache {
    const { maxSlots, cacheBytes } = this.#limits;
    const affordable = Math.floor(cacheBytes / KeyValueCache.rowBytes(this.#config, positions));
    const rows = Math.max(1, Math.min(sequences, maxSlots, affordable));
    const known = this.#cache;
    if (known && known.rows === rows && known.positions >= positions) return known;
    // Let go of first, so that the two need not fit into memory together.
    this.#cache = undefined;
    this.#cache = new KeyValueCache(this.#runtime, this.#config, rows, positions);
    return this.#cache;
  }

  #draw(prompt: SamplePrompt, sequence: Sequence, logits: Float32Array, params: SamplingParams): Draw {
    const position = sequence.tokens.length;
    const counter = [position, sequence.sampleIndex, prompt.promptId, params.iteration] as const;
    const u = philox(params.seed, SAMPLING_STREAM, counter)[0] / 0x1_0000_0000;
    const tooEarly = position < (params.minCompletionTokens ?? 0);
    return drawToken(logits, u, params, tooEarly ? params.stopTokenIds : []);
  }

  /** Computes the first of these prompts (by index), as many as fit one prefill. */
  async #prefill(
    weights: Weights,
    prompts: readonly SamplePrompt[],
    wanted: readonly number[],
  ): Promise<Map<number, ComputedPrompt>> {
    const members: number[] = [];
    let length = 0; // T
    for (const index of wanted) {
      const longest = Math.max(length, prompts[index]!.tokens.length);
      if (members.length > 0 && longest * (members.length + 1) > PREFILL_TOKENS) break;
      members.push(index);
      length = longest;
    }
    const B = members.length;
    const cache = new KeyValueCache(this.#runtime, this.#config, B, length);
    const tables = rotaryTables(this.#config, length);
    const scope = new NativeScope();
    try {
      const step = bindStep(this.#runtime, this.#program, this.#config, { weights, cache, tables }, [B, length], scope);
      const { inputs } = step;
      members.forEach((index, row) => {
        const { tokens } = prompts[index]!;
        for (let t = 0; t < length; t++) {
          inputs.ids[row * length + t] = BigInt(tokens[t] ?? 0);
          inputs.positions[row * length + t] = BigInt(t);
        }
        inputs.lastPositions[row] = tokens.length - 1;
        inputs.rows[row] = BigInt(row * length + tokens.length - 1);
      });
      inputs.totalLength[0] = length;
      await step.call.run();
      const { vocabSize } = this.#config;
      // The logits' memory outlives the native handle on it.
      return new Map(
        members.map((index, row) => {
          return [index, { cache, row, logits: step.logits.subarray(row * vocabSize, (row + 1) * vocabSize) }];
        }),
      );
    } finally {
      scope.dispose();
    }
  }
}

/** The distinct prompts of the next `count` waiting sequences, in order. */
function promptsFrom(waiting: readonly Sequence[], next: number, count: number): number[] {
  return [...new Set(waiting.slice(next, next + count).map(({ promptIndex }) => promptIndex))];
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

/** What every step of one call of `sample` reads. */
interface StepContext {
  readonly weights: Weights;
  readonly cache: KeyValueCache;
  readonly tables: { readonly cos: Float32Array; readonly sin: Float32Array };
}

/** Binds the program to T new positions in each of the first B rows of the cache; `scope` holds all native handles. */
function bindStep(
  runtime: Runtime,
  program: Program,
  config: ModelConfig,
  { weights, cache, tables }: StepContext,
  [B, T]: readonly [number, number],
  scope: NativeScope,
): BoundStep {
  const half = config.headDim / 2;
  const tableDims = [tables.cos.length / half, half];
  const zeros = (dtype: "int64" | "int32" | "float32", dims: readonly number[]) =>
    scope.hold(runtime.zeros(dtype, dims));
  const tensors = {
    ids: zeros("int64", [B, T]),
    positions: zeros("int64", [B, T]),
    lastPositions: zeros("int32", [B]),
    totalLength: zeros("int32", []),
    rows: zeros("int64", [B]),
    cos: scope.hold(runtime.view("float32", tableDims, tables.cos)),
    sin: scope.hold(runtime.view("float32", tableDims, tables.sin)),
  } satisfies Record<string, DeviceTensor>;
  const logits = zeros("float32", [B, config.vocabSize]);
  const slots = cache.bind(B, scope);
  const feeds = new Map([...weights.tensors, ...Object.entries(tensors), ...slots.feeds]);
  const call = scope.hold(program.prepare(feeds, new Map([...slots.fetches, ["logits", logits]])));
  const inputs = {
    ids: tensors.ids.data as BigInt64Array,
    positions: tensors.positions.data as BigInt64Array,
    lastPositions: tensors.lastPositions.data as Int32Array,
    totalLength: tensors.totalLength.data as Int32Array,
    rows: tensors.rows.data as BigInt64Array,
  };
  return { inputs, logits: logits.data as Float32Array, call };
}

/** One decoding step over the first rows of the cache; the call is prepared anew only when their number changes. */
class DecodeStep {
  readonly #bind: (rows: number) => BoundStep;
  readonly #scope = new NativeScope();
  #bound: { readonly rows: number; readonly step: BoundStep } | undefined;

  constructor(runtime: Runtime, program: Program, config: ModelConfig, context: StepContext) {
    this.#bind = (rows) => bindStep(runtime, program, config, context, [rows, 1], this.#scope);
  }

  /** Logits [rows · V] after these last tokens; `lengths`: tokens of each sequence so far, the last one included. */
  async run(lastTokens: readonly number[], lengths: readonly number[]): Promise<Float32Array> {
    const rows = lastTokens.length;
    if (this.#bound?.rows !== rows) {
      this.dispose();
      this.#bound = { rows, step: this.#bind(rows) };
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
