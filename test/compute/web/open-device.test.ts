/** Opening a browser's GPU, played in Node: a GPU that is none, and scripts in the place of ONNX Runtime's for it. */

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openWebDevice, RUNTIME_FILES, RuntimeFileError } from "../../../src/compute/web/open-device.ts";

const DIST = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.mjs"));

const destroy = vi.fn();
const gpu = { destroy, lost: new Promise(() => {}), addEventListener: () => {} };
const adapter = { features: new Set(), limits: {}, requestDevice: async () => gpu };

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "aha-open-device-"));
  copyFileSync(join(DIST, `${RUNTIME_FILES.wasm}.mjs`), join(folder, `${RUNTIME_FILES.wasm}.mjs`));
  vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => adapter } });
  // What says that WebAssembly can wait for a GPU.
  const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: object };
  if (!("Suspending" in WebAssembly)) Object.assign(WebAssembly, { Suspending: undefined });
  destroy.mockClear();
});

afterEach(() => {
  vi.unstubAllGlobals();
  rmSync(folder, { recursive: true });
});

/** Opens the GPU with this script in the place of ONNX Runtime's. */
function openedWith(script: string) {
  writeFileSync(join(folder, `${RUNTIME_FILES.webgpu}.mjs`), script);
  const fetchFile = async (name: string) => {
    const bytes = name === `${RUNTIME_FILES.wasm}.wasm` ? readFileSync(join(DIST, name)) : Buffer.alloc(0);
    return new Uint8Array(bytes).buffer;
  };
  return openWebDevice({ files: pathToFileURL(folder), backend: "webgpu", threads: 1, fetchFile });
}

describe("a browser's GPU", () => {
  it("is refused by name with files of another version, and the processors do not hide it", async () => {
    const opening = openedWith("export default async () => ({});");
    await expect(opening).rejects.toThrow(RuntimeFileError);
    await expect(opening).rejects.toThrow(/are not those of onnxruntime-web/);
  });

  it("that cannot be opened is given back, and the processors compute", async () => {
    const failing =
      'new Proxy({}, { get: (_, name) => (name === "then" ? undefined : () => { throw new Error("no kernels"); }) })';
    const { backend, backendReason } = await openedWith(`export default async () => ${failing};`);
    expect([backend, backendReason]).toEqual(["wasm", "The browser's GPU cannot be opened: no kernels."]);
    expect(destroy).toHaveBeenCalledOnce();
  });
});
