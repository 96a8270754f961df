/** The smoke pipeline of R1 on WebGPU: stages that train, data steps, measurements, reward models and teachers. Its base is made
 * on the CPU, and some stages are shorter. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { GpuDevice } from "../../src/compute/gpu/gpu-device.ts";
import { WEBGPU } from "../../src/compute/gpu/webgpu.ts";
import { recordedConsole } from "../cli/console.ts";

const PIPELINE = join(import.meta.dirname, "../../recipes/r1/smoke/pipeline.yaml");
/** The base learns on the processors, because its 60 steps are most of the time; `mix` computes nothing. */
const ELSEWHERE = new Set(["base", "mix"]);
const SHORT = [
  "base.engine.device=cpu",
  "preference-data.prompts=24",
  "on-policy-student.iterations=1",
  "r1-zero.iterations=1",
];

const root = mkdtempSync(join(tmpdir(), "aha-webgpu-pipeline-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("r1/smoke on WebGPU", () => {
  it("comes to its end, and every stage with a model computes there", async () => {
    // With the pipeline's number of threads, which is that of the process.
    const gpu = await GpuDevice.open(WEBGPU, 1);
    const runsAt: [stage: string, runs: number][] = [];
    const recorded = recordedConsole();
    const out = (line: string) => {
      const event = JSON.parse(line) as { type: string; name: string };
      if (event.type === "stage") runsAt.push([event.name, gpu.traffic.runs]);
      if (event.type === "stage") console.log(`${new Date().toISOString()} ${event.name}`);
    };
    const sets = SHORT.flatMap((override) => ["--set", override]);
    const args = ["run", PIPELINE, "--device", "webgpu", ...sets, "--out", join(root, "r1"), "--json"];
    expect([await main(args, { ...recorded, out }), recorded.stderr()]).toEqual([0, ""]);
    runsAt.push(["end", gpu.traffic.runs]);
    const counted = runsAt.slice(0, -1).map(([name, before], i) => [name, runsAt[i + 1]![1] - before] as const);
    expect(counted.length).toBeGreaterThan(10);
    for (const [name, runs] of counted) {
      if (ELSEWHERE.has(name)) expect(runs, name).toBe(0);
      else expect(runs, name).toBeGreaterThan(0);
    }
  }, 3_600_000);
});
