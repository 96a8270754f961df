import { describe, expect, test } from "vitest";
import { parseExpression } from "../../../src/expression/parse.ts";
import { createCountdownTask } from "../../../src/tasks/countdown/countdown.ts";
import { VERDICT_WORDS } from "../../../src/tasks/countdown/demonstration.ts";
import { commutedKey, treeOfPostfix } from "../../../src/tasks/countdown/tree.ts";

const TINY = { prompt: "compact", counts: [3], min: 1, max: 10, values: { min: 0, max: 99 } };

function taskWith(demonstration: Record<string, unknown> = {}, options: Record<string, unknown> = TINY) {
  const task = createCountdownTask({ ...options, demonstration }, { seed: 2 });
  return {
    task,
    traces: (count: number, seed = 0) =>
      Array.from({ length: count }, (_, i) => {
        const problem = task.trainProblem(i);
        const demonstration = task.demonstrate!(problem, seed);
        return { problem, ...demonstration, verdict: task.judge(problem, demonstration.completion) };
      }),
  };
}

const TRY = /^[0-9+\-*/()]+(=[0-9+\-*/()]+)*=[0-9]+( yes| too low\n| too high\n)/;

function triesIn(completion: string): string[] {
  const tries: string[] = [];
  let rest = completion;
  for (let match = TRY.exec(rest); match; match = TRY.exec(rest)) {
    tries.push(match[0].split("=")[0]!);
    rest = rest.slice(match[0].length);
  }
  expect(rest).toMatch(/^<\/think>\n<answer>[0-9+\-*/()]+<\/answer>$/);
  return tries;
}

describe("demonstrations", () => {
  test("have the form, right arithmetic, true verdicts, and answer the last try", () => {
    for (const { completion, verdict } of taskWith()
      .traces(400)
      .map((trace) => trace)) {
      const tries = triesIn(completion);
      expect(verdict.wellFormed).toBe(true);
      expect(verdict.tries).toBe(tries.length);
      expect(verdict.statistics.arithmeticRight).toBe(1);
      expect(verdict.statistics.wrongNumbers).toBe(0);
      expect(verdict.statistics.falseYes).toBe(0);
      expect(verdict.solved).toBe(completion.includes(VERDICT_WORDS.english.yes));
      expect(completion.endsWith(`<answer>${tries.at(-1)}</answer>`)).toBe(true);
    }
  });

  test("too low and too high are the direction of the miss", () => {
    let low = 0;
    let high = 0;
    for (const { problem, completion } of taskWith().traces(300)) {
      const target = Number(problem.columns.target);
      for (const [, value, word] of completion.matchAll(/=([0-9]+) too (low|high)\n/g)) {
        expect(word === "low" ? Number(value) < target : Number(value) > target).toBe(true);
        if (word === "low") low++;
        else high++;
      }
    }
    expect(Math.min(low, high)).toBeGreaterThan(50);
  });

  test("every number that is written lies within the rule", () => {
    for (const { completion } of taskWith().traces(300)) {
      for (const [number] of completion.matchAll(/[0-9]+/g)) expect(Number(number)).toBeLessThanOrEqual(99);
    }
  });

  test("are a pure function of problem and seed", () => {
    const { traces } = taskWith();
    expect(traces(50)).toEqual(taskWith().traces(50));
    expect(traces(50, 1)).not.toEqual(traces(50, 0));
  });

  test("the probabilities are those of the options", () => {
    const always = taskWith({ solutionProbability: 1 }).traces(50);
    expect(always.every(({ verdict }) => verdict.solved && verdict.tries === 1)).toBe(true);
    const hasty = taskWith({ solutionProbability: 0, giveUpProbability: 1, patientShare: 0 }).traces(50);
    expect(hasty.every(({ verdict }) => verdict.tries === 1)).toBe(true);
    const stubborn = { solutionProbability: 0, giveUpProbability: 1, patientShare: 1, patientGiveUpProbability: 0 };
    const patient = taskWith({ ...stubborn, maxTries: 5 }).traces(100);
    expect(patient.every(({ verdict }) => verdict.solved || verdict.tries === 5)).toBe(true);
    expect(patient.some(({ verdict }) => verdict.tries === 5)).toBe(true);
  });

  test("by default about half of the traces give up, and a known solution lifts hits above random", () => {
    const traces = taskWith().traces(2000);
    const tries = traces.reduce((sum, { verdict }) => sum + verdict.tries!, 0);
    const solved = traces.filter(({ verdict }) => verdict.solved).length;
    // A random try hits about one time in ten, the solution is known to 0.15 of them: 0.15 + 0.85 · 0.1 = 0.235.
    expect(solved / tries).toBeGreaterThan(0.2);
    expect(solved / tries).toBeLessThan(0.27);
    const gaveUp = traces.filter(({ verdict }) => verdict.statistics.gaveUp === 1).length / traces.length;
    expect(gaveUp).toBeGreaterThan(0.4);
    expect(gaveUp).toBeLessThan(0.6);
  });

  const searching = { solutionProbability: 0, patientShare: 1, patientGiveUpProbability: 0, maxTries: 40 };

  test("tries repeat with replacement, but not where distinctTries says so", () => {
    const repeated = (distinctTries: string) =>
      taskWith({ ...searching, distinctTries })
        .traces(100)
        .reduce((sum, { verdict }) => sum + verdict.statistics.repeatedTries!, 0);
    expect(repeated("off")).toBeGreaterThan(1);
    expect(repeated("text")).toBe(0);
    expect(repeated("commuted")).toBe(0);
  });

  test("commuted tells no two tries apart that differ in the order of + and * operands only", () => {
    const repeatsOf = (distinctTries: string) => {
      let repeats = 0;
      for (const { completion } of taskWith({ ...searching, distinctTries }).traces(60)) {
        const keys = triesIn(completion).map((text) => {
          const parsed = parseExpression(text);
          return parsed.ok ? commutedKey(treeOfPostfix(parsed.postfix)) : expect.fail(text);
        });
        repeats += keys.length - new Set(keys).size;
      }
      return repeats;
    };
    expect(repeatsOf("text")).toBeGreaterThan(10);
    expect(repeatsOf("commuted")).toBe(0);
  });

  test("a trace that has tried everything gives up", () => {
    // 1 and 2 under 0 … 3: 1+2, 2-1, 1*2, 2/1 and their mirror images are all that there is.
    const rows = [{ fields: { nums: [1, 2], target: 50 }, file: "f", line: 1 }];
    const options = { prompt: "compact", file: "f", values: { min: 0, max: 3 } };
    const demonstration = { ...searching, solutionProbability: 0.5, distinctTries: "commuted" };
    const task = createCountdownTask({ ...options, demonstration }, { seed: 0, rows });
    const { completion } = task.demonstrate!(task.trainProblem(0), 0);
    expect(triesIn(completion)).toHaveLength(4);
  });

  test("weighted spans lie exactly on the verdicts, and a weight of 1 needs none", () => {
    for (const { completion, weightedSpans } of taskWith({ verdictWeight: 3 }).traces(50)) {
      const phrases = weightedSpans.map(({ start, end }) => completion.slice(start, end));
      expect(phrases).toEqual([...completion.matchAll(/ yes| too low\n| too high\n/g)].map(([phrase]) => phrase));
      expect(weightedSpans.every(({ weight }) => weight === 3)).toBe(true);
    }
    expect(
      taskWith({ verdictWeight: 1 })
        .traces(3)
        .flatMap(({ weightedSpans }) => weightedSpans),
    ).toEqual([]);
  });

  test("a file's problems are solved for the known solution", () => {
    const rows = [{ fields: { nums: [25, 3, 7, 50], target: 132 }, file: "f", line: 1 }];
    const demonstration = { solutionProbability: 1 };
    const task = createCountdownTask({ prompt: "compact", file: "f", demonstration }, { seed: 0, rows });
    const problem = task.trainProblem(0);
    for (let seed = 0; seed < 10; seed++) {
      const { solved, tries } = task.judge(problem, task.demonstrate!(problem, seed).completion);
      expect([solved, tries]).toEqual([true, 1]);
    }
  });

  test("numbers 1 to 99 without a rule still make traces without signs and fractions", () => {
    for (const { verdict, completion } of taskWith({}, { prompt: "compact" }).traces(200)) {
      expect(triesIn(completion).length).toBe(verdict.tries);
      expect(verdict.statistics.arithmeticRight).toBe(1);
    }
  });

  test("tries are found where fewer than one random expression in a thousand keeps the rule", () => {
    const rows = [{ fields: { nums: [77, 61, 46, 50], target: 20 }, file: "f", line: 1 }];
    const values = { min: 0, max: 99 };
    const demonstration = { solutionProbability: 0, giveUpProbability: 0, maxTries: 3, distinctTries: "commuted" };
    const task = createCountdownTask({ prompt: "compact", file: "f", values, demonstration }, { seed: 0, rows });
    for (let seed = 0; seed < 20; seed++) {
      const { completion } = task.demonstrate!(task.trainProblem(0), seed);
      const numbers = completion.match(/\d+/g)!.map(Number);
      expect(Math.max(...numbers), completion).toBeLessThanOrEqual(99);
      expect(new Set(triesIn(completion)).size, completion).toBe(triesIn(completion).length);
      expect(task.judge(task.trainProblem(0), completion).statistics.arithmeticRight).toBe(1);
    }
  });

  test("where no expression keeps the rule there is nothing to demonstrate: a DataError", () => {
    const rows = [{ fields: { nums: [50, 70], target: 10 }, file: "f", line: 1 }];
    const options = { prompt: "compact", file: "f", values: { min: 0, max: 9 } };
    const task = createCountdownTask(options, { seed: 0, rows });
    expect(() => task.demonstrate!(task.trainProblem(0), 0)).toThrow(/No demonstration for the numbers 50, 70/);
  });
});
