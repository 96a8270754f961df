/** What of a GPU can be tested without one. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { DeviceTensor } from "../../src/compute/device.ts";
import { rowCopyGraph, rowCopyOf } from "../../src/compute/gpu/block-copy.ts";
import { cudaLibrariesBeside, cudaProviderBeside } from "../../src/compute/gpu/cuda.ts";
import { explained, MEMORY_KEYS, outOfMemory } from "../../src/compute/gpu/gpu-queue.ts";
import { nodesOnHost } from "../../src/compute/gpu/gpu-session.ts";
import { read, tensorOf } from "../../src/compute/host-memory.ts";
import { LIBRARY_VARIABLE, OrtApi } from "../../src/compute/ort/ort-api.ts";
import { compile } from "../../src/compute/program.ts";
import { AhaError, DeviceLostError, RuntimeFailure } from "../../src/errors.ts";
import { device } from "../graph/evaluate.ts";

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

describe("memory that is not there", () => {
  it("is an error with the keys that help; other failures stay what they are", () => {
    const failure = new RuntimeFailure("ONNX Runtime, Run: Failed to allocate memory for requested buffer of size 8");
    expect((outOfMemory(failure) as Error).message).toContain(MEMORY_KEYS);
    const invalid = new RuntimeFailure(
      "ONNX Runtime, CopyTensors: [Invalid Buffer (unlabeled)] is invalid due to a previous error.",
    );
    expect((outOfMemory(invalid) as Error).message).toContain("allows no buffer of that size");
    const other = new RuntimeFailure("ONNX Runtime, Run: indices out of range");
    expect(outOfMemory(other)).toBe(other);
    expect(explained(other)).toBe(other);
    expect((explained(failure) as Error).message).toContain(MEMORY_KEYS);
  });

  it("nor is a device that was lost: the error says how a run goes on", () => {
    const failure = new RuntimeFailure(
      "ONNX Runtime, Run: WebGPU device lost (2): a valid external Instance reference no longer exists",
    );
    expect((explained(failure) as Error).message).toContain("--resume --device cpu");
    expect(explained(failure)).toBeInstanceOf(DeviceLostError);
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
});

describe(`a library that ${LIBRARY_VARIABLE} names`, () => {
  afterEach(() => {
    delete process.env[LIBRARY_VARIABLE];
  });

  it("and that is no library, or another one, is refused with its path", () => {
    const path = join(root, "text.so");
    writeFileSync(path, "no library");
    process.env[LIBRARY_VARIABLE] = path;
    expect(() => new OrtApi()).toThrow(new RegExp(`${LIBRARY_VARIABLE} names`));
    expect(() => new OrtApi()).toThrow(AhaError);
  });
});
