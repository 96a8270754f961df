import { describe, expect, it } from "vitest";
import { createCountdownTask, judgeCountdown } from "../../../src/tasks/countdown/countdown.ts";
import { languageShare } from "../../../src/tasks/language.ts";
import { buildTokenizer } from "../../../src/tokenizer/build.ts";

const options = { prompt: "compact", counts: [3], max: 10, values: { min: 0, max: 99 } };
const both = ["english", "chinese"];
const taskOf = (demonstration: object) =>
  createCountdownTask({ ...options, languages: both, demonstration }, { seed: 2 });
const plain = taskOf({});
const problems = Array.from({ length: 300 }, (_, i) => plain.trainProblem(i));
const consistencyOf = (task: typeof plain) => {
  const shares = problems.flatMap((problem) => {
    const { statistics } = task.judge(problem, task.demonstrate!(problem, 5).completion);
    return statistics.languageConsistency ?? [];
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
};

describe("Countdown in two languages", () => {
  it("asks in one of them, named in a column, the same for every seed; a half each", () => {
    const chinese = problems.filter(({ columns }) => columns.language === "chinese");
    expect(chinese.length).toBeGreaterThan(120);
    expect(chinese.length).toBeLessThan(180);
    for (const { prompt, columns } of problems)
      expect(prompt.startsWith("用数字 [")).toBe(columns.language === "chinese");
    expect(createCountdownTask(options, { seed: 2 }).trainProblem(0).columns).not.toHaveProperty("language");
  });

  it("has a token for everything that prompts and traces say", () => {
    const tokenizer = buildTokenizer("r1-compact");
    const mixing = taskOf({ mixedLanguage: 0.5 });
    for (const problem of problems) {
      const text = problem.prompt + mixing.demonstrate!(problem, 3).completion;
      expect(tokenizer.encode(text)).not.toContain(2); // <unk>
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  it("says verdicts in the prompt's language, or mixes as often as it is to", () => {
    expect(consistencyOf(plain)).toBe(1);
    const mixed = consistencyOf(taskOf({ mixedLanguage: 0.3 }));
    expect(mixed).toBeGreaterThan(0.64);
    expect(mixed).toBeLessThan(0.76);
  });

  it("leaves the traces of one language as they were", () => {
    const [problem] = problems.filter(({ columns }) => columns.language === "english");
    const english = createCountdownTask(options, { seed: 2 });
    expect(plain.demonstrate!(problem!, 5)).toEqual(english.demonstrate!(problem!, 5));
  });

  it("reads Chinese verdicts of tries", () => {
    const problem = { id: 0, prompt: "<think>", columns: { nums: [6, 3, 3], target: 54, language: "chinese" } };
    const trace = "6+3+3=12 太小\n6*3*3=54 too high\n</think>\n<answer>6*3+3</answer>";
    const { statistics, tries } = judgeCountdown(problem, trace);
    expect(tries).toBe(2);
    expect(statistics).toMatchObject({ languageConsistency: 0.5, gaveUp: 1 });
    expect(judgeCountdown(problem, "6+3+3=12 对</think>\n<answer>6+3+3</answer>").statistics.falseYes).toBe(1);
  });

  it("is of the compact prompt", () => {
    expect(() => createCountdownTask({ prompt: "english", languages: ["chinese"] }, { seed: 0 })).toThrow("languages");
  });
});

describe("the share of a text in a language", () => {
  it("counts words of one script and characters of the other, and no numbers or tags", () => {
    expect(languageShare("<think>1+1=2 too low\n 太小</think>", "english")).toBe(0.5);
    expect(languageShare("12 <answer>7</answer>", "english")).toBeUndefined();
    expect(languageShare("对", "chinese")).toBe(1);
  });
});
