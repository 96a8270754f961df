/**
 * The platforms that Aha is published for, each with a package that holds ONNX Runtime's library and nothing else.
 *
 * The official npm package onnxruntime-node brings the libraries of all platforms (288 MB) and, as it is installed, fetches
 * CUDA libraries from outside of the registry. npm installs of several optional dependencies the one whose `os` and `cpu`
 * fit, without any script; esbuild and others publish their binaries so.
 */

/** The library of one platform: where it is in the official package, and what must lie beside it. */
export interface Platform {
  readonly os: "linux" | "darwin" | "win32";
  readonly cpu: "x64" | "arm64";
  /** Files below `bin/napi-v6/OS/CPU` of the official package. */
  readonly files: readonly string[];
}

/** The official package has no library for macOS on Intel; the program says so by name where it is started there. */
export const PLATFORMS: readonly Platform[] = [
  { os: "linux", cpu: "x64", files: ["libonnxruntime.so.1"] },
  { os: "linux", cpu: "arm64", files: ["libonnxruntime.so.1"] },
  { os: "darwin", cpu: "arm64", files: ["libonnxruntime.1.dylib"] },
  // DirectX's shader compiler is loaded by name where a GPU is used.
  { os: "win32", cpu: "x64", files: ["onnxruntime.dll", "DirectML.dll", "dxcompiler.dll", "dxil.dll"] },
  { os: "win32", cpu: "arm64", files: ["onnxruntime.dll", "DirectML.dll", "dxcompiler.dll", "dxil.dll"] },
];

/** The scope of the packages; `src/compute/native/library.ts` looks for them by these names. */
export const SCOPE = "@aha-rl";

export function packageName({ os, cpu }: Pick<Platform, "os" | "cpu">): string {
  return `${SCOPE}/onnxruntime-${os}-${cpu}`;
}
