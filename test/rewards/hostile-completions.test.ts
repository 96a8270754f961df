/** No reward of the registry throws or takes long, whatever the completion: it gives a finite score or abstains. */

import { expect, test } from "vitest";
import { Random } from "../../src/random.ts";
import { judgeAll } from "../../src/rewards/judge.ts";
import { createReward, rewards } from "../../src/rewards/registry.ts";
import { cpuTimeMs, HANG_LIMIT_MS } from "../cpu-time.ts";
import { rewardWithDefaults } from "./defaults.ts";

const MEGABYTE = 2 ** 20;

/** Made of a piece again and again, 128 KiB each. */
const long = ["<", "\\[", "$a ", "`a", "数", "\ud800", "<think>\n", "Step 1", "\\boxed{", "1.", "<answer>1"].map(
  (piece) => piece.repeat(Math.floor(MEGABYTE / 8 / piece.length)),
);

const PIECES = [
  "<think>",
  "</think>",
  "<answer>",
  "</answer>",
  "\n",
  "\ud800",
  "\udc00",
  "\u0000",
  "\u202e",
  "é",
  "e\u0301",
].concat([
  "😀",
  "数",
  "کتاب",
  "\u2028",
  "\\frac{",
  "}",
  "$$",
  "```",
  "Step 1:",
  "1.",
  "9".repeat(400),
  "the",
  " ",
  "-",
  "{answer}",
]);

const columns = { nums: [1, 2], target: 3, answer: "3", pattern: "(a+)+$b|<answer>.*1", language: "en" };

/** Those that need no other machine and no checkpoint. */
const local = rewards.names.filter((name) => !["judge", "reward_model"].includes(name));

test.each(local)("%s on long completions", async (name) => {
  const reward = rewardWithDefaults(name);
  const since = cpuTimeMs();
  for (const completion of long) {
    const [result] = await judgeAll(reward, [{ prompt: "the <think>", completion, columns, completionTokens: 5 }]);
    expect(result!.score === null || Number.isFinite(result!.score)).toBe(true);
    expect(result!.reason).not.toMatch(/^threw/);
  }
  expect(cpuTimeMs() - since).toBeLessThan(HANG_LIMIT_MS);
});

test.each(local)("%s on odd completions", async (name) => {
  const reward = createReward(name);
  const random = new Random(3, name);
  const inputs = Array.from({ length: 300 }, () => {
    const completion = Array.from({ length: random.integer(20) }, () => random.choice(PIECES)).join("");
    return {
      prompt: random.choice(PIECES),
      completion,
      columns: random.choice([columns, {}, { nums: null, answer: {} }]),
    };
  });
  for (const { score, reason } of await judgeAll(reward, inputs)) {
    expect(score === null || Number.isFinite(score)).toBe(true);
    expect(reason).not.toMatch(/^$|^threw/);
  }
});
