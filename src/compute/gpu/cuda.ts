/**
 * CUDA, by a library of ONNX Runtime that the user installs: the environment variable AHA_ORT_LIBRARY names it, and the
 * provider's own library lies beside it. (npm's package can only fetch its CUDA libraries from outside the registry.)
 *
 * Untried on a GPU: what is here was tried against stubs of CUDA's libraries. docs/gpu.md says what that leaves open.
 */

import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import koffi from "koffi";
import { AhaError } from "../../errors.ts";
import { ONNX_RUNTIME_CUDA } from "../../graph/target.ts";
import { shellWord } from "../../shell-word.ts";
import { NativeNames } from "../ort/ort-api.ts";
import { LIBRARY_VARIABLE } from "../ort/version.ts";
import type { GpuProvider } from "./provider.ts";

const PROVIDER = "CUDAExecutionProvider";

/** The provider's library, by platform. */
const PROVIDER_LIBRARY: Partial<Record<NodeJS.Platform, string>> = {
  linux: "libonnxruntime_providers_cuda.so",
  win32: "onnxruntime_providers_cuda.dll",
};

/** What the provider links to, in an order in which each finds those before it. */
const CUDA_LIBRARIES = ["cudart", "nvJitLink", "cublasLt", "cublas", "cufft", "curand", "cudnn"] as const;

const PACKAGES = '"onnxruntime-gpu[cuda,cudnn]==1.30.0"';

/** What to type for it. */
const INSTALL_CUDA =
  `python3 -m venv cuda && cuda/bin/pip install ${PACKAGES}, then ` +
  `${LIBRARY_VARIABLE}=cuda/lib/python3…/site-packages/onnxruntime/capi/libonnxruntime.so.1.30.0`;

/**
 * Loads a library of CUDA, so that the provider finds it by its name. Throws AhaError for one that cannot be loaded: a file that
 * is damaged, or empty, or links to what is not there.
 */
export function loadCudaLibrary(path: string): void {
  try {
    koffi.load(path);
  } catch (error) {
    // The loader's words begin with the path, and koffi's with "Failed to load shared library".
    const words = error instanceof Error ? error.message : String(error);
    const reason = words.replace("Failed to load shared library: ", "").replace(`${path}: `, "").replace(/\.$/, "");
    throw new AhaError(
      `Cannot load ${path}, which CUDA needs: ${reason}. Install the libraries again: ` +
        `${pipBeside(path)} install --force-reinstall ${PACKAGES}.`,
      { cause: error },
    );
  }
}

/** The pip of the environment in whose site-packages a file is; any pip where that is not to be seen. */
function pipBeside(path: string): string {
  const environment = /^(.*)\/lib\/python3[^/]*\/site-packages\//.exec(path)?.[1];
  return environment === undefined ? "pip" : shellWord(`${environment}/bin/pip`);
}

/** The provider of CUDA. */
export const CUDA: GpuProvider = {
  name: "cuda",
  memoryName: "Cuda",
  target: ONNX_RUNTIME_CUDA,
  prepare: ({ api, handle }) => {
    const library = cudaProviderBeside(api.libraryPath);
    if (typeof library !== "string") throw new AhaError(library.missing);
    for (const path of cudaLibrariesBeside(api.libraryPath)) loadCudaLibrary(path);
    // Without it tensors cannot be copied (`CopyTensors`).
    api.call("RegisterExecutionProviderLibrary", handle, PROVIDER, library);
  },
  append: ({ api }, options) => {
    const cuda = api.create("CreateCUDAProviderOptions");
    try {
      const [keys, values] = [new NativeNames(["use_tf32"]), new NativeNames(["0"])];
      api.call("UpdateCUDAProviderOptions", cuda, keys.pointers, values.pointers, 1);
      api.call("SessionOptionsAppendExecutionProvider_CUDA_V2", options, cuda);
    } finally {
      api.release("ReleaseCUDAProviderOptions", cuda);
    }
  },
  absence: (reason) =>
    `There is no GPU that CUDA can compute on here: ${reason}. It needs NVIDIA's driver (nvidia-smi lists the GPUs), and ` +
    `the libraries of CUDA 13 and cuDNN 9: ${INSTALL_CUDA}. Or compute on the processors: engine.device: cpu (--device cpu).`,
};

/** The CUDA provider beside a library of ONNX Runtime, or what is missing and how to get it. */
export function cudaProviderBeside(libraryPath: string): string | { readonly missing: string } {
  const name = PROVIDER_LIBRARY[process.platform];
  if (name === undefined) return { missing: `There is no CUDA for ${process.platform}: use webgpu.` };
  const path = join(dirname(libraryPath), name);
  if (existsSync(path)) return path;
  return {
    missing:
      `CUDA needs a library of ONNX Runtime that has it, and ${libraryPath} has no ${name} beside it. ` +
      `Install one and name it: ${INSTALL_CUDA}.`,
  };
}

/**
 * CUDA's libraries in the folders nvidia/…/lib of the same site-packages, where pip has put them: loaded by their whole
 * paths before the provider asks for them by name, so that LD_LIBRARY_PATH need not be set.
 */
export function cudaLibrariesBeside(libraryPath: string): string[] {
  const packages = join(dirname(libraryPath), "..", "..", "nvidia");
  if (process.platform !== "linux" || !existsSync(packages)) return [];
  const files = readdirSync(packages, { recursive: true, encoding: "utf8" })
    .filter((name) => /(^|[/\\])lib[/\\]lib\w+\.so\.\d+$/.test(name))
    .map((name) => join(packages, name));
  const rank = (path: string) => {
    const place = CUDA_LIBRARIES.findIndex((name) => path.includes(`lib${name}.so`));
    return place < 0 ? CUDA_LIBRARIES.length : place;
  };
  return files
    .filter((path) => rank(path) < CUDA_LIBRARIES.length)
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
