/**
 * ONNX Runtime's C API over FFI: the few calls that Aha makes, typed.
 *
 * The shared library is the one inside the npm package onnxruntime-node; its official JavaScript binding is not used,
 * because that copies every output (measured in ARCHITECTURE.md). The C API is a table of function pointers whose order
 * never changes (`OrtApi` in onnxruntime_c_api.h; new functions are only appended), so a function is named here by its
 * position. Pointers are BigInts, as koffi has them.
 */

import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi from "koffi";
import { AhaError, RuntimeFailure } from "../../errors.ts";
import { LIBRARY_VARIABLE, type OrtLibrary, tooOld } from "./version.ts";

/** A native pointer. */
export type Pointer = bigint;

/** Pointers in memory outside V8's heap. */
export function pointerArray(pointers: readonly Pointer[]): BigUint64Array {
  const array = new BigUint64Array(new ArrayBuffer(Math.max(64, pointers.length * 8)), 0, pointers.length);
  array.set(pointers as Pointer[]);
  return array;
}

/** Names as C strings, and an array of pointers to them; both must outlive their use. */
export class NativeNames {
  readonly strings: Buffer[];
  readonly pointers: BigUint64Array;

  constructor(names: readonly string[]) {
    this.strings = names.map((name) => Buffer.concat([Buffer.from(name), Buffer.alloc(64)]));
    this.pointers = pointerArray(this.strings.map((string) => koffi.address(string)));
  }
}

/**
 * The version of the table that is asked for, that of ONNX Runtime 1.24, the first with everything below: an older library
 * refuses, a newer one has it.
 */
const API_VERSION = 24;

/**
 * Stacks of the threads that calls run on. A device's shader compiler needs more than the 128 KiB that koffi gives an
 * asynchronous call: with 256 KiB the first kernel ended the process, 512 KiB was enough. Memory is taken as it is used.
 */
const STACK_BYTES = 4 * 2 ** 20;

/** Position of each function in `OrtApi`, and its C signature (all but `GetErrorMessage` return an OrtStatus*). */
const FUNCTIONS = {
  GetErrorMessage: [2, "const char* (void* status)"],
  CreateSessionFromArray: [8, "void* (void* env, void* data, size_t size, void* options, _Out_ void** session)"],
  Run: [
    9,
    "void* (void* session, void* runOptions, void* inputNames, void* inputs, size_t inputCount, void* outputNames, size_t outputCount, void* outputs)",
  ],
  CreateSessionOptions: [10, "void* (_Out_ void** options)"],
  DisableMemPattern: [17, "void* (void* options)"],
  SetSessionLogSeverityLevel: [22, "void* (void* options, int level)"],
  CreateTensorAsOrtValue: [48, "void* (void* allocator, void* dims, size_t rank, int dtype, _Out_ void** value)"],
  CreateTensorWithDataAsOrtValue: [
    49,
    "void* (void* memoryInfo, void* data, size_t bytes, void* dims, size_t rank, int dtype, _Out_ void** value)",
  ],
  GetTensorMutableData: [51, "void* (void* value, _Out_ void** data)"],
  CreateMemoryInfo: [68, "void* (const char* name, int type, int id, int memoryType, _Out_ void** info)"],
  CreateCpuMemoryInfo: [69, "void* (int allocator, int memoryType, _Out_ void** info)"],
  ReleaseStatus: [93, "void (void* status)"],
  ReleaseSession: [95, "void (void* session)"],
  ReleaseValue: [96, "void (void* value)"],
  ReleaseSessionOptions: [100, "void (void* options)"],
  CreateEnvWithGlobalThreadPools: [119, "void* (int logLevel, const char* name, void* threading, _Out_ void** env)"],
  DisablePerSessionThreads: [120, "void* (void* options)"],
  CreateThreadingOptions: [121, "void* (_Out_ void** options)"],
  ReleaseThreadingOptions: [122, "void (void* options)"],
  AddSessionConfigEntry: [130, "void* (void* options, const char* key, const char* value)"],
  CreateAllocator: [131, "void* (void* session, void* memoryInfo, _Out_ void** allocator)"],
  CreateAndRegisterAllocator: [144, "void* (void* env, void* memoryInfo, void* arena)"],
  SetGlobalIntraOpNumThreads: [147, "void* (void* options, int threads)"],
  SetGlobalDenormalAsZero: [155, "void* (void* options)"],
  CreateArenaCfg: [
    156,
    "void* (size_t maxBytes, int strategy, int initialBytes, int maxDeadBytes, _Out_ void** arena)",
  ],
  ReleaseArenaCfg: [157, "void (void* arena)"],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, "void* (void* options, void* cuda)"],
  CreateCUDAProviderOptions: [205, "void* (_Out_ void** cuda)"],
  UpdateCUDAProviderOptions: [206, "void* (void* cuda, void* keys, void* values, size_t count)"],
  ReleaseCUDAProviderOptions: [208, "void (void* cuda)"],
  SessionOptionsAppendExecutionProvider: [
    216,
    "void* (void* options, const char* name, void* keys, void* values, size_t count)",
  ],
  SetUserLoggingFunction: [266, "void* (void* options, void* function, void* parameter)"],
  RegisterExecutionProviderLibrary: [301, "void* (void* env, const char* name, const char* path)"],
  CopyTensors: [386, "void* (void* env, void* sources, void* targets, void* stream, size_t count)"],
} as const satisfies Record<string, readonly [number, string]>;

// Before anything is loaded: afterwards it cannot be changed.
koffi.config({ ...koffi.config(), sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });

type FunctionName = keyof typeof FUNCTIONS;

interface NativeFunction {
  (...args: unknown[]): unknown;
  async(...args: unknown[]): void;
}

/** Calls the C API; a failed status becomes a RuntimeFailure with ONNX Runtime's message. */
export class OrtApi {
  /** The library's file. */
  readonly libraryPath: string;
  /** ONNX Runtime's version. */
  readonly version: string;
  readonly #functions: Record<FunctionName, NativeFunction>;

  constructor() {
    this.libraryPath = sharedLibraryPath();
    const library = loadLibrary(this.libraryPath);
    const base = baseOf(library, this.libraryPath);
    const [getApi, getVersion] = koffi.decode(base, koffi.array("void*", 2)) as Pointer[];
    this.version = koffi.call(getVersion, koffi.proto("const char* OrtGetVersion()")) as string;
    const proto = koffi.proto("void* OrtGetApi(uint32_t version)");
    const api = apiTable(this, (version) => koffi.call(getApi, proto, version) as Pointer | null);
    const positions = Object.values(FUNCTIONS).map(([position]) => position);
    const table = koffi.decode(api, koffi.array("void*", Math.max(...positions) + 1)) as Pointer[];
    const bound = Object.entries(FUNCTIONS).map(([name, [position, signature]]) => {
      const prototype = koffi.proto(signature.replace(" (", ` Ort_${name}(`));
      return [name, koffi.decode(table[position], prototype)];
    });
    this.#functions = Object.fromEntries(bound) as Record<FunctionName, NativeFunction>;
  }

  /** Calls a function that returns a status. */
  call(name: FunctionName, ...args: unknown[]): void {
    this.#check(name, this.#functions[name](...args) as Pointer | null);
  }

  /** Calls a function whose last parameter is where a new object's pointer goes; returns that pointer. */
  create(name: FunctionName, ...args: unknown[]): Pointer {
    const out: (Pointer | null)[] = [null];
    this.call(name, ...args, out);
    return out[0]!;
  }

  /** Calls a Release… function. */
  release(name: FunctionName, pointer: Pointer): void {
    this.#functions[name](pointer);
  }

  /** Calls a function on a worker thread: the event loop stays free meanwhile. */
  callAsync(name: FunctionName, ...args: unknown[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#functions[name].async(...args, (error: Error | null, status: Pointer | null) => {
        try {
          if (error) throw error;
          this.#check(name, status);
          resolve();
        } catch (failure) {
          reject(failure as Error);
        }
      });
    });
  }

  /** `create` on a worker thread, for what takes long. */
  async createAsync(name: FunctionName, ...args: unknown[]): Promise<Pointer> {
    const out: (Pointer | null)[] = [null];
    await this.callAsync(name, ...args, out);
    return out[0]!;
  }

  #check(name: FunctionName, status: Pointer | null): void {
    if (!status) return;
    const message = this.#functions.GetErrorMessage(status) as string;
    this.#functions.ReleaseStatus(status);
    throw new RuntimeFailure(`ONNX Runtime, ${name}: ${message}`);
  }
}

/** The table of calls, which a library of an older version does not give. Throws AhaError. */
export function apiTable(library: OrtLibrary, getApi: (version: number) => Pointer | null): Pointer {
  const table = getApi(API_VERSION);
  if (!table) throw tooOld(library, API_VERSION);
  return table;
}

type Library = ReturnType<typeof koffi.load>;

/** The entry point of the C API. Throws AhaError for a library that is another one. */
function baseOf(library: Library, path: string): Pointer {
  try {
    return library.func("void* OrtGetApiBase()")() as Pointer;
  } catch {
    throw new AhaError(`${path} is no library of ONNX Runtime: it has no OrtGetApiBase. Mend ${LIBRARY_VARIABLE}.`);
  }
}

function loadLibrary(path: string): Library {
  try {
    return koffi.load(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (process.env[LIBRARY_VARIABLE]) {
      throw new AhaError(`Cannot load ${path}, which ${LIBRARY_VARIABLE} names: ${reason}.`);
    }
    throw new AhaError(`Cannot load ONNX Runtime from ${path}: ${reason}. On Linux it needs glibc; Alpine has none.`);
  }
}

/** Names of the library's file, by platform. */
const LIBRARY_NAMES: Readonly<Partial<Record<NodeJS.Platform, RegExp>>> = {
  linux: /^libonnxruntime\.so/,
  darwin: /^libonnxruntime.*\.dylib$/,
  win32: /^onnxruntime\.dll$/,
};

/**
 * The library for this platform: in a package that was installed beside aha-rl for this platform alone
 * (release/platforms.ts), or, in a clone, in onnxruntime-node, which has those of all platforms.
 */
function sharedLibraryPath(): string {
  const named = process.env[LIBRARY_VARIABLE];
  if (named) return named;
  const { platform, arch } = process;
  const folders = [
    packageFolder(`@aha-rl/onnxruntime-${platform}-${arch}`),
    packageFolder("onnxruntime-node", "bin", "napi-v6", platform, arch),
  ];
  const pattern = LIBRARY_NAMES[platform];
  for (const folder of folders) {
    if (pattern === undefined || folder === undefined || !existsSync(folder)) continue;
    const file = readdirSync(folder).find((name) => pattern.test(name));
    if (file !== undefined) return join(folder, file);
  }
  const isIntelMac = platform === "darwin" && arch === "x64";
  throw new AhaError(
    `Aha computes with ONNX Runtime, and there is no library of it for ${platform}/${arch} here. ` +
      (isIntelMac
        ? "ONNX Runtime has none for macOS on Intel any more: use a Mac with Apple's processor, Linux or Windows."
        : "There are libraries for linux x64 and arm64, darwin arm64, and win32 x64 and arm64. On one of these, install " +
          "again, and let npm install optional dependencies (no --omit=optional)."),
  );
}

/** A folder of an installed package; undefined where it is not installed. */
function packageFolder(name: string, ...below: readonly string[]): string | undefined {
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), ...below);
  } catch {
    return undefined;
  }
}
