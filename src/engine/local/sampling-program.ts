/**
 * The sampling program, and its use in decoding: one new position of every sequence in the first rows of a cache. Its other
 * use, prompts, is `prefill.ts`. Logits stay on the device; what is asked of them is a draw.
 */

import { CompiledPrograms } from "../../compute/compiled-programs.ts";
import type { Device, DeviceTensor } from "../../compute/device.ts";
import { dtypeRefusal } from "../../compute/device-dtype.ts";
import type { Draw, DrawRequest } from "../../compute/draw-token.ts";
import { HostInput, read, tensorOf } from "../../compute/host-memory.ts";
import { compile, type PreparedCall, type Program, type ProgramGraph } from "../../compute/program.ts";
import { type Disposable, Scope } from "../../compute/scope.ts";
import { EngineError } from "../../errors.ts";
import type { FloatDType } from "../../graph/tensor-type.ts";
import { rotaryInputTables } from "../../model/decoder.ts";
import { rowLimits, type WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import type { KeyValueCache } from "./key-value-cache.ts";
import { samplingGraph } from "./programs.ts";
import { sharedPromptGraph } from "./shared-prompt-graph.ts";
import { SharedPromptStep } from "./shared-prompt-step.ts";
import { SharedPrompts } from "./shared-prompts.ts";
import { cacheDType } from "./trunk.ts";
import type { Weights } from "./weights.ts";

/** The compiled program. Dispose of it, once no call of it runs. */
export class SamplingProgram implements Disposable {
  readonly device: Device;
  readonly config: ModelConfig;
  /** Of the key-value cache. */
  readonly cacheDType: FloatDType;
  readonly #form: WeightForm;
  /** Undefined where the device cannot sample in this dtype. */
  readonly #program: Program | undefined;
  /** Limits of rows up to which another program is faster, ascending. */
  readonly #limits: readonly number[];
  /** The programs of these limits, those for shared prompts, and the one that scores its positions. */
  readonly #others: CompiledPrograms<string>;
  /** Rotary tables of the most positions that were asked for. */
  #rotary: { readonly count: number; readonly tables: ReadonlyMap<string, Float32Array> } | undefined;

  private constructor(device: Device, config: ModelConfig, form: WeightForm, program: Program | undefined) {
    this.device = device;
    this.config = config;
    this.#form = form;
    this.cacheDType = cacheDType(device.target, form.dtype);
    this.#program = program;
    this.#limits = rowLimits(config, form);
    this.#others = new CompiledPrograms(device);
  }

  /** Of a device that cannot sample in this dtype nothing is compiled: the model scores and trains there, and draws are refused. */
  static async compile(device: Device, config: ModelConfig, form: WeightForm): Promise<SamplingProgram> {
    if (refusalOf(device, form) !== undefined) return new SamplingProgram(device, config, form, undefined);
    const { graph, outputs } = samplingGraph(config, form, { cacheDType: cacheDType(device.target, form.dtype) });
    return new SamplingProgram(device, config, form, await compile(device, graph, outputs));
  }

  dispose(): void {
    this.#program?.dispose();
    this.#others.dispose();
  }

  /** A token for each request, from its row of logits. */
  draw(logits: DeviceTensor<"float32">, requests: readonly DrawRequest[]): Promise<Draw[]> {
    return this.device.kernels.draw(logits, requests);
  }

  /** Decoding steps over these rows; dispose of it before they go. */
  decodeStep(weights: Weights, rows: StepRows): DecodeStep {
    const scope = new Scope();
    if (rows instanceof SharedPrompts) {
      const tables = this.tables(rows.prompts.positions + rows.own.positions, scope);
      const constants = new Map<string, DeviceTensor>([...weights.tensors, ...tables]);
      const programFor = (count: number) => this.#sharedProgramFor(count);
      const { vocabSize } = this.config;
      return new SharedPromptStep({ device: this.device, vocabSize, constants, programFor }, rows, scope);
    }
    const tables = this.tables(rows.positions, scope);
    return new WholeRowsStep(scope, (count, bound) => {
      const logits = bound.hold(this.device.allocate("float32", [count, this.config.vocabSize]));
      return this.bind({ weights, cache: rows, tables, logits }, 1, bound);
    });
  }

  /** Rotary tables of so many positions on the device; `scope` holds them. */
  tables(positions: number, scope: Scope): RotaryTensors {
    if (this.#rotary === undefined || this.#rotary.count < positions) {
      this.#rotary = { count: positions, tables: rotaryInputTables(this.config, positions) };
    }
    const half = this.config.headDim / 2;
    // A table of more positions begins with that of fewer.
    const tensor = (table: Float32Array) =>
      scope.hold(tensorOf(this.device, "float32", [positions, half], table.subarray(0, positions * half)));
    return new Map([...this.#rotary.tables].map(([name, table]) => [name, tensor(table)]));
  }

  /** Binds the program to T new positions in each of the cache's first rows, as many as there are rows of logits; `scope`
   * holds what is made for that. */
  async bind(operands: StepOperands, T: number, scope: Scope): Promise<BoundStep> {
    const program = await this.#programFor(operands.logits.dims[0]! * T);
    const { feeds, fetches, ...step } = this.#operands(operands, T, scope);
    return { ...step, call: scope.hold(program.prepare(feeds, fetches)) };
  }

  /** The program for a step of so many positions. */
  #programFor(positions: number): Program | Promise<Program> {
    const mostRows = this.#limitOf(positions);
    if (mostRows === undefined) return this.#program ?? this.#refuse();
    return this.#others.get(`${mostRows} rows`, () => this.#graph({ mostRows }));
  }

  /** The program for a step of so many sequences that share prompts. */
  #sharedProgramFor(sequences: number): Promise<Program> {
    const mostRows = this.#limitOf(sequences);
    const key = `shared prompts, ${mostRows ?? "many"} rows`;
    return this.#others.get(key, () => sharedPromptGraph(this.config, this.#form, mostRows));
  }

  /** The smallest limit of rows that so many keep; undefined where there is none. A single row keeps none. */
  #limitOf(rows: number): number | undefined {
    return rows === 1 ? undefined : this.#limits.find((limit) => rows <= limit);
  }

  #graph(options: { readonly scored?: boolean; readonly mostRows?: number }): ProgramGraph {
    if (this.#program === undefined) this.#refuse();
    return samplingGraph(this.config, this.#form, { ...options, cacheDType: this.cacheDType });
  }

  #refuse(): never {
    throw new EngineError(refusalOf(this.device, this.#form)!);
  }

  /** The same, with the scores of every position and so many alternatives each, at least one. */
  async bindScored(operands: StepOperands, T: number, alternatives: number, scope: Scope): Promise<ScoredStep> {
    const program = await this.#others.get("scored", () => this.#graph({ scored: true }));
    const { feeds, fetches, upload, ...step } = this.#operands(operands, T, scope);
    const targets = scope.hold(new HostInput(this.device, "int64", [operands.logits.dims[0]!, T]));
    feeds.set("targets", targets.tensor);
    feeds.set("alternatives", scope.hold(this.device.allocate("float32", [alternatives])));
    const call = scope.hold(program.prepare(feeds, fetches));
    return {
      ...step,
      upload: () => {
        upload();
        targets.upload();
      },
      call,
      targets: targets.data,
      scores: async () => ({
        targetLogprobs: (await call.floats("targetLogprobs"))!,
        topLogprobs: (await call.floats("topLogprobs"))!,
        topTokens: (await read(this.device, call.results.get("topTokens")!)) as BigInt64Array,
      }),
    };
  }

  #operands({ weights, cache, tables, logits }: StepOperands, T: number, scope: Scope) {
    const B = logits.dims[0]!;
    const input = <D extends "int64" | "int32">(dtype: D, dims: readonly number[]) =>
      scope.hold(new HostInput(this.device, dtype, dims));
    const own = {
      ids: input("int64", [B, T]),
      positions: input("int64", [B, T]),
      lastPositions: input("int32", [B]),
      totalLength: scope.hold(new HostInput(this.device, "int32", [], { onHost: true })),
      rows: input("int64", [B]),
    };
    const slots = cache.bind(B, scope);
    const named = Object.entries(own).map(([name, { tensor }]) => [name, tensor] as const);
    const feeds = new Map<string, DeviceTensor>([...weights.tensors, ...named, ...tables, ...slots.feeds]);
    const fetches = new Map<string, DeviceTensor>([...slots.fetches, ["logits", logits]]);
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
    return { inputs, upload, logits, feeds, fetches };
  }
}

function refusalOf(device: Device, { dtype = "float32" }: WeightForm): string | undefined {
  return dtypeRefusal(device, dtype);
}

/** What a step reads and writes besides its inputs. */
export interface StepOperands {
  readonly weights: Weights;
  readonly cache: KeyValueCache;
  readonly tables: RotaryTensors;
  readonly logits: DeviceTensor<"float32">; // [B, V]
}

/** Rotary tables by the names of the program's inputs. */
export type RotaryTensors = ReadonlyMap<string, DeviceTensor>;

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
  /** Brings the inputs to the device. */
  readonly upload: () => void;
  readonly logits: DeviceTensor<"float32">; // [B, V]
  readonly call: PreparedCall;
}

/** The scoring program, likewise; A alternatives. */
export interface ScoredStep extends BoundStep {
  /** The token after each position, to be filled like the inputs. */
  readonly targets: BigInt64Array; // [B, T]
  /** What the run has made of them. */
  readonly scores: () => Promise<{
    readonly targetLogprobs: Float32Array; // [B·T]
    readonly topLogprobs: Float32Array; // [B·T, A]
    readonly topTokens: BigInt64Array; // [B·T, A]
  }>;
}

/** Rows of whole sequences, or of completions whose prompts are shared. */
export type StepRows = KeyValueCache | SharedPrompts;

/** Decoding steps over the first of some rows. */
export interface DecodeStep extends Disposable {
  /** Logits [rows, V] after these last tokens, until the next run; `lengths`: tokens of each sequence so far, the last one
   * included. */
  run(lastTokens: readonly number[], lengths: readonly number[]): Promise<DeviceTensor<"float32">>;
}

/** Over a cache of whole sequences; the call is prepared anew only when the number of rows changes. */
class WholeRowsStep implements DecodeStep {
  readonly #bind: (rows: number, scope: Scope) => Promise<BoundStep>;
  /** What steps of any number of rows read. */
  readonly #common: Scope;
  readonly #scope = new Scope();
  #bound: { readonly rows: number; readonly step: BoundStep } | undefined;

  constructor(common: Scope, bind: (rows: number, scope: Scope) => Promise<BoundStep>) {
    this.#common = common;
    this.#bind = bind;
  }

  /** See `DecodeStep.run`. */
  async run(lastTokens: readonly number[], lengths: readonly number[]): Promise<DeviceTensor<"float32">> {
    const rows = lastTokens.length;
    if (this.#bound?.rows !== rows) {
      this.#bound = undefined;
      this.#scope.dispose();
      this.#bound = { rows, step: await this.#bind(rows, this.#scope) };
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
