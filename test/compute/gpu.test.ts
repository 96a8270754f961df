/** What of a GPU can be tested without one. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { DeviceTensor } from "../../src/compute/device.ts";
import { rowCopyGraph, rowCopyOf } from "../../src/compute/gpu/block-copy.ts";
import { CUDA, cudaLibrariesBeside, cudaProviderBeside, loadCudaLibrary } from "../../src/compute/gpu/cuda.ts";
import { GpuDevice } from "../../src/compute/gpu/gpu-device.ts";
import { nodesOnHost } from "../../src/compute/gpu/gpu-session.ts";
import { read, tensorOf } from "../../src/compute/host-memory.ts";
import { apiTable, OrtApi } from "../../src/compute/ort/ort-api.ts";
import { EXAMINED_VERSION, LIBRARY_VARIABLE, versionWarning } from "../../src/compute/ort/version.ts";
import { compile } from "../../src/compute/program.ts";
import { AhaError } from "../../src/errors.ts";
import { device } from "../graph/evaluate.ts";
import { stubbedEnvironment, stubbedProvider } from "./native-stub.ts";

const root = mkdtempSync(join(tmpdir(), "aha-gpu-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("copies of blocks as rows", () => {
  it("are the device's copies, in rows as wide as can be", async () => {
    const numbers = (count: number, first: number) => Float32Array.from({ length: count }, (_, i) => first + i);
    const places = { sourceStart: 24, sourceStride: 12, targetStart: 40, targetStride: 20, count: 2, length: 8 };
    const source = tensorOf(device, "float32", [60], numbers(60, 0));
    const [expected, target] = [0, 1].map(() => tensorOf(device, "float32", [100], numbers(100, 1000)));
    device.copy({ source, target: expected!, ...places });

    const { width, from, to } = rowCopyOf({ source, target: target!, ...places }, 60, 100);
    expect([width, from.length]).toEqual([4, 4]);
    const { graph, outputs } = rowCopyGraph();
    const program = await compile(device, graph, outputs);
    const written = device.view(target!, [100 / width, width]);
    const feeds = new Map<string, DeviceTensor>([
      ["source", device.view(source, [60 / width, width])],
      ["from", tensorOf(device, "int64", [from.length], from)],
      ["target", written],
      ["to", tensorOf(device, "int64", [to.length, 1], to)],
    ]);
    await program.prepare(feeds, new Map([["copied", written]])).run();
    expect([...(await read(device, target!))]).toEqual([...(await read(device, expected!))]);
  });
});

describe("nodes that fell back to the host", () => {
  it("are read from ONNX Runtime's log", () => {
    const log = [
      "Node placements",
      " Node(s) placed on [WebGpuExecutionProvider]. Number of nodes: 2",
      "  MatMul ()",
      "  Add (bias)",
      " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2",
      "  BitShift ()",
      "  Cast (InsertedCast_1)",
    ];
    expect(nodesOnHost(log)).toEqual(["BitShift", "Cast"]);
    expect(nodesOnHost(log.slice(0, 4))).toEqual([]);
    expect(nodesOnHost([" All nodes placed on [CPUExecutionProvider]. Number of nodes: 1", "  Sum ()"])).toEqual([
      "Sum",
    ]);
  });
});

describe("CUDA's libraries", () => {
  it("are found in the folders of the same site-packages, each after those that it needs", () => {
    const capi = join(root, "site-packages/onnxruntime/capi");
    mkdirSync(capi, { recursive: true });
    const library = join(capi, "libonnxruntime.so.1.30.0");
    for (const name of [
      "cublas/lib/libcublas.so.13",
      "cublas/lib/libcublasLt.so.13",
      "cuda_runtime/lib/libcudart.so.13",
    ]) {
      const path = join(root, "site-packages/nvidia", name);
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, "");
    }
    if (process.platform === "linux") {
      const names = cudaLibrariesBeside(library).map((path) => basename(path));
      expect(names).toEqual(["libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13"]);
    }
    expect(cudaProviderBeside(library)).toMatchObject({ missing: expect.stringMatching(/webgpu|AHA_ORT_LIBRARY/) });
  });

  it("of which one is damaged: the error names it and the command that mends it", async () => {
    const packages = join(root, "cuda/lib/python3.12/site-packages");
    const damaged = join(packages, "nvidia/cuda_runtime/lib/libcudart.so.13");
    const library = join(packages, "onnxruntime/capi/libonnxruntime.so.1.30.0");
    for (const path of [damaged, library, join(library, "../libonnxruntime_providers_cuda.so")]) {
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, "");
    }
    expect(() => loadCudaLibrary(damaged)).toThrow(AhaError);
    const environment = stubbedEnvironment();
    const opening = GpuDevice.over({ ...environment, api: { ...environment.api, libraryPath: library } }, CUDA);
    const error = await opening.catch((thrown: Error) => thrown as Error);
    // What `auto` and `aha doctor --devices` go on after.
    expect(error).toBeInstanceOf(AhaError);
    if (process.platform !== "linux") return;
    expect((error as Error).message).toContain(`Cannot load ${damaged}, which CUDA needs: `);
    expect((error as Error).message).toContain(`${join(root, "cuda/bin/pip")} install --force-reinstall`);
    expect(environment.calls).toEqual([]);
  });
});

describe(`a library that ${LIBRARY_VARIABLE} names`, () => {
  afterEach(() => {
    delete process.env[LIBRARY_VARIABLE];
  });

  it("and that is no library is refused with its path", () => {
    const path = join(root, "text.so");
    writeFileSync(path, "no library");
    process.env[LIBRARY_VARIABLE] = path;
    expect(() => new OrtApi()).toThrow(new RegExp(`${LIBRARY_VARIABLE} names`));
    expect(() => new OrtApi()).toThrow(AhaError);
  });

  it.runIf(process.platform === "linux")("and that is another library is refused with its path", () => {
    process.env[LIBRARY_VARIABLE] = "libc.so.6";
    expect(() => new OrtApi()).toThrow("libc.so.6 is no library of ONNX Runtime");
    expect(() => new OrtApi()).toThrow(AhaError);
  });

  it("and that is an older ONNX Runtime, without all of the calls, is refused with its version", () => {
    const asked: number[] = [];
    const older = () =>
      apiTable({ version: "1.23.2", libraryPath: "/old/libonnxruntime.so" }, (version) => {
        asked.push(version);
        return null;
      });
    expect(older).toThrow("/old/libonnxruntime.so is ONNX Runtime 1.23.2, and Aha needs 1.24 or later");
    expect(older).toThrow(AhaError);
    expect(asked).toEqual([24, 24]);
  });

  it("and that is of another minor version is warned of: kernels were looked at in one", async () => {
    const libraryPath = "/new/libonnxruntime.so";
    for (const version of ["1.30.0", "1.30.2", "1.30.0-dev"])
      expect(versionWarning({ version, libraryPath })).toBeUndefined();
    for (const version of ["1.31.0", "1.29.1", "1.3.0", "2.30.0"]) {
      expect(versionWarning({ version, libraryPath }), version).toMatch(
        new RegExp(`^${libraryPath} is ONNX Runtime ${version}, .* is of 1.30: .*AHA_ORT_LIBRARY`),
      );
    }
    const other = await GpuDevice.over(stubbedEnvironment("1.31.0"), stubbedProvider());
    expect(other.warnings).toEqual([expect.stringContaining("ONNX Runtime 1.31.0")]);
    expect((await GpuDevice.over(stubbedEnvironment(), stubbedProvider())).warnings).toEqual([]);
  });

  it("is compared with the version that is installed", () => {
    const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(dependencies["onnxruntime-node"]).toMatch(new RegExp(`^${EXAMINED_VERSION}\\.\\d+$`));
    expect(device.warnings).toEqual([]);
  });
});
