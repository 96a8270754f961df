/**
 * ONNX Runtime as WebAssembly: the module inside of the npm package onnxruntime-web, called by its exported functions.
 *
 * The package's own interface copies every input into the module's memory and every output out of it, which for a key-value
 * cache is nearly all of a step. The functions below it take pointers, so tensors live in that memory and a program reads
 * and writes them in place, as on Node. They are no public interface: the package is pinned to one version, and a test runs
 * the engine on it.
 *
 * The memory grows and never moves: views of it stay valid, because it is shared memory also where there is one thread.
 */

import { RuntimeFailure } from "../../errors.ts";
import type { LoweredGraph } from "../../graph/onnx.ts";

/** An address in the module's memory. */
export type Address = number;

/** The version of onnxruntime-web whose functions these are; package.json pins the same. */
export const REQUIRED_VERSION = "1.30.0";

/** A code that is 0 for success; builds that can wait for a GPU give a promise of it. */
type Code = number | Promise<number>;

/** What is used of the module that Emscripten makes. */
export interface OrtModule {
  readonly HEAPU8: Uint8Array;
  readonly PTR_SIZE: number;
  _malloc(bytes: number): Address;
  _free(address: Address): void;
  stackSave(): Address;
  stackRestore(stack: Address): void;
  stackAlloc(bytes: number): Address;
  getValue(address: Address, type: string): number;
  setValue(address: Address, value: number, type: string): void;
  UTF8ToString(address: Address): string;
  lengthBytesUTF8(text: string): number;
  stringToUTF8(text: string, address: Address, maxBytes: number): void;
  _OrtInit(threads: number, loggingLevel: number): number;
  _OrtGetLastError(code: Address, message: Address): number;
  _OrtCreateSessionOptions(
    graphOptimizationLevel: number,
    cpuArena: boolean,
    memoryPattern: boolean,
    executionMode: number,
    profiling: boolean,
    profilePrefix: Address,
    logId: Address,
    logSeverity: number,
    logVerbosity: number,
    optimizedModelPath: Address,
  ): Address;
  _OrtReleaseSessionOptions(options: Address): number;
  _OrtAddSessionConfigEntry(options: Address, key: Address, value: Address): number;
  _OrtAppendExecutionProvider(options: Address, name: Address, keys: Address, values: Address, count: number): Code;
  _OrtCreateSession(model: Address, bytes: number, options: Address): Address | Promise<Address>;
  _OrtReleaseSession(session: Address): number;
  _OrtCreateTensor(type: number, data: Address, bytes: number, dims: Address, rank: number, location: number): Address;
  _OrtReleaseTensor(tensor: Address): number;
  _OrtRun(
    session: Address,
    inputNames: Address,
    inputs: Address,
    inputCount: number,
    outputNames: Address,
    outputCount: number,
    outputs: Address,
    runOptions: Address,
  ): Code;
  _OrtCreateRunOptions(logSeverity: number, logVerbosity: number, terminate: boolean, tag: Address): Address;
}

/** Functions that a module of another version may lack. */
const FUNCTIONS = [
  ...(["_OrtInit", "_OrtGetLastError", "_OrtCreateSessionOptions", "_OrtReleaseSessionOptions"] as const),
  ...(["_OrtAddSessionConfigEntry", "_OrtCreateSession", "_OrtReleaseSession", "_OrtCreateTensor"] as const),
  ...(["_OrtReleaseTensor", "_OrtRun", "_OrtCreateRunOptions", "stackSave", "stackAlloc", "getValue"] as const),
] satisfies readonly (keyof OrtModule)[];

/** The functions that a module does not have, of those that are called. */
export function missingFunctions(module: OrtModule): readonly string[] {
  return FUNCTIONS.filter((name) => typeof module[name] !== "function");
}

/** What the package's .mjs file exports by default. */
export type OrtModuleFactory = (settings: {
  readonly numThreads: number;
  readonly wasmBinary?: ArrayBuffer;
  readonly locateFile?: (name: string) => string;
  readonly printErr?: (text: string) => void;
}) => Promise<OrtModule>;

/** Where a tensor's data are: in the module's memory, or in a buffer of WebGPU. */
export const LOCATION = { memory: 1, gpuBuffer: 4 } as const;

const ALL_OPTIMIZATIONS = 99;
const SEQUENTIAL = 0;
const LOG_FATAL_ONLY = 4;
const NONE = 0;

/** The module, opened with a number of threads, and its calls with errors thrown. */
export class OrtWeb {
  readonly module: OrtModule;
  readonly threads: number;
  readonly #runOptions: Address;

  constructor(module: OrtModule, threads: number) {
    this.module = module;
    this.threads = threads;
    this.check("OrtInit", module._OrtInit(threads, LOG_FATAL_ONLY));
    this.#runOptions = this.made("OrtCreateRunOptions", module._OrtCreateRunOptions(LOG_FATAL_ONLY, 0, false, NONE));
  }

  /** Throws RuntimeFailure for a code that is not 0. */
  check(call: string, code: number): void {
    if (code !== 0) throw this.#failure(call);
  }

  /** What a call made. Throws RuntimeFailure where that is nothing. */
  made(call: string, address: Address): Address {
    if (address === NONE) throw this.#failure(call);
    return address;
  }

  #failure(call: string): RuntimeFailure {
    const { module } = this;
    const stack = module.stackSave();
    try {
      const found = module.stackAlloc(2 * module.PTR_SIZE);
      module._OrtGetLastError(found, found + module.PTR_SIZE);
      const message = module.getValue(found + module.PTR_SIZE, "*");
      return new RuntimeFailure(
        `ONNX Runtime, ${call}: ${message === NONE ? "no reason" : module.UTF8ToString(message)}`,
      );
    } finally {
      module.stackRestore(stack);
    }
  }

  /** Memory of the module's own. Throws RuntimeFailure where there is no more. */
  allocate(bytes: number): Address {
    const address = this.module._malloc(Math.max(bytes, 1));
    if (address === NONE) {
      throw new RuntimeFailure(`ONNX Runtime: ${bytes} bytes of memory are not there (WebAssembly has 4 GiB at most)`);
    }
    return address;
  }

  free(address: Address): void {
    this.module._free(address);
  }

  /** A view of bytes of the module's memory. */
  bytes(address: Address, length: number): Uint8Array {
    const { module } = this;
    // Where a thread has made the memory grow, the module sees it at its next look.
    if (address + length > module.HEAPU8.byteLength) module.getValue(address + length - 1, "i8");
    return new Uint8Array(module.HEAPU8.buffer, address, length);
  }

  /** A text that ends with a zero byte. The caller frees it. */
  text(text: string): Address {
    const { module } = this;
    const bytes = module.lengthBytesUTF8(text) + 1;
    const address = this.allocate(bytes);
    module.stringToUTF8(text, address, bytes);
    return address;
  }

  /** Addresses one after another. The caller frees the array. */
  addresses(all: readonly Address[]): Address {
    const { module } = this;
    const array = this.allocate(all.length * module.PTR_SIZE);
    for (const [i, address] of all.entries()) module.setValue(array + i * module.PTR_SIZE, address, "*");
    return array;
  }

  /** A tensor over data that stays where it is. */
  tensor(onnxType: number, data: Address, bytes: number, dims: readonly number[], location: number): Address {
    const { module } = this;
    const stack = module.stackSave();
    try {
      const sizes = module.stackAlloc(Math.max(1, dims.length) * module.PTR_SIZE);
      for (const [axis, size] of dims.entries()) module.setValue(sizes + axis * module.PTR_SIZE, size, "i32");
      const tensor = module._OrtCreateTensor(onnxType, data, bytes, sizes, dims.length, location);
      return this.made("OrtCreateTensor", tensor);
    } finally {
      module.stackRestore(stack);
    }
  }

  /** Adds an entry to the options of a session. */
  configure(options: Address, key: string, value: string): void {
    const [name, text] = [this.text(key), this.text(value)];
    try {
      this.check("OrtAddSessionConfigEntry", this.module._OrtAddSessionConfigEntry(options, name, text));
    } finally {
      for (const address of [name, text]) this.free(address);
    }
  }

  /** Makes sessions with these options run on a provider. */
  async appendProvider(options: Address, provider: string, settings: Readonly<Record<string, number>>): Promise<void> {
    const keys = Object.keys(settings).map((key) => this.text(key));
    const values = Object.values(settings).map((value) => this.text(String(value)));
    const [name, keyArray, valueArray] = [this.text(provider), this.addresses(keys), this.addresses(values)];
    try {
      const call = this.module._OrtAppendExecutionProvider(options, name, keyArray, valueArray, keys.length);
      this.check("OrtAppendExecutionProvider", await call);
    } finally {
      for (const address of [name, keyArray, valueArray, ...keys, ...values]) this.free(address);
    }
  }

  /** Compiles a model; `configure` adds to the options of the session. */
  async session(model: Uint8Array, configure: (options: Address) => Promise<void> = async () => {}): Promise<Address> {
    const { module } = this;
    // Without an arena each program gives its memory back: sizes change from run to run, and an arena for each of many
    // programs would keep the most that each ever took.
    const options = this.made(
      "OrtCreateSessionOptions",
      module._OrtCreateSessionOptions(
        ...([ALL_OPTIMIZATIONS, false, false, SEQUENTIAL, false, NONE, NONE, LOG_FATAL_ONLY, 0, NONE] as const),
      ),
    );
    const copy = this.allocate(model.length);
    try {
      await configure(options);
      this.bytes(copy, model.length).set(model);
      return this.made("OrtCreateSession", await module._OrtCreateSession(copy, model.length, options));
    } finally {
      this.free(copy);
      this.check("OrtReleaseSessionOptions", module._OrtReleaseSessionOptions(options));
    }
  }

  /** What a run is given beside its tensors. */
  get runOptions(): Address {
    return this.#runOptions;
  }
}

/** A compiled model, and the names of what it reads and writes. */
export class OrtSession {
  readonly handle: Address;
  readonly #ort: OrtWeb;
  readonly #inputNames: TensorNames;
  readonly #outputNames: TensorNames;

  constructor(ort: OrtWeb, handle: Address, { inputs, shapeInputs, outputs }: Omit<LoweredGraph, "model">) {
    this.#ort = ort;
    this.handle = handle;
    this.#inputNames = new TensorNames(ort, [...inputs, ...shapeInputs]);
    this.#outputNames = new TensorNames(ort, outputs);
  }

  /** Runs it on these tensors, in the order of the graph's inputs and outputs. */
  async run(inputs: readonly Address[], outputs: readonly Address[]): Promise<void> {
    const { module, runOptions } = this.#ort;
    const operands = this.#ort.addresses([...inputs, ...outputs]);
    try {
      const results = operands + inputs.length * module.PTR_SIZE;
      const read = [this.#inputNames.array, operands, inputs.length] as const;
      const written = [this.#outputNames.array, outputs.length, results] as const;
      const code = module._OrtRun(this.handle, ...read, ...written, runOptions);
      this.#ort.check("OrtRun", typeof code === "number" ? code : await code);
    } finally {
      this.#ort.free(operands);
    }
  }

  dispose(): void {
    this.#ort.module._OrtReleaseSession(this.handle);
    this.#inputNames.dispose();
    this.#outputNames.dispose();
  }
}

/** Names of a session's tensors in the module's memory. */
class TensorNames {
  readonly array: Address;
  readonly #ort: OrtWeb;
  readonly #texts: readonly Address[];

  constructor(ort: OrtWeb, named: readonly { readonly name: string }[]) {
    this.#ort = ort;
    this.#texts = named.map(({ name }) => ort.text(name));
    this.array = ort.addresses(this.#texts);
  }

  dispose(): void {
    for (const text of this.#texts) this.#ort.free(text);
    this.#ort.free(this.array);
  }
}
