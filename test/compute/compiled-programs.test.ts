/** How many programs stay compiled. */

import { expect, it } from "vitest";
import { CompiledPrograms } from "../../src/compute/compiled-programs.ts";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { Device } from "../../src/compute/device.ts";
import { multiply } from "../../src/graph/ops/elementwise.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { deviceWith } from "./device-with.ts";

/** The CPU, and what happens to its programs: `+` where one is loaded, `-` where one is released. */
function watched(): { device: Device; events: string[] } {
  const cpu = CpuDevice.open(1);
  const events: string[] = [];
  const load: Device["load"] = async (lowered) => {
    const session = await cpu.load(lowered);
    events.push("+");
    const dispose = () => {
      events.push("-");
      session.dispose();
    };
    return { bind: (inputs, outputs) => session.bind(inputs, outputs), dispose };
  };
  return { device: deviceWith(cpu, { load }), events };
}

const graphOf = () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["N"]);
  return { graph, outputs: { y: multiply(x, x) } };
};

it("keeps the programs that were used last, and compiles the others again", async () => {
  const { device, events } = watched();
  const programs = new CompiledPrograms<string>(device, { most: 2 });
  const use = (key: string) => programs.use(key, graphOf, async () => void events.push(key));
  for (const key of ["a", "b", "a", "c", "a", "b"]) await use(key);
  await Promise.resolve();
  // b goes where c comes, for a was used after it; then c goes where b comes again.
  expect(events.join("")).toBe("+a+ba+c-a+b-");
  programs.dispose();
  await Promise.resolve();
  expect(events.join("")).toBe("+a+ba+c-a+b---");
});

it("keeps what is in use, however many that are", async () => {
  const { device, events } = watched();
  const programs = new CompiledPrograms<string>(device, { most: 1 });
  let end = () => {};
  const long = programs.use("long", graphOf, () => new Promise<void>((resolve) => (end = resolve)));
  await programs.use("b", graphOf, async () => {});
  await programs.use("c", graphOf, async () => {});
  await Promise.resolve();
  expect(events.filter((event) => event === "-")).toHaveLength(2);
  end();
  await long;
  // The long one is alone now, and stays.
  expect(events.filter((event) => event === "-")).toHaveLength(2);
  programs.dispose();
});

it("a failure of the work ends its use, and one of the compilation is told to who asks", async () => {
  const { device } = watched();
  const programs = new CompiledPrograms<string>(device, { most: 1 });
  const failing = async () => {
    throw new Error("no work");
  };
  await expect(programs.use("a", graphOf, failing)).rejects.toThrow("no work");
  const noOutputs = () => ({ graph: new Graph(), outputs: {} });
  await expect(programs.use("b", noOutputs, async () => {})).rejects.toThrow();
  await expect(programs.use("a", graphOf, async () => 7)).resolves.toBe(7);
  programs.dispose();
});
