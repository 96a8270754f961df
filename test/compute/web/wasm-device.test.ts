/** ONNX Runtime's WebAssembly beside its library for Node: the recipe of `npm start`, shortened, on both. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { computingOn } from "../../../src/compute/computing.ts";
import { CpuDevice } from "../../../src/compute/cpu/cpu-device.ts";
import type { Device } from "../../../src/compute/device.ts";
import { elementsOf } from "../../../src/compute/host-memory.ts";
import { compile } from "../../../src/compute/program.ts";
import { GraphError } from "../../../src/errors.ts";
import { MemoryFolder } from "../../../src/folder.ts";
import { add } from "../../../src/graph/ops/elementwise.ts";
import { Graph } from "../../../src/graph/tensor.ts";
import { recipeOfText } from "../../../src/recipe/check.ts";
import { openRun } from "../../../src/recipe/open-recipe.ts";
import { runRecipe } from "../../../src/recipe/run-recipe.ts";
import { FolderRun } from "../../../src/run/folder-run.ts";
import type { RolloutRecord } from "../../../src/run/records.ts";
import { openWasmInNode } from "../../web/wasm-in-node.ts";

const RECIPE = fileURLToPath(new URL("../../../recipes/countdown/tiny/recipe.yaml", import.meta.url));

/** Three steps of each stage, with answers that are right often enough for gradients. */
const SHORT = [
  "evaluation.problems=2",
  "evaluation.maxCompletionTokens=4",
  "evaluation.greedy=never",
  "rollouts.logprobs=true",
  "stages.cold-start.steps=3",
  "stages.cold-start.batchTokens=512",
  "stages.cold-start.warmupSteps=0",
  "stages.r1-zero.iterations=3",
  "stages.r1-zero.warmupSteps=0",
  "stages.r1-zero.promptsPerIteration=2",
  "stages.r1-zero.groupSize=4",
  "stages.r1-zero.maxCompletionTokens=24",
  // Random weights are never right; by their length answers differ from the first iteration on.
  "stages.r1-zero.rewards=[{ name: soft_overlong, weight: 1, options: { maxTokens: 24, cacheTokens: 22 } }]",
];

async function runOn(device: Device) {
  const recipe = recipeOfText(await readFile(RECIPE, "utf8"), RECIPE, SHORT);
  const folder = new MemoryFolder("memory:run");
  const store = await FolderRun.create(folder, recipe);
  const run = await openRun(recipe, store, { compute: computingOn(device, (path) => folder.at(path)) });
  try {
    await runRecipe(run);
  } finally {
    await run.close();
  }
  const text = [...folder.files]
    .filter(([name]) => name.startsWith("rollouts-"))
    .map(([, bytes]) => new TextDecoder().decode(bytes));
  const rollouts = text
    .join("")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as RolloutRecord);
  return { metrics: store.readLogs().metrics, rollouts };
}

describe("WebAssembly and Node's library", () => {
  let [wasm, cpu]: Awaited<ReturnType<typeof runOn>>[] = [];
  beforeAll(async () => {
    cpu = await runOn(CpuDevice.open(1));
    wasm = await runOn(await openWasmInNode());
  }, 120_000);

  it("sample the same tokens", () => {
    const tokens = ({ rollouts }: typeof wasm & object) => rollouts.map(({ tokens }) => tokens);
    const [found, expected] = [tokens(wasm!), tokens(cpu!)];
    expect(expected.length).toBe(24);
    // Where rounding parts them, at which token.
    const parted = expected.flatMap((sequence, i) => {
      const at = sequence!.findIndex((token, t) => token !== found[i]![t]);
      return at < 0 ? [] : [`completion ${i} from token ${at} on`];
    });
    expect(parted).toEqual([]);
  });

  it("give losses, norms and log-probabilities within rounding", () => {
    expect(wasm!.metrics.map(({ stage, step }) => [stage, step])).toEqual(
      cpu!.metrics.map(({ stage, step }) => [stage, step]),
    );
    expect(cpu!.metrics.filter(({ stage, grad_norm: norm }) => stage === "r1-zero" && (norm ?? 0) > 0)).not.toEqual([]);
    for (const [i, row] of cpu!.metrics.entries()) {
      const found = wasm!.metrics[i]!;
      for (const name of ["loss", "grad_norm", "reward"]) {
        const [value, expected] = [found[name], row[name]] as (number | undefined)[];
        if (expected === undefined) expect(value).toBeUndefined();
        else
          expect(Math.abs(value! - expected), `${row.stage} ${row.step} ${name}`).toBeLessThan(
            2e-5 * (1 + Math.abs(expected)),
          );
      }
    }
    for (const [i, { samplerLogprobs }] of cpu!.rollouts.entries()) {
      const found = wasm!.rollouts[i]!.samplerLogprobs!;
      for (const [t, logprob] of samplerLogprobs!.entries()) expect(Math.abs(found[t]! - logprob!)).toBeLessThan(1e-4);
    }
  });
});

describe("a tensor in the module's memory", () => {
  it("is zeroed, read and written in place, seen in other shapes, and refused after its end", async () => {
    const device = await openWasmInNode();
    const tensor = device.allocate("float32", [2, 3]);
    const numbers = device.hostMemory(tensor);
    expect([...numbers]).toEqual([0, 0, 0, 0, 0, 0]);
    device.upload(tensor, Float32Array.of(1, 2, 3, 4, 5, 6));
    const view = device.view(tensor, [4]);
    expect([...device.hostMemory(view)]).toEqual([1, 2, 3, 4]);
    expect(() => device.view(tensor, [7])).toThrow(GraphError);
    device.copy({
      source: tensor,
      sourceStart: 0,
      sourceStride: 3,
      target: tensor,
      targetStart: 2,
      targetStride: 3,
      count: 2,
      length: 1,
    });
    expect([...numbers]).toEqual([1, 2, 1, 4, 5, 4]);

    const graph = new Graph();
    const [a, b] = [graph.input("a", "float32", ["n"]), graph.input("b", "float32", ["n"])];
    const program = await compile(device, graph, { sum: add(a, b) });
    const flat = device.view(tensor, [6]);
    const call = program.prepare(
      new Map([
        ["a", flat],
        ["b", flat],
      ]),
      new Map([["sum", flat]]),
    );
    await call.run();
    expect([...numbers]).toEqual([2, 4, 2, 8, 10, 8]);
    flat.dispose();
    await expect(call.run()).rejects.toThrow("disposed of");
    // The memory grows, and what was a view of it stays one.
    const large = device.allocate("float32", [2 ** 24]);
    expect(elementsOf(large.dims)).toBe(device.hostMemory(large).length);
    numbers[0] = 7;
    expect(device.hostMemory(view)[0]).toBe(7);
    for (const one of [call, view, tensor, large, program]) one.dispose();
  });
});
