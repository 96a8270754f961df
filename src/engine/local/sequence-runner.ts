/**
 * Runs the sequence program over micro-batches: lays tokens out, feeds them, and brings per-token results back to the
 * data that they belong to.
 */

import { EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import { type LossInputName, lossInputs } from "../../losses/token-losses.ts";
import { rotaryTables } from "../../model/decoder.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { NativeScope } from "../../runtime/native-scope.ts";
import type { DeviceTensor, Program, Runtime } from "../../runtime/runtime.ts";
import type { Datum, ForwardBackwardResult, ForwardResult, ScoreDatum } from "../engine.ts";
import { type MicroBatch, planMicroBatches } from "./micro-batches.ts";
import { gradientName, sequenceGraph } from "./programs.ts";
import type { OptimizerState, Weights } from "./weights.ts";

/** Added to the score of a position that must not be attended to: its probability is exactly 0 in f32. */
const MASKED = -1e9;

export class SequenceRunner {
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #budgetTokens: number;
  /** Compiled programs by loss (as JSON; `null` scores). */
  readonly #programs = new Map<string, Program>();

  /** `budgetTokens`: token positions of a micro-batch; decides memory and cache locality, not results. */
  constructor(runtime: Runtime, config: ModelConfig, budgetTokens: number) {
    this.#runtime = runtime;
    this.#config = config;
    this.#budgetTokens = budgetTokens;
  }

  /** Log-probabilities and entropies of completions under `weights`. */
  async score(weights: Weights, data: readonly ScoreDatum[], temperature: number): Promise<ForwardResult> {
    const results = emptyResults(data);
    const program = this.#program(null);
    for (const batch of planMicroBatches(data, this.#budgetTokens)) {
      const scope = new NativeScope();
      try {
        const inputs = this.#layOut(batch, data, temperature, scope);
        const call = scope.hold(program.prepare(new Map([...weights.tensors, ...inputs])));
        await call.run();
        scatter(batch, call.results, results);
      } finally {
        scope.dispose();
      }
    }
    return results;
  }

  /** Adds the gradient of Σ weight · term to `state` and returns the loss and what `score` returns. */
  async train(
    weights: Weights,
    state: OptimizerState,
    data: readonly Datum[],
    loss: LossSpec,
  ): Promise<ForwardBackwardResult> {
    const columns = ["weights", ...lossInputs(loss)] as const;
    for (const name of columns) requirePerToken(data, name);
    const results = emptyResults(data);
    const program = this.#program(loss);
    const temperature = loss.name === "cross_entropy" ? 1 : loss.temperature;
    const outputs = new Map([...state.batchGradients].map(([name, tensor]) => [gradientName(name), tensor]));
    let total = 0;
    for (const batch of planMicroBatches(data, this.#budgetTokens)) {
      const scope = new NativeScope();
      try {
        const inputs = this.#layOut(batch, data, temperature, scope);
        for (const name of columns) inputs.set(name, this.#perToken(batch, data, name, scope));
        const call = scope.hold(program.prepare(new Map([...weights.tensors, ...inputs]), outputs));
        await call.run();
        state.accumulate();
        total += call.results.get("loss")!.data[0] as number;
        scatter(batch, call.results, results);
      } finally {
        scope.dispose();
      }
    }
    return { ...results, loss: total };
  }

  dispose(): void {
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
  }

  #program(loss: LossSpec | null): Program {
    // Temperature is an input, so it does not make a program of its own.
    const key = JSON.stringify(loss && { ...loss, temperature: undefined });
    let program = this.#programs.get(key);
    if (!program) {
      const { graph, outputs } = sequenceGraph(this.#config, loss);
      program = this.#runtime.compile(graph, outputs);
      this.#programs.set(key, program);
    }
    return program;
  }

  /** The inputs of the sequence program besides the weights, held by `scope`. */
  #layOut(
    batch: MicroBatch,
    data: readonly ScoreDatum[],
    temperature: number,
    scope: NativeScope,
  ): Map<string, DeviceTensor> {
    const { promptLength: P, completionLength: C, promptRows, sequences } = batch;
    const R = promptRows.length;
    const S = sequences.length;
    const ids = new BigInt64Array(R * P + S * C);
    const positions = new BigInt64Array(R * P + S * C);
    const promptBias = new Float32Array(R * P).fill(MASKED);
    const membership = new Float32Array(S * R);
    const targets = new BigInt64Array(S * C);
    let positionCount = P;

    promptRows.forEach((datum, row) => {
      const tokens = data[datum]!.promptTokens;
      for (let t = 0; t < P; t++) positions[row * P + t] = BigInt(t);
      for (let t = 0; t < tokens.length - 1; t++) {
        ids[row * P + t] = BigInt(tokens[t]!);
        promptBias[row * P + t] = 0;
      }
    });
    sequences.forEach(({ datum, promptRow }, s) => {
      membership[s * R + promptRow] = 1;
      const { promptTokens, completionTokens } = data[datum]!;
      const first = promptTokens.length - 1;
      positionCount = Math.max(positionCount, first + C);
      for (let t = 0; t < C; t++) positions[R * P + s * C + t] = BigInt(first + t);
      for (let t = 0; t < completionTokens.length; t++) {
        const input = t === 0 ? promptTokens[first]! : completionTokens[t - 1]!;
        ids[R * P + s * C + t] = BigInt(input);
        targets[s * C + t] = BigInt(completionTokens[t]!);
      }
    });
    const tables = rotaryTables(this.#config, positionCount);
    const half = this.#config.headDim / 2;
    const promptOf = BigInt64Array.from(sequences, ({ promptRow }) => BigInt(promptRow));
    const filled = (dims: readonly number[], values: Float32Array | BigInt64Array) =>
      scope.hold(this.#filled(dims, values));
    return new Map([
      ["ids", filled([ids.length], ids)],
      ["positions", filled([positions.length], positions)],
      ["cos", filled([positionCount, half], tables.cos)],
      ["sin", filled([positionCount, half], tables.sin)],
      ["promptBias", filled([R, P], promptBias)],
      ["promptCausal", filled([P, P], causalMask(P))],
      ["completionCausal", filled([C, C], causalMask(C))],
      ["promptOf", filled([S], promptOf)],
      ["membership", filled([S, R], membership)],
      ["targets", filled([S * C], targets)],
      ["inverseTemperature", filled([], Float32Array.of(1 / temperature))],
    ]);
  }

  /** Per-token loss data in the layout of the batch, 0 at padding. */
  #perToken(
    { completionLength: C, sequences }: MicroBatch,
    data: readonly Datum[],
    name: PerTokenName,
    scope: NativeScope,
  ): DeviceTensor {
    const values = new Float32Array(sequences.length * C);
    sequences.forEach(({ datum }, s) => {
      values.set(data[datum]![name]!, s * C);
    });
    return scope.hold(this.#filled([values.length], values));
  }

  /** A tensor with these values, in memory that the runtime can read. */
  #filled(dims: readonly number[], values: Float32Array | BigInt64Array): DeviceTensor {
    const tensor = this.#runtime.zeros(values instanceof Float32Array ? "float32" : "int64", dims);
    if (values instanceof Float32Array) (tensor.data as Float32Array).set(values);
    else (tensor.data as BigInt64Array).set(values);
    return tensor;
  }
}

type PerTokenName = "weights" | LossInputName;

/** Throws EngineError unless every datum has this column, with one value for each completion token. */
function requirePerToken(data: readonly Datum[], name: PerTokenName): void {
  data.forEach(({ completionTokens: { length }, ...columns }, datum) => {
    const own = columns[name];
    if (own?.length === length) return;
    const found = own ? `${own.length} ${name}` : `no ${name}`;
    throw new EngineError(`Datum ${datum} has ${length} completion tokens and ${found}; this loss needs one for each.`);
  });
}

/** 0 at and before the diagonal, masked after. */
function causalMask(size: number): Float32Array {
  const mask = new Float32Array(size * size);
  for (let row = 0; row < size; row++) mask.fill(MASKED, row * size + row + 1, (row + 1) * size);
  return mask;
}

function emptyResults(data: readonly ScoreDatum[]): { logprobs: Float32Array[]; entropies: Float32Array[] } {
  const empty = () => data.map(({ completionTokens }) => new Float32Array(completionTokens.length));
  return { logprobs: empty(), entropies: empty() };
}

function scatter(
  { completionLength: C, sequences }: MicroBatch,
  outputs: ReadonlyMap<string, DeviceTensor>,
  results: { logprobs: Float32Array[]; entropies: Float32Array[] },
): void {
  for (const name of ["logprobs", "entropies"] as const) {
    const values = outputs.get(name)!.data as Float32Array;
    sequences.forEach(({ datum }, s) => {
      const target = results[name][datum]!;
      target.set(values.subarray(s * C, s * C + target.length));
    });
  }
}
