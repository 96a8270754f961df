import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { judgeAll } from "../../src/rewards/judge.ts";
import { createReward, rewards } from "../../src/rewards/registry.ts";
import { rewardWithDefaults } from "./defaults.ts";

const PROMPT = "…\n<think>";
const columns = { nums: [6, 3, 3], target: 54 };

function answered(answer: string): string {
  return `thinking</think>\n<answer>${answer}</answer>`;
}

describe("equation: hostile and clumsy completions", () => {
  const reward = createReward("equation");
  const ninths = { nums: [9, 9, 9], target: 54 };
  test.each<[string, string, Record<string, unknown>, number, string]>([
    ["a right answer", answered(" 3*(6*3) "), columns, 1, "the answer is 54, with every number used once"],
    ["a power tower", answered("9**9**9"), ninths, 0, "the answer uses **, which is not one of + - * /"],
    ["floor division", answered("6//3*3"), columns, 0, "the answer uses //, which is not one of + - * /"],
    [
      "decimals made of the given digits",
      answered("1.5*36"),
      { nums: [1, 5, 36], target: 54 },
      0,
      "the answer has a decimal point: only whole numbers are given",
    ],
    ["a sign in front", answered("-3+3*6"), columns, 0, "the answer has a sign (-) without a number before it"],
    ["a double minus", answered("6--3*3"), columns, 0, "the answer has a sign (-) without a number before it"],
    [
      "the result behind the expression",
      answered("3*(6*3) = 54"),
      columns,
      0,
      "the answer contains =: only the expression belongs there, not its result",
    ],
    ["a number used twice", answered("6*3*3+3-3"), columns, 0, "the answer uses 3 more often than it is given"],
    ["a number left out", answered("6*3"), columns, 0, "the answer leaves out 3"],
    ["two numbers written as one", answered("63-3"), columns, 0, "the answer uses 63, which is not given"],
    ["a division by zero", answered("6/(3-3)"), columns, 0, "the answer divides by zero"],
    ["juxtaposition", answered("6(3*3)"), columns, 0, "the answer has two values without an operator between them"],
    [
      "code",
      answered("process.exit(1)"),
      columns,
      0,
      "the answer contains p, which is not a digit, an operator or a parenthesis",
    ],
    ["nothing", answered(" "), columns, 0, "the answer is empty"],
    ["no answer", "thinking</think>", columns, 0, "there is no <answer>"],
    ["an unclosed answer", "x</think>\n<answer>3*6*3", columns, 0, "the answer is not closed"],
    ["an answer of two lines", answered("3*\n(6*3)"), columns, 0, "the answer does not lie on one line"],
    [
      "a wrong answer, then a right one",
      `${answered("6+3+3")}${answered("6*3*3")}`,
      columns,
      0,
      "the answer is 12, not 54 (the first of 2 answers counts)",
    ],
    [
      "a right answer in the thinking, then a wrong one",
      `<answer>6*3*3</answer>${answered("6+3+3")}`,
      columns,
      1,
      "the answer is 54, with every number used once (the first of 2 answers counts)",
    ],
    ["a megabyte of digits", answered("9".repeat(2 ** 20)), columns, 0, "the answer is longer than 4096 characters"],
    ["a number of 17 digits", answered("9".repeat(17)), columns, 0, "the answer has a number of more than 16 digits"],
    [
      "a hundred thousand parentheses",
      answered(`${"(".repeat(50_000)}6*3*3${")".repeat(50_000)}`),
      columns,
      0,
      "the answer is longer than 4096 characters",
    ],
    [
      "two thousand parentheses around a right answer",
      answered(`${"(".repeat(1000)}6*3*3${")".repeat(1000)}`),
      columns,
      1,
      "the answer is 54, with every number used once",
    ],
    ["a megabyte of <", "<".repeat(2 ** 20), columns, 0, "there is no <answer>"],
    [
      "a NUL byte",
      answered("6*3*\u00003"),
      columns,
      0,
      "the answer contains U+0000, which is not a digit, an operator or a parenthesis",
    ],
    [
      "digits of another script",
      answered("٦*٣*٣"),
      columns,
      0,
      "the answer contains U+0666, which is not a digit, an operator or a parenthesis",
    ],
    [
      "typographic operators",
      answered("6×3×3"),
      columns,
      0,
      "the answer contains U+00D7, which is not a digit, an operator or a parenthesis",
    ],
  ])("%s", (_, completion, row, score, reason) => {
    expect(reward.judge({ prompt: PROMPT, completion, columns: row })).toEqual({ score, reason });
  });

  test("columns that are no Countdown problem make it abstain", () => {
    const completion = answered("1+1");
    expect(reward.judge({ prompt: PROMPT, completion, columns: { target: 2 } })).toEqual({
      score: null,
      reason: "cannot judge: nums is not a list of whole numbers",
    });
    expect(reward.judge({ prompt: PROMPT, completion, columns: { nums: [1, 1], target: {} } }).score).toBeNull();
  });

  test("wrongScore is for answers that are there and wrong, as in TinyZero", () => {
    const tinyZero = createReward("equation", { wrongScore: 0.1 });
    const score = (completion: string) => tinyZero.judge({ prompt: PROMPT, completion, columns }).score;
    expect(score(answered("6*3*3"))).toBe(1);
    expect(score(answered("6+3+3"))).toBe(0.1);
    expect(score(answered("nonsense"))).toBe(0.1);
    expect(score("no answer</think>")).toBe(0);
  });
});

describe("format", () => {
  test("scores 1 with the form, 0 with the reason without it", () => {
    const reward = createReward("format");
    expect(reward.judge({ prompt: PROMPT, completion: answered("x"), columns: {} })).toEqual({
      score: 1,
      reason: "has the form <think>…</think>, <answer>…</answer>",
    });
    expect(reward.judge({ prompt: PROMPT, completion: "x", columns: {} })).toEqual({
      score: 0,
      reason: "has no </think>",
    });
  });
});

describe("the registry", () => {
  test("an unknown name is a ConfigError with the nearest name", () => {
    expect(() => createReward("fromat")).toThrow(ConfigError);
    expect(() => createReward("fromat")).toThrow('There is no reward "fromat"; known: format, equation,');
    expect(() => createReward("fromat")).toThrow(/Did you mean format\?$/);
    expect(() => createReward("toString")).toThrow(ConfigError);
  });

  test("an unknown or impossible option is a ConfigError with its name", () => {
    expect(() => createReward("equation", { wrongscore: 0.1 })).toThrow(
      'reward equation: wrongscore: unknown key; did you mean "wrongScore"?',
    );
    expect(() => createReward("equation", { wrongScore: 2 })).toThrow(ConfigError);
    expect(() => createReward("equation", { wrongScore: 2 })).toThrow(
      "reward equation: wrongScore: expected a number of at most 1, got 2.",
    );
    expect(() => createReward("format", { weight: 1 })).toThrow(
      "reward format: weight: unknown key; known here: form.",
    );
  });

  test("every reward can be made without options, but a model's path, and is known by its name", () => {
    for (const { name, title, summary, citation } of rewards.all) {
      expect(rewardWithDefaults(name).name).toBe(name);
      expect(summary.length).toBeLessThan(110);
      expect(title).not.toBe("");
      expect(citation).not.toBe("");
    }
  });
});

test("no reward throws on any prefix of a well-formed completion, whatever the columns", async () => {
  const completion = answered("3*(6*3)");
  // The judge is asked elsewhere: model-judge.test.ts; a reward model is opened: reward-model.test.ts.
  for (const name of rewards.names.filter((one) => one !== "judge" && one !== "reward_model")) {
    const reward = rewardWithDefaults(name);
    const inputs = [...completion, ""].flatMap((_, length) =>
      [{}, columns, { nums: null, target: null }, { nums: [{}], target: "x" }].map((row) => {
        return { prompt: "", completion: completion.slice(0, length), columns: row };
      }),
    );
    for (const { score, reason } of await judgeAll(reward, inputs)) {
      expect(score === null || Number.isFinite(score)).toBe(true);
      expect(reason).not.toBe("");
    }
  }
});
