/** A run whose device is lost: what the error says is what goes on with it, there or on the processors. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { Device, DeviceKind, Session } from "../../src/compute/device.ts";
import { DeviceMemoryError } from "../../src/compute/gpu/faults.ts";
import { DeviceLostError } from "../../src/errors.ts";
import { extend } from "../../src/extend.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { deviceWith } from "../compute/device-with.ts";
import { QUICK, SMOKE_RECIPE } from "../recipe/smoke.ts";
import { recordedConsole } from "./console.ts";

let root: string;
/** Asked before each program runs. */
let isLost = () => false;
const lost = () => new DeviceLostError("The device was lost while it computed.");
let fault: () => Error = lost;

/** The CPU, which goes away. */
function brittle(cpu: CpuDevice): Device {
  const load = async (lowered: Parameters<Device["load"]>[0]): Promise<Session> => {
    const session = await cpu.load(lowered);
    const bind: Session["bind"] = (inputs, outputs) => {
      const run = session.bind(inputs, outputs);
      return async () => {
        if (isLost()) throw fault();
        await run();
      };
    };
    return { bind, dispose: () => session.dispose() };
  };
  return deviceWith(cpu, { load });
}

const kind: DeviceKind = {
  name: "brittle",
  summary: "the CPU, which goes away",
  open: async ({ threads }) => brittle(CpuDevice.open(threads)),
};

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-lost-device-"));
  extend({ devices: [kind] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, stderr: console.stderr() };
}

const SETS = QUICK.flatMap((override) => ["--set", override]);
const metricsOf = (path: string) => readFileSync(join(path, "metrics.jsonl"), "utf8");

/** A run that is lost behind its first checkpoint, and the commands that its error names. */
async function lostRun(name: string, recipe = SMOKE_RECIPE) {
  const out = join(root, name);
  isLost = () => existsSync(join(out, "checkpoints", "cold-start-000002"));
  const { code, stderr } = await aha("run", recipe, ...SETS, "--device", "brittle", "--out", out, "--quiet");
  isLost = () => false;
  expect(code).toBe(1);
  expect(stderr).toContain("The device was lost");
  const [here, onCpu] = [...stderr.matchAll(/^ {2}aha (run .*?)(?: {3}\(.*)?$/gm)].map(([, line]) => line!.split(" "));
  return { out, here: here!, onCpu: onCpu! };
}

describe("a run whose device has too little memory", () => {
  it("goes on on the processors, with the command that its error names", async () => {
    const out = join(root, "full");
    fault = () => new DeviceMemoryError(new Error("Failed to allocate memory"));
    isLost = () => existsSync(join(out, "checkpoints", "cold-start-000002"));
    const { code, stderr } = await aha("run", SMOKE_RECIPE, ...SETS, "--device", "brittle", "--out", out, "--quiet");
    [isLost, fault] = [() => false, lost];
    expect(code).toBe(1);
    expect(stderr).toContain("The device has too little memory");
    const commands = [...stderr.matchAll(/^ {2}aha (run .*?)(?: {3}\(.*)?$/gm)].map(([, line]) => line!.split(" "));
    expect(commands).toHaveLength(1);
    expect(commands[0]!.slice(-3)).toEqual(["--resume", "--device", "cpu"]);
    expect((await aha(...commands[0]!)).code).toBe(0);
    expect(readRun(out).summary).toBeDefined();
  });

  it("from the beginning leaves nothing to go on with, and names nothing", async () => {
    const out = join(root, "never-begun");
    const absent = { ...kind, name: "absent", open: () => Promise.reject(lost()) };
    extend({ devices: [absent] });
    const { code, stderr } = await aha("run", SMOKE_RECIPE, ...SETS, "--device", "absent", "--out", out, "--quiet");
    expect([code, existsSync(out)]).toEqual([1, false]);
    expect(stderr).toContain("The device was lost");
    expect(stderr).not.toContain("To go on");
  });
});

describe("a run whose device is lost", () => {
  it("goes on on the same device, with the bytes of a run that was not interrupted", async () => {
    const { out, here } = await lostRun("again");
    expect((await aha(...here)).code).toBe(0);
    const whole = join(root, "whole");
    await aha("run", SMOKE_RECIPE, ...SETS, "--device", "brittle", "--out", whole, "--quiet");
    expect(metricsOf(out)).toBe(metricsOf(whole));
  });

  it("goes on on the processors where that is asked for, says that it is not bit for bit, and notes it", async () => {
    const { out, onCpu } = await lostRun("moved");
    expect(onCpu.slice(-3)).toEqual(["--resume", "--device", "cpu"]);
    const { code, stderr } = await aha(...onCpu);
    expect(code).toBe(0);
    expect(stderr).toMatch(/cold-start-000002 was made elsewhere \(device: brittle → cpu\).*not bit for bit/);
    const { events, summary } = readRun(out);
    expect(summary).toBeDefined();
    expect(events.find(({ event }) => event === "started")).toMatchObject({ device: "brittle" });
    expect(events.find(({ event }) => event === "resumed")).toMatchObject({
      ...{ device: "cpu", from: "cold-start-000002" },
      warnings: [expect.stringContaining("not bit for bit")],
    });
    // What the run was begun with stays on record.
    expect(readFileSync(join(out, "recipe.yaml"), "utf8")).toContain("device: brittle");
  });

  it("goes on on its own device where none is named", async () => {
    const { out, here } = await lostRun("unnamed");
    const place = here.indexOf("--device");
    expect((await aha(...here.filter((_, i) => i !== place && i !== place + 1))).code).toBe(0);
    expect(readRun(out).events.find(({ event }) => event === "resumed")).toMatchObject({
      device: "brittle",
      warnings: [],
    });
  });

  it("goes on on its own device where another one stands in the recipe's file, and nobody asks for it", async () => {
    const recipe = join(root, "on-the-cpu.yaml");
    const text = readFileSync(SMOKE_RECIPE, "utf8");
    writeFileSync(recipe, text.replace("engine:\n", "engine:\n  device: cpu\n"));
    const { out, here } = await lostRun("in-the-file", recipe);
    const place = here.indexOf("--device");
    expect((await aha(...here.filter((_, i) => i !== place && i !== place + 1))).code).toBe(0);
    expect(readRun(out).events.find(({ event }) => event === "resumed")).toMatchObject({
      device: "brittle",
      warnings: [],
    });
  });
});
