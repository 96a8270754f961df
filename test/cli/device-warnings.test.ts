import { afterEach, expect, it } from "vitest";
import { hearWarnings } from "../../src/cli/device-warnings.ts";
import { warnOnce } from "../../src/compute/warnings.ts";
import { recordedConsole } from "./console.ts";

const before = process.listeners("warning");
afterEach(() => {
  process.removeAllListeners("warning");
  for (const listener of before) process.on("warning", listener);
});

it("a warning of a device is printed once, as one of aha; another one is left to Node", async () => {
  const nodes: string[] = [];
  process.removeAllListeners("warning");
  process.on("warning", ({ message }) => nodes.push(message));
  const console = recordedConsole();
  hearWarnings(console);
  warnOnce("the library is another one");
  warnOnce("the library is another one");
  process.emitWarning("something is deprecated", "DeprecationWarning");
  await new Promise((resolve) => setImmediate(resolve));
  expect(console.stderr()).toBe("Warning: the library is another one\n");
  expect(nodes).toEqual(["something is deprecated"]);
});
