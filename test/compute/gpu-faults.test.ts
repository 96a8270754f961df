/** What a user is told when a GPU is gone or has too little memory, whichever call of the library says it. */

import { describe, expect, it } from "vitest";
import type { Device, TensorUse } from "../../src/compute/device.ts";
import { DeviceMemoryError, explained, MEMORY_KEYS } from "../../src/compute/gpu/faults.ts";
import { GpuDevice } from "../../src/compute/gpu/gpu-device.ts";
import { triedProgram } from "../../src/compute/try-out.ts";
import { KeyValueCache } from "../../src/engine/local/key-value-cache.ts";
import { DenseWeights, OptimizerState } from "../../src/engine/local/weights.ts";
import { AhaError, DeviceLostError, RuntimeFailure } from "../../src/errors.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import type { ParameterSpec } from "../../src/model/parameters.ts";
import { stubbedEnvironment, stubbedProvider } from "./native-stub.ts";

const LOST = "WebGPU device lost (2): a valid external Instance reference no longer exists";
const FULL = "[Invalid Buffer (unlabeled)] is invalid due to a previous error.";

const numbers = (count: number) => Float32Array.from({ length: count }, (_, i) => i);

/** A device, and everything that an engine asks of one, by name: the call that it comes to, and how it is asked. */
async function openStub() {
  const environment = stubbedEnvironment();
  const device = await GpuDevice.over(environment, stubbedProvider());
  const [source, target] = [device.allocate("float32", [16]), device.allocate("float32", [16])];
  for (const tensor of [source, target]) device.upload(tensor, numbers(16));
  const session = await device.load(triedProgram(device.target));
  const run = session.bind([source], [target]);
  await run();
  const whole = { source, target, sourceStart: 0, sourceStride: 0, targetStart: 0, targetStride: 0, count: 1 };
  const thenRun = (work: () => void) => () => {
    work();
    return run();
  };
  const asked: Readonly<Record<string, readonly [string, () => unknown]>> = {
    "an upload, carried out before a run": ["CopyTensors", thenRun(() => device.upload(source, numbers(16)))],
    "an upload that does not wait": [
      "CopyTensors",
      () => device.upload(device.allocate("float32", [2 ** 23]), new Float32Array(2 ** 23)),
    ],
    "zeros for memory that was never written": [
      "CopyTensors",
      () => session.bind([device.allocate("float32", [16])], [target])(),
    ],
    "a download": ["CopyTensors", () => device.download(source, numbers(16))],
    "a copy of a whole tensor": ["CopyTensors", thenRun(() => device.copy({ ...whole, length: 16 }))],
    "a copy of rows": ["Run", thenRun(() => device.copy({ ...whole, length: 4 }))],
    "a run": ["Run", run],
    "memory for a result": [
      "CreateTensorAsOrtValue",
      () => session.bind([source], [device.allocate("float32", [16])])(),
    ],
    "a view": ["GetTensorMutableData", () => session.bind([device.view(source, [4, 4])], [target])()],
    "a view's value": ["CreateTensorWithDataAsOrtValue", () => session.bind([device.view(source, [2, 8])], [target])()],
    "a program that is compiled": ["CreateSessionFromArray", () => device.load(triedProgram(device.target))],
    "options of a program": ["CreateSessionOptions", () => device.load(triedProgram(device.target))],
  };
  return { environment, asked };
}

const { asked: entries } = await openStub();

describe.each(Object.keys(entries))("%s", (entry) => {
  const failed = async (words: string) => {
    const { environment, asked } = await openStub();
    const [name, ask] = asked[entry]!;
    environment.failing.set(name, words);
    return (async () => ask())().then(
      () => undefined,
      (error: unknown) => error as Error,
    );
  };

  it("on a device that is gone says how the run goes on", async () => {
    const error = await failed(LOST);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error?.message).toContain("--resume --device cpu");
  });

  it("without memory says what helps", async () => {
    const error = await failed(FULL);
    expect(error).toBeInstanceOf(DeviceMemoryError);
    expect(error?.message).toContain("allows no buffer of that size");
  });

  it("that fails for another reason is a defect of ours", async () => {
    expect(await failed("indices out of range")).toBeInstanceOf(RuntimeFailure);
  });
});

describe("an error of memory", () => {
  const failedFor = async (use: TensorUse | undefined, failing: string) => {
    const environment = stubbedEnvironment();
    const device = await GpuDevice.over(environment, stubbedProvider());
    const tensor = device.allocate("float32", [151_936, 64], use);
    environment.failing.set(failing, FULL);
    try {
      device.upload(tensor, new Float32Array(151_936 * 64));
    } catch (error) {
      return error as Error;
    }
    throw new Error("nothing was thrown");
  };

  it.each<[TensorUse, RegExp]>([
    ["weights", /smaller model.*model\.quantization: nf4.*engine\.dtype.*embedding/],
    ["gradients and moments", /Train an adapter \(model\.lora\)/],
    ["key-value cache", /engine\.cacheMib or engine\.maxSlots/],
  ])("for %s names the tensor and what helps there", async (use, advice) => {
    for (const failing of ["CreateTensorAsOrtValue", "CopyTensors"]) {
      const { message } = await failedFor(use, failing);
      expect(message).toContain(`too little memory for ${use} (float32 [151936, 64], 37.1 MiB)`);
      expect(message).toMatch(advice);
      expect(message).not.toContain(MEMORY_KEYS);
    }
  });

  it("to compute with names the keys of computing", async () => {
    const { message } = await failedFor(undefined, "CreateTensorAsOrtValue");
    expect(message).toContain("for a tensor to compute with (float32 [151936, 64]");
    expect(message).toContain(MEMORY_KEYS);
  });

  it("has the use of what it is a view of, and of a model's own tensors", async () => {
    const device = await GpuDevice.over(stubbedEnvironment(), stubbedProvider());
    expect(device.view(device.allocate("float32", [8], "weights"), [4]).use).toBe("weights");
    const uses: unknown[] = [];
    const hearing = {
      ...{ target: device.target, hostMemory: () => undefined, upload: () => {} },
      allocate: (dtype: string, dims: readonly number[], use?: TensorUse) => {
        uses.push(use);
        return { dtype, dims, dispose: () => {} };
      },
    } as unknown as Device;
    const weights = new DenseWeights(
      hearing,
      [{ name: "w", shape: [2, 2] } as unknown as ParameterSpec],
      () => "bfloat16",
    );
    expect(uses.splice(0)).toEqual(["weights", "weights"]);
    new OptimizerState(hearing, weights);
    expect(new Set(uses.splice(0))).toEqual(new Set(["gradients and moments"]));
    const config = { numLayers: 1, numKvHeads: 1, headDim: 8 } as ModelConfig;
    new KeyValueCache(hearing, config, "float32", 1, 1);
    expect(uses).toEqual(["key-value cache", "key-value cache"]);
  });

  it("is thrown at once for a large buffer that holds no numbers, as WebGPU's do that an adapter does not allow", async () => {
    const environment = stubbedEnvironment();
    const device = await GpuDevice.over(environment, { ...stubbedProvider(), sureBufferBytes: 1024 });
    const use = async (elements: number) => {
      device.upload(device.allocate("float32", [elements], "weights"), new Float32Array(elements));
      await device.download(device.allocate("float32", [4]), new Float32Array(4));
    };
    await use(1024);
    environment.forgets = true;
    await use(256);
    await expect(use(257)).rejects.toThrow(/for weights \(float32 \[257\].*the buffer was not made/);
  });
});

describe("the words of the library", () => {
  const meaning = (words: string) => explained(new RuntimeFailure(`ONNX Runtime, Run: ${words}`));

  it.each([
    "Failed to download data from buffer. wgpu::MapAsyncStatus value: 4",
    "[Device] is lost.",
    "vkQueueSubmit failed with VK_ERROR_DEVICE_LOST",
    "DXGI_ERROR_DEVICE_REMOVED",
    "CUDA failure 719: unspecified launch failure ; GPU=0 ; expr=cudaStreamSynchronize(stream)",
    "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; expr=cudaMalloc((void**)&p, size)",
    "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED",
  ])("that say that the device is gone: %s", (words) => {
    expect(meaning(words)).toBeInstanceOf(DeviceLostError);
  });

  it.each([
    "Failed to allocate memory for requested buffer of size 8",
    "Available memory of 17 is smaller than requested bytes of 4096",
    "Buffer size (4294967296) exceeds the max buffer size limit (1073741824).",
    "VK_ERROR_OUT_OF_DEVICE_MEMORY",
    "E_OUTOFMEMORY",
    "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size)",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
    "Failed to download data from buffer. wgpu::MapAsyncStatus value: 3",
    "std::bad_alloc",
  ])("that say that there is no memory: %s", (words) => {
    expect(meaning(words)).toBeInstanceOf(DeviceMemoryError);
    expect((meaning(words) as Error).message).toContain(MEMORY_KEYS);
  });

  it.each([
    "indices out of range",
    "Dispatch group size exceeds the limit",
    "CUDA failure 1: invalid argument ; GPU=0 ; expr=cudaMallocAsync(&p, size, stream)",
  ])("that say neither: %s", (words) => {
    expect(meaning(words)).toBeInstanceOf(RuntimeFailure);
  });
});

describe("a device that is opened", () => {
  const opened = (words: string) => {
    const environment = stubbedEnvironment();
    environment.failing.set("CreateSessionFromArray", words);
    return GpuDevice.over(environment, stubbedProvider());
  };

  it("and is not there, or is lost at once, is said to be absent", async () => {
    await expect(opened("Failed to get a WebGPU adapter.")).rejects.toThrow("There is no stub here: Failed to get");
    await expect(opened(LOST)).rejects.toThrow(/There is no stub here: .*device lost/);
    await expect(opened(LOST)).rejects.toBeInstanceOf(AhaError);
  });

  it("and is full is said to be full, without keys that do not help then", async () => {
    const error = await opened("CUDA failure 2: out of memory").catch((thrown: Error) => thrown as Error);
    expect(error).toBeInstanceOf(AhaError);
    expect((error as Error).message).toMatch(/no memory left.*End what else computes there/s);
    expect((error as Error).message).not.toContain("microBatchTokens");
  });
});
