/**
 * ONNX Runtime in this process: one library, one environment, one pool of threads, whatever devices are opened on it.
 */

import { RuntimeFailure } from "../../errors.ts";
import { OrtApi, type Pointer } from "./ort-api.ts";

/** Of what it reports as an error ONNX Runtime also gives a status, which becomes a RuntimeFailure: not said twice. */
const LOG_FATAL_ONLY = 4;
const ARENA_ALLOCATOR = 1;
const DEFAULT_MEMORY = 0;

/** What calls of the C API go through. */
export type NativeApi = Pick<
  OrtApi,
  "libraryPath" | "version" | "call" | "create" | "release" | "callAsync" | "createAsync"
>;

/** What devices take of the environment. */
export interface NativeEnvironment {
  readonly api: NativeApi;
  /** The native environment. */
  readonly handle: Pointer;
  /** What says that memory is the host's. */
  readonly hostMemory: Pointer;
}

/** The library, opened with a number of threads. */
export class OrtEnvironment implements NativeEnvironment {
  static #instance: OrtEnvironment | undefined;
  readonly api = new OrtApi();
  readonly threads: number;
  readonly handle: Pointer;
  readonly hostMemory: Pointer;

  /**
   * The process's environment. ONNX Runtime has one thread pool per process: the first call decides how many threads it
   * has, and a later call with another number throws RuntimeFailure.
   */
  static open(threads: number): OrtEnvironment {
    OrtEnvironment.#instance ??= new OrtEnvironment(threads);
    const opened = OrtEnvironment.#instance;
    if (opened.threads !== threads) {
      throw new RuntimeFailure(
        `this process computes with ${opened.threads} threads already, not ${threads}: ` +
          "there is one pool of threads for all engines of a process, so open each with the same number",
      );
    }
    return opened;
  }

  private constructor(threads: number) {
    this.threads = threads;
    const { api } = this;
    const options = api.create("CreateThreadingOptions");
    try {
      api.call("SetGlobalIntraOpNumThreads", options, threads);
      // Denormals slow AVX code down a hundredfold and carry nothing at f32's scale of log-probabilities.
      api.call("SetGlobalDenormalAsZero", options);
      this.handle = api.create("CreateEnvWithGlobalThreadPools", LOG_FATAL_ONLY, "aha", options);
    } finally {
      api.release("ReleaseThreadingOptions", options);
    }
    this.hostMemory = api.create("CreateCpuMemoryInfo", ARENA_ALLOCATOR, DEFAULT_MEMORY);
  }
}
