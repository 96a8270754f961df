/**
 * Continuous batching: completes many prompts with one decoding program and a fixed number of slots.
 *
 * Each distinct prompt is computed once (prefill) and its keys and values are copied to the slot of each of its samples.
 * A step computes one token for every active slot; a sequence that has ended leaves its slot to a waiting one, and when
 * none waits the batch shrinks (the last active row moves into the hole). The draw for a token depends on nothing but
 * (seed, iteration, prompt id, sample, position), so results do not depend on which sequences shared a batch.
 */

import { rotaryTables } from "../../model/decoder.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { hashString, philox } from "../../random.ts";
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

export class Sampler {
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #limits: SamplerLimits;
  readonly #program: Program;
  /** The slots' cache, kept between calls and replaced by a larger one when needed. */
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
    const waiting = prompts.flatMap(({ numSamples }, promptIndex) =>
      Array.from(
        { length: numSamples },
        (_, sampleIndex): Sequence => ({ promptIndex, sampleIndex, tokens: [], logprobs: [] }),
      ),
    );
    const total = waiting.length;
    const results: SampledSequence[] = [];
    if (total === 0) return results;
    const longestPrompt = prompts.reduce((longest, { tokens }) => Math.max(longest, tokens.length), 0);
    const cache = this.#slots(total, longestPrompt + params.maxCompletionTokens);
    const tables = rotaryTables(this.#config, cache.positions);
    const decode = new DecodeStep(this.#runtime, this.#program, this.#config, weights, cache, tables);
    const computed = new Map<number, ComputedPrompt>();
    const active: Sequence[] = [];
    let next = 0;
    let tokenCount = 0;

    /** Draws the next token of a sequence; true where that ends it. */
    const extend = (sequence: Sequence, logits: Float32Array): boolean => {
      const { token, logprob } = this.#draw(prompts[sequence.promptIndex]!, sequence, logits, params);
      sequence.tokens.push(token);
      sequence.logprobs.push(logprob);
      tokenCount++;
      const stopped = params.stopTokenIds.includes(token);
      if (!stopped && sequence.tokens.length < params.maxCompletionTokens) return false;
      results.push({
        promptIndex: sequence.promptIndex,
        sampleIndex: sequence.sampleIndex,
        tokens: Int32Array.from(sequence.tokens),
        logprobs: Float32Array.from(sequence.logprobs),
        finishReason: stopped ? "stop" : "length",
      });
      return true;
    };

    try {
      while (active.length > 0 || next < total) {
        while (active.length < cache.rows && next < total) {
          const sequence = waiting[next]!;
          if (!computed.has(sequence.promptIndex)) {
            computed.clear();
            await this.#prefill(weights, prompts, sequence.promptIndex, cache.rows, computed);
          }
          next++;
          const prompt = computed.get(sequence.promptIndex)!;
          if (extend(sequence, prompt.logits)) continue;
          cache.copyRow(active.length, prompt.cache, prompt.row, prompts[sequence.promptIndex]!.tokens.length);
          active.push(sequence);
        }
        if (active.length === 0) continue;
        const lengths = active.map(({ promptIndex, tokens }) => prompts[promptIndex]!.tokens.length + tokens.length);
        const logits = await decode.run(
          active.map(({ tokens }) => tokens[tokens.length - 1]!),
          lengths,
        );
        const ended: number[] = [];
        active.forEach((sequence, row) => {
          if (extend(sequence, logits.subarray(row * this.#config.vocabSize, (row + 1) * this.#config.vocabSize)))
            ended.push(row);
        });
        for (const row of ended.reverse()) {
          const last = active.pop()!;
          if (row === active.length) continue;
          cache.copyRow(row, cache, active.length, lengths[active.length]!);
          active[row] = last;
        }
        onProgress?.({ finished: results.length, total, tokens: tokenCount });
      }
    } finally {
      decode.dispose();
    }
    return results.sort((a, b) => a.promptIndex - b.promptIndex || a.sampleIndex - b.sampleIndex);
  }

  dispose(): void {
    this.#program.dispose();
    this.#cache = undefined;
  }

  #slots(sequences: number, positions: number): KeyValueCache {
    const affordable = Math.max(
      1,
      Math.floor(this.#limits.cacheBytes / KeyValueCache.rowBytes(this.#config, positions)),
    );
    const rows = Math.min(sequences, this.#limits.maxSlots, affordable);
    if (!this.#cache || this.#cache.rows < rows || this.#cache.positions < positions) {
      this.#cache = new KeyValueCache(this.#runtime, this.#config, rows, positions);
    }
    return this.#cache;
  }

  #draw(prompt: SamplePrompt, sequence: Sequence, logits: Float32Array, params: SamplingParams): Draw {
    const position = sequence.tokens.length;
    const counter = [position, sequence.sampleIndex, prompt.promptId, params.iteration] as const;
    const u = philox(params.seed, SAMPLING_STREAM, counter)[0] / 0x1_0000_0000;
    const tooEarly = position < (params.minCompletionTokens ?? 0);
    return drawToken(logits, u, params, tooEarly ? params.stopTokenIds : []);
  }

  /** Computes prompts from index `first` on, as many as fit one prefill and may be needed soon, into `computed`. */
  async #prefill(
    weights: Weights,
    prompts: readonly SamplePrompt[],
    first: number,
    slots: number,
    computed: Map<number, ComputedPrompt>,
  ): Promise<void> {
    const members: number[] = [];
    let length = 0; // T
    let samples = 0;
    for (let index = first; index < prompts.length && samples < slots; index++) {
      const longest = Math.max(length, prompts[index]!.tokens.length);
      if (members.length > 0 && longest * (members.length + 1) > PREFILL_TOKENS) break;
      if (prompts[index]!.numSamples === 0) continue;
      members.push(index);
      length = longest;
      samples += prompts[index]!.numSamples;
    }
    const B = members.length;
    const cache = new KeyValueCache(this.#runtime, this.#config, B, length);
    const bound = cache.bind(B);
    const tables = rotaryTables(this.#config, length);
    const inputs = decodeInputs(this.#runtime, this.#config, B, length, tables);
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
    const logits = this.#runtime.zeros("float32", [B, this.#config.vocabSize]);
    const call = this.#program.prepare(
      new Map([...weights.tensors, ...inputs.tensors, ...bound.feeds]),
      new Map([...bound.fetches, ["logits", logits]]),
    );
    try {
      await call.run();
    } finally {
      call.dispose();
      bound.dispose();
      logits.dispose();
      for (const tensor of inputs.tensors.values()) tensor.dispose();
    }
    const { vocabSize } = this.#config;
    members.forEach((index, row) => {
      const rowLogits = (logits.data as Float32Array).subarray(row * vocabSize, (row + 1) * vocabSize);
      computed.set(index, { cache, row, logits: rowLogits });
    });
  }
}

/** The inputs of the sampling program besides weights and cache, with their memory at hand. */
interface DecodeInputs {
  readonly ids: BigInt64Array;
  readonly positions: BigInt64Array;
  readonly lastPositions: Int32Array;
  readonly totalLength: Int32Array;
  readonly rows: BigInt64Array;
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
}

function decodeInputs(
  runtime: Runtime,
  config: ModelConfig,
  B: number,
  T: number,
  tables: { cos: Float32Array; sin: Float32Array },
): DecodeInputs {
  const half = config.headDim / 2;
  const tableDims = [tables.cos.length / half, half];
  const tensors = new Map([
    ["ids", runtime.zeros("int64", [B, T])],
    ["positions", runtime.zeros("int64", [B, T])],
    ["lastPositions", runtime.zeros("int32", [B])],
    ["totalLength", runtime.zeros("int32", [])],
    ["rows", runtime.zeros("int64", [B])],
    ["cos", runtime.view("float32", tableDims, tables.cos)],
    ["sin", runtime.view("float32", tableDims, tables.sin)],
  ]);
  const data = (name: string) => tensors.get(name)!.data;
  return {
    ids: data("ids") as BigInt64Array,
    positions: data("positions") as BigInt64Array,
    lastPositions: data("lastPositions") as Int32Array,
    totalLength: data("totalLength") as Int32Array,
    rows: data("rows") as BigInt64Array,
    tensors,
  };
}

/** One decoding step over the first rows of the cache; the call is prepared anew only when their number changes. */
class DecodeStep {
  readonly #create: (rows: number) => BoundStep;
  readonly #vocabSize: number;
  #bound: BoundStep | undefined;

  constructor(
    runtime: Runtime,
    program: Program,
    config: ModelConfig,
    weights: Weights,
    cache: KeyValueCache,
    tables: { cos: Float32Array; sin: Float32Array },
  ) {
    this.#vocabSize = config.vocabSize;
    this.#create = (rows) => {
      const inputs = decodeInputs(runtime, config, rows, 1, tables);
      const slots = cache.bind(rows);
      const logits = runtime.zeros("float32", [rows, config.vocabSize]);
      const call = program.prepare(
        new Map([...weights.tensors, ...inputs.tensors, ...slots.feeds]),
        new Map([...slots.fetches, ["logits", logits]]),
      );
      const dispose = () => {
        call.dispose();
        slots.dispose();
        logits.dispose();
        for (const tensor of inputs.tensors.values()) tensor.dispose();
      };
      return { rows, inputs, logits, call, dispose };
    };
  }

  /** Logits [rows · V] after these last tokens; `lengths`: tokens of each sequence so far, the last one included. */
  async run(lastTokens: readonly number[], lengths: readonly number[]): Promise<Float32Array> {
    if (this.#bound?.rows !== lastTokens.length) {
      this.#bound?.dispose();
      this.#bound = this.#create(lastTokens.length);
    }
    const { inputs, call, logits } = this.#bound!;
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
    return (logits.data as Float32Array).subarray(0, lastTokens.length * this.#vocabSize);
  }

  dispose(): void {
    this.#bound?.dispose();
  }
}

interface BoundStep {
  readonly rows: number;
  readonly inputs: DecodeInputs;
  readonly logits: DeviceTensor;
  readonly call: PreparedCall;
  readonly dispose: () => void;
}
