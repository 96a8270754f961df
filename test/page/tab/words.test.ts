import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { codeLines, linesOfPhase } from "../../../src/page/tab/code-lines.ts";
import { EXAMPLES, readProblem, solutionOf } from "../../../src/page/tab/problem-input.ts";
import { CONTROLS, changedSettings, commandFor, sliderPlaceOf } from "../../../src/page/tab/settings.ts";
import { answerIn, triedLines, triesIn } from "../../../src/page/tab/tries.ts";
import { chance, isEven, meanReward, moveOf, shadeOf, storyOf } from "../../../src/page/tab/why.ts";
import { recipeOfText } from "../../../src/recipe/check.ts";
import type { GroupMessage, TabCompletion, TabSettings } from "../../../src/web/protocol.ts";
import { overridesOf } from "../../../src/web/recipe-controls.ts";
import { RECIPE_SETTINGS } from "./recipe-settings.ts";

const root = new URL("../../../", import.meta.url);
const textOf = (path: string) => readFileSync(new URL(path, root), "utf8");

const LIMITS = { largest: 99, counts: [3], min: 1, max: 10, targetMin: 10, targetMax: 99 };

describe("a problem that somebody types", () => {
  it.each([
    ["6, 6, 5", "17", [6, 6, 5], 17],
    ["[6 6;5]", " 17 ", [6, 6, 5], 17],
    ["6\t6\n5", "017", [6, 6, 5], 17],
  ])("is read however it is separated: %j", (numbers, target, expected, goal) => {
    expect(readProblem(numbers, target, LIMITS)).toEqual({ problem: { numbers: expected, target: goal } });
  });

  it.each([
    ["", "17", "numbers", /Type numbers, e\.g\. 6, 6, 5/],
    [" , ;", "17", "numbers", /Type numbers/],
    ["six, 6, 5", "17", "numbers", /“six” is not a whole number from 1 to 99/],
    ["6, 6, 5.5", "17", "numbers", /“5\.5”/],
    ["6, 6, -5", "17", "numbers", /“-5”/],
    ["6, 6, 0", "17", "numbers", /“0”/],
    ["6, 6, 100", "17", "numbers", /“100” is not a whole number from 1 to 99/],
    ["1e9, 6, 5", "17", "numbers", /“1e9”/],
    ["9".repeat(400), "17", "numbers", /“9{24}…”/],
    ["6", "17", "numbers", /2 to 5 numbers, not 1; the model was trained with 3/],
    ["1 2 3 4 5 6", "17", "numbers", /not 6/],
    ["6, 6, 5", "", "target", /Type a target: a whole number from 0 to 99/],
    ["6, 6, 5", "x", "target", /“x” is no target/],
    ["6, 6, 5", "100", "target", /“100”/],
    ["6, 6, 5", "1.5", "target", /“1\.5”/],
    ["６, 6, 5", "17", "numbers", /“６”/],
    ["<img src=x>, 6", "17", "numbers", /“<img”/],
  ] as const)("says what is wrong with %j → %j", (numbers, target, field, fault) => {
    const read = readProblem(numbers, target, LIMITS);
    expect(read).toMatchObject({ field });
    expect("fault" in read && read.fault).toMatch(fault);
  });

  it.each([
    ["1, 1, 1", "99", /No equation reaches this target/],
    ["6, 5", "11", /never seen 2/],
    ["20, 30, 2", "25", /numbers from 1 to 10/],
    ["1, 2, 3", "6", /targets from 10 to 99/],
  ])("warns before one is disappointed: %j → %j", (numbers, target, note) => {
    const read = readProblem(numbers, target, LIMITS);
    expect("note" in read && read.note).toMatch(note);
  });

  it("may be one of the examples, which are problems of training and can be solved", () => {
    for (const { numbers, target } of EXAMPLES) {
      expect(readProblem(numbers.join(","), String(target), LIMITS)).toEqual({ problem: { numbers, target } });
      expect(solutionOf({ numbers, target })).toBeDefined();
    }
    expect(solutionOf({ numbers: [1, 1, 1], target: 99 })).toBeUndefined();
  });
});

describe("settings", () => {
  it("stand at a place of their slider, and the recipe's values are places", () => {
    for (const control of CONTROLS) {
      expect([...control.values].sort((a, b) => a - b)).toEqual(control.values);
      expect(control.values).toContain(RECIPE_SETTINGS[control.key]);
      for (const [place, value] of control.values.entries()) expect(sliderPlaceOf(control, value)).toBe(place);
    }
    expect(sliderPlaceOf(CONTROLS[0]!, 9)).toBe(2);
  });

  it("at every end of every slider make a recipe that is accepted by the recipe's own checks", () => {
    const recipe = textOf("recipes/countdown/tiny/recipe.yaml");
    for (const { key, values } of CONTROLS) {
      for (const value of [values[0]!, values.at(-1)!]) {
        const changed = recipeOfText(recipe, "recipe.yaml", overridesOf({ ...RECIPE_SETTINGS, [key]: value }));
        expect(JSON.stringify(changed), `${key} ${value}`).toContain(`${value}`);
      }
    }
  });

  it("are the recipe's own where nobody has moved them", () => {
    const plain = recipeOfText(textOf("recipes/countdown/tiny/recipe.yaml"), "recipe.yaml");
    expect(
      recipeOfText(textOf("recipes/countdown/tiny/recipe.yaml"), "recipe.yaml", overridesOf(RECIPE_SETTINGS)),
    ).toEqual(plain);
  });

  it("become a command that trains in the same way", () => {
    expect(commandFor(RECIPE_SETTINGS, RECIPE_SETTINGS)).toBe("npm run aha -- run recipes/countdown/tiny/recipe.yaml");
    expect(commandFor(RECIPE_SETTINGS, { ...RECIPE_SETTINGS, klCoef: 0.01, formatWeight: 0 })).toBe(
      "npm run aha -- run recipes/countdown/tiny/recipe.yaml --set stages.r1-zero.klCoef=0.01 --set stages.r1-zero.rewards.format.weight=0",
    );
    expect(changedSettings(RECIPE_SETTINGS, { ...RECIPE_SETTINGS, learningRate: 1e-3 })).toEqual({
      learningRate: 1e-3,
    });
  });

  it("warn where the run would teach nothing", () => {
    const warned = (change: Partial<TabSettings>, key: keyof TabSettings) => {
      const all = { ...RECIPE_SETTINGS, ...change };
      return CONTROLS.find((one) => one.key === key)!.warning?.(all[key], all);
    };
    expect(warned({}, "equationWeight")).toBeUndefined();
    expect(warned({ equationWeight: 0 }, "equationWeight")).toMatch(/Only the form pays/);
    expect(warned({ equationWeight: 0, formatWeight: 0 }, "equationWeight")).toMatch(/Nothing pays/);
    expect(warned({ formatWeight: 1 }, "formatWeight")).toMatch(/false “yes”/);
    expect(warned({ learningRate: 3e-3 }, "learningRate")).toMatch(/forgets/);
  });
});

describe("what the model wrote", () => {
  const problem = { numbers: [6, 6, 5], target: 17 };
  const read = (...pieces: string[]) => triedLines(pieces, problem);

  it("is cut into lines, each token in one of them", () => {
    const pieces = [
      "(5",
      "-6)*6=1*6=6",
      " too low\n",
      "(5+6)+6=11+6=17",
      " yes",
      "</think>\n",
      "<answer>",
      "(5+6)+6",
      "</answer>",
    ];
    const lines = read(...pieces);
    expect(lines.map(({ from, to }) => [from, to])).toEqual([
      [0, 3],
      [3, 6],
      [6, 9],
    ]);
    expect(lines.map(({ kind, isRight }) => [kind, isRight])).toEqual([
      ["try", false],
      ["try", true],
      ["answer", true],
    ]);
    expect(triesIn(lines)).toBe(2);
    expect(answerIn(lines)).toBe("(5+6)+6");
    expect(answerIn(read("<answer>", "6+6", "</answer>", "<eos>"))).toBe("6+6");
    expect(answerIn(read("<answer>", "6+6"))).toBe("6+6");
    expect(answerIn(read("<", "answer", "> "))).toBe("");
    expect(answerIn(read("no answer"))).toBeUndefined();
  });

  it.each([
    ["(5-6)*6=1*6=6 too low\n", false, "slip: it is −6"],
    ["(5*6)-6=30-6=24 too high\n", false, undefined],
    ["(5*6)-6=30-6=24 too low\n", false, "it is too high"],
    ["(5*6)-6=30-6=24 yes\n", false, "false “yes”: it is 24"],
    ["(5+6)+6=11+6=17 too low\n", true, "it is the target"],
    ["(5+6)+7=11+7=18 too high\n", false, "not the numbers that were given"],
    ["6/5+6=7.2 too low\n", false, undefined],
    ["5/(6-6)=5/0=5 too low\n", false, "divides by zero"],
    ["5/(6-6\n", undefined, undefined],
    ["6-6=0\n", undefined, undefined],
  ])("%j is judged", (text, isRight, remark) => {
    const [line] = read(text);
    expect(line?.isRight).toBe(isRight);
    expect(line?.remark).toBe(remark);
  });

  it.each([
    ["<answer>(6+6)+4</answer>", false, /uses 4, which is not given/],
    ["<answer>6+5</answer>", false, /leaves out 6/],
    ["<answer>(5+6", false, /not finished/],
    ["<answer>process.exit()</answer>", false, /./],
  ])("an answer like %j is wrong, and says why", (text, isRight, remark) => {
    const [line] = read(text);
    expect(line).toMatchObject({ kind: "answer", isRight });
    expect(line?.remark).toMatch(remark);
  });

  it("may be empty, or nonsense as long as it likes", () => {
    expect(read()).toEqual([]);
    expect(read("")).toMatchObject([{ kind: "other" }]);
    expect(read("(".repeat(50_000))).toMatchObject([{ kind: "other" }]);
    expect(read("1+".repeat(50_000), "\n", "x")).toHaveLength(2);
  });
});

describe("why a token moved", () => {
  const completion = (reward: number, advantage: number): TabCompletion => ({
    tokens: [],
    isSolved: reward > 1,
    isCut: false,
    reward,
    advantage,
    rewards: [],
  });
  const group = (...completions: TabCompletion[]): GroupMessage => ({
    type: "group",
    iteration: 1,
    group: 0,
    groups: 16,
    problem: { numbers: [6, 6, 5], target: 17 },
    prompt: "",
    temperature: 1,
    completions,
  });
  const [up, down] = [completion(1.2, 0.7), completion(0.2, -0.7)];
  const mixed = group(up, down);

  it("is said by probabilities before and after", () => {
    const token = { text: "6", before: Math.log(0.12), after: Math.log(0.15) };
    expect(storyOf("6", token, up, mixed)).toMatchObject({
      headline: "“6” became more likely",
      numbers: expect.stringMatching(/^12 % → 15 % \(log-probability −2\.12 → −1\.9, \+0\.223\)/),
      reason: expect.stringMatching(/got 1\.2, its group 0\.7 on average.*\+0\.7, pushed every token of the answer up/),
    });
    expect(storyOf("6", token, down, mixed).reason).toMatch(
      /down.*But all 32 answers of the step move the same weights/,
    );
    expect(storyOf("6", { ...token, after: null }, up, mixed).headline).toMatch(/drawn with a probability of 12 %/);
    expect(storyOf("6", { ...token, after: token.before }, up, mixed).reason).toMatch(/pushed the other way/);
    expect(storyOf("=", { text: "=", before: -1e-5, after: -2e-6 }, up, mixed).reason).toMatch(
      /nearly certain already/,
    );
  });

  it("owes nothing to an answer whose advantage is 0", () => {
    const even = group(completion(0.2, 0), completion(0.2, 0));
    expect(isEven(even)).toBe(true);
    expect(meanReward(mixed)).toBeCloseTo(0.7);
    const token = { text: "6", before: -2, after: -1.9 };
    expect(storyOf("6", token, even.completions[0]!, even).reason).toMatch(/same reward, so none was pushed/);
  });

  it("has shades that grow with the change, and none where nothing is known", () => {
    const shade = (change: number | null) =>
      shadeOf({ text: "", before: -2, after: change === null ? null : -2 + change });
    expect([-2, -0.1, -0.001, 0, 0.001, 0.01, 0.1, 2].map(shade)).toEqual([-5, -3, 0, 0, 0, 1, 3, 5]);
    expect(shade(null)).toBe(0);
    expect(moveOf({ text: "", before: -2, after: -2.5 })).toBe("less likely");
    expect([0, -1e-3, Math.log(0.5), Math.log(0.0312), -20].map(chance)).toEqual([
      "100 %",
      "99.9 %",
      "50 %",
      "3.1 %",
      "0 %",
    ]);
  });
});

describe("the code that is shown", () => {
  const loop = textOf("src/train/grpo/grpo.ts");

  it("is the file, to the letter", () => {
    const lines = codeLines(loop);
    expect(`${lines.map((pieces) => pieces.map(({ text }) => text).join("")).join("\n")}\n`).toBe(loop);
    expect(lines[0]).toEqual([{ text: "/**", kind: "comment" }]);
    expect(lines.flat()).toContainEqual({ text: "async", kind: "keyword" });
    expect(lines.flat()).toContainEqual({ text: '"../../statistics.ts"', kind: "string" });
  });

  it("has lines for each phase of an iteration", () => {
    const lines = loop.split("\n");
    for (const phase of ["sampling", "judging", "updating"] as const) {
      const found = linesOfPhase(loop, phase);
      expect(found.length, phase).toBeGreaterThan(0);
      for (const number of found) expect(lines[number - 1]).not.toMatch(/^\s*(\*|\/\/|import)/);
    }
    expect(linesOfPhase(loop, "sampling")).toHaveLength(2);
    expect(linesOfPhase(loop, "updating")).toHaveLength(2);
    expect(linesOfPhase(loop, "saving")).toEqual([]);
    expect(linesOfPhase(loop, undefined)).toEqual([]);
  });
});
