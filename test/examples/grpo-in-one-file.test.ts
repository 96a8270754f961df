import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const example = fileURLToPath(new URL("../../examples/grpo-in-one-file.ts", import.meta.url));

it("the example runs from random weights to GRPO: the loss falls, some traces have the form, sampler and trainer agree", async () => {
  const args = ["--import", "tsx", example, "--steps", "2", "--problems", "32", "--seed", "1"];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const numbers = (pattern: RegExp) => [...stdout.matchAll(pattern)].map(([, value]) => Number(value));

  const losses = numbers(/^fine-tuning \d+\/40: loss ([\d.]+)$/gm);
  expect(losses[0]).toBeGreaterThan(4);
  expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
  // One evaluation between the stages and one at the end.
  expect(numbers(/^held-out, .*: solved ([\d.]+),/gm)).toHaveLength(2);
  const rewards = numbers(/^grpo \d\/2: reward ([\d.]+),/gm);
  expect(rewards).toHaveLength(2);
  for (const reward of rewards) expect(reward).toBeGreaterThan(0.05);
  const differences = numbers(/sampler and trainer differ by at most ([\d.e+-]+)$/gm);
  expect(differences).toHaveLength(2);
  for (const difference of differences) expect(difference).toBeLessThan(1e-4);
}, 180_000);
