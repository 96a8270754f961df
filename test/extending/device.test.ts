/**
 * A device that a program brings: the CPU as if its memory were out of the host's reach, with every transfer counted. What
 * the CPU has loops for, the norm, AdamW and the draw, it makes of programs of its own.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Device,
  type DeviceKind,
  type DeviceTensor,
  devices,
  extend,
  GraphKernels,
  type HostArrays,
  type Kernels,
  parseRecipe,
  prepareRecipe,
  runRecipe,
  type StoredDType,
} from "aha-rl";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const moved = { up: 0, down: 0, programs: 0 };

class MeteredDevice implements Device {
  readonly name = "metered";
  readonly kernels: Kernels = new GraphKernels(this);
  readonly #cpu: Device;

  constructor(cpu: Device) {
    this.#cpu = cpu;
  }

  get target() {
    return this.#cpu.target;
  }

  allocate<D extends StoredDType>(dtype: D, dims: readonly number[]): DeviceTensor<D> {
    return this.#cpu.allocate(dtype, dims);
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): DeviceTensor<D> {
    return this.#cpu.view(tensor, dims);
  }

  hostMemory(): undefined {
    return undefined;
  }

  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void {
    moved.up += values.length;
    this.#cpu.upload(tensor, values);
  }

  download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void> {
    moved.down += values.length;
    return this.#cpu.download(tensor, values);
  }

  copy(block: Parameters<Device["copy"]>[0]): void {
    this.#cpu.copy(block);
  }

  load(lowered: Parameters<Device["load"]>[0]): ReturnType<Device["load"]> {
    moved.programs++;
    return this.#cpu.load(lowered);
  }
}

const metered: DeviceKind = {
  name: "metered",
  summary: "the CPU, with its transfers counted",
  open: async (options) => new MeteredDevice(await devices.get("cpu").open(options)),
};

const recipe = (device: string) =>
  parseRecipe(
    `
name: own-device
model: { init: { tokenizer: countdown-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 96 } }
task: { name: countdown, prompt: compact, counts: [3], max: 10 }
evaluation: { problems: 4, maxCompletionTokens: 16, greedy: never }
engine: { threads: 1, device: ${device} }
trainer: sft
steps: 3
batchTokens: 512
learningRate: 1e-3
`,
    "own.yaml",
  );

interface Row {
  readonly loss: number;
  readonly grad_norm: number;
}

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-device-"));
  extend({ devices: [metered] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function rowsOf(device: string): Promise<{ readonly rows: readonly Row[]; readonly engine: string }> {
  const out = join(root, device);
  const prepared = await prepareRecipe(recipe(device), { out });
  try {
    await runRecipe(prepared);
    const lines = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
    return { rows: lines.map((line) => JSON.parse(line) as Row), engine: prepared.engine.info.name };
  } finally {
    await prepared.close();
  }
}

describe("a device of a program", () => {
  it("computes a recipe that names it, and comes to the CPU's losses and norms", async () => {
    const own = await rowsOf("metered");
    expect(own.engine).toContain("metered");
    expect(moved.programs).toBeGreaterThan(2);
    expect(moved.up).toBeGreaterThan(0);
    expect(moved.down).toBeGreaterThan(0);
    const cpu = await rowsOf("cpu");
    expect(own.rows).toHaveLength(3);
    own.rows.forEach(({ loss, grad_norm: norm }, i) => {
      expect(loss).toBeCloseTo(cpu.rows[i]!.loss, 5);
      expect(norm).toBeCloseTo(cpu.rows[i]!.grad_norm, 4);
    });
  });

  it("is refused under a name that nobody has, and a second time", () => {
    expect(() => recipe("meterd")).toThrow(/"meterd".*metered/s);
    expect(() => extend({ devices: [metered] })).toThrow(/metered/);
  });
});
