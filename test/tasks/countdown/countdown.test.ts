import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, DataError } from "../../../src/errors.ts";
import { judgeExpression, readCountdown } from "../../../src/expression/countdown.ts";
import { readDecimal } from "../../../src/expression/rational.ts";
import { createCountdownTask } from "../../../src/tasks/countdown/countdown.ts";
import { problemKey } from "../../../src/tasks/countdown/split.ts";
import { createTask } from "../../../src/tasks/on-disk.ts";
import type { Problem } from "../../../src/tasks/task.ts";

const TINY = { prompt: "compact", counts: [3], min: 1, max: 10, values: { min: 0, max: 99 } };

function keyOf({ columns }: Problem): string {
  return problemKey(columns.nums as number[], readDecimal(columns.target as number)!);
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe("the generator", () => {
  test.each([
    ["the tiny game", TINY],
    ["the data set's game", { prompt: "compact" }],
    ["two numbers and small targets", { prompt: "compact", counts: [2, 5], max: 20, targetMin: 1, targetMax: 5 }],
  ])("%s: problems are in range and solved by their solution", (_, options) => {
    const task = createCountdownTask(options, { seed: 7 });
    const { counts, min, max, targetMin, targetMax } = {
      ...{ counts: [3, 4], min: 1, max: 99, targetMin: 10, targetMax: 99 },
      ...options,
    };
    for (const problem of [...range(300).map((i) => task.trainProblem(i)), ...task.heldOut(50)]) {
      const { nums, target, solution } = problem.columns as { nums: number[]; target: number; solution: string };
      expect(counts).toContain(nums.length);
      expect(Math.min(...nums)).toBeGreaterThanOrEqual(min);
      expect(Math.max(...nums)).toBeLessThanOrEqual(max);
      expect(target).toBeGreaterThanOrEqual(targetMin);
      expect(target).toBeLessThanOrEqual(targetMax);
      const game = readCountdown(problem.columns);
      expect("fault" in game || judgeExpression(solution, game).solved).toBe(true);
    }
  });

  test("training problem i is a function of seed and i alone, whatever was asked before", () => {
    const forward = createCountdownTask(TINY, { seed: 7 });
    const backward = createCountdownTask(TINY, { seed: 7 });
    const first = range(100).map((i) => forward.trainProblem(i));
    const second = range(100)
      .map((i) => backward.trainProblem(99 - i))
      .reverse();
    expect(second).toEqual(first);
    const other = createCountdownTask(TINY, { seed: 8 });
    expect(range(100).map((i) => other.trainProblem(i))).not.toEqual(first);
    expect(forward.trainCount).toBe(Number.POSITIVE_INFINITY);
    expect(first.map(({ id }) => id)).toEqual(range(100));
  });

  test("problems vary: a thousand draws of the tiny game are mostly distinct", () => {
    const task = createCountdownTask(TINY, { seed: 7 });
    const keys = new Set(range(1000).map((i) => keyOf(task.trainProblem(i))));
    expect(keys.size).toBeGreaterThan(500);
  });
});

describe("held-out problems", () => {
  test("never appear in training, not even as permutations, over twenty thousand draws of the tiny game", () => {
    const heldOut = new Set(createCountdownTask(TINY, { seed: 1 }).heldOut(5000).map(keyOf));
    // Nearly all that there are: what training could confuse with them.
    expect(heldOut.size).toBeGreaterThan(200);
    let draws = 0;
    for (const seed of [1, 2]) {
      const task = createCountdownTask(TINY, { seed });
      for (let i = 0; i < 10_000; i++, draws++) {
        const problem = task.trainProblem(i);
        if (heldOut.has(keyOf(problem))) expect.fail(`held out, but training problem ${i}: ${problem.prompt}`);
      }
    }
    expect(draws).toBe(20_000);
  });

  test("are about the share of distinct problems that was asked for", () => {
    const share = (heldOutShare: number): number => {
      const task = createCountdownTask({ ...TINY, heldOutShare }, { seed: 1 });
      const training = new Set(range(12_000).map((i) => keyOf(task.trainProblem(i)))).size;
      const heldOut = new Set(task.heldOut(4000).map(keyOf)).size;
      return heldOut / (heldOut + training);
    };
    expect(Math.abs(share(0.125) - 0.125)).toBeLessThan(0.03);
    expect(Math.abs(share(0.5) - 0.5)).toBeLessThan(0.06);
  });

  test("are the same for every seed, a longer list begins with the shorter one, and ids differ from training's", () => {
    const list = createCountdownTask(TINY, { seed: 1 }).heldOut(40);
    expect(createCountdownTask(TINY, { seed: 99 }).heldOut(60).slice(0, 40)).toEqual(list);
    expect(new Set(list.map(({ id }) => id)).size).toBe(40);
    expect(Math.min(...list.map(({ id }) => id))).toBe(2 ** 31);
  });

  test("distinct draws bring each problem up once, natural draws repeat the frequent ones", () => {
    const distinct = createCountdownTask({ ...TINY, heldOutDraws: "distinct" }, { seed: 1 }).heldOut(200);
    expect(new Set(distinct.map(keyOf)).size).toBe(200);
    const natural = createCountdownTask(TINY, { seed: 1 }).heldOut(400);
    expect(new Set(natural.map(keyOf)).size).toBeLessThan(300);
  });

  test("more distinct ones than there are is a ConfigError that says how many were found", () => {
    const task = createCountdownTask({ ...TINY, max: 4, heldOutDraws: "distinct" }, { seed: 1 });
    expect(() => task.heldOut(1000)).toThrow(
      /Asked for 1000 distinct held-out Countdown problems, only \d+ were found\. Ask for fewer/,
    );
  });
});

describe("problems from a file", () => {
  const rows = range(4000).map((i) => {
    const { nums, target } = createCountdownTask({ prompt: "compact" }, { seed: 3 }).trainProblem(i % 3000).columns;
    // The last thousand are the first thousand with their numbers in another order.
    const numbers = i < 3000 ? nums : [...(nums as number[])].reverse();
    return { fields: { nums: numbers, target, note: i }, file: "data.jsonl", line: i + 1 };
  });
  const options = { prompt: "compact", file: "data.jsonl", heldOutShare: 0.25 };
  const task = createCountdownTask(options, { seed: 5, rows });

  test("every row is either trained on or held out, and permutations are on the same side", () => {
    const training = range(task.trainCount).map((i) => task.trainProblem(i));
    const heldOut = task.heldOut(rows.length - task.trainCount);
    expect(heldOut.length).toBeGreaterThan(500);
    expect([...training, ...heldOut].map(({ id }) => id).sort((a, b) => a - b)).toEqual(range(rows.length));
    const trainingKeys = new Set(training.map(keyOf));
    expect(heldOut.filter((problem) => trainingKeys.has(keyOf(problem)))).toEqual([]);
  });

  test("training goes round in a new order each time, the same for the same seed", () => {
    const count = task.trainCount;
    const rounds = [0, 1].map((round) => range(count).map((i) => task.trainProblem(round * count + i).id));
    expect(rounds[0]).not.toEqual(rounds[1]);
    expect(rounds[0]!.toSorted((a, b) => a - b)).toEqual(rounds[1]!.toSorted((a, b) => a - b));
    const again = createCountdownTask(options, { seed: 5, rows });
    expect(again.trainProblem(count + 3).id).toBe(rounds[1]![3]);
    expect(again.trainProblem(3).id).toBe(rounds[0]![3]);
  });

  test("a problem keeps all columns of its row", () => {
    const { id, columns } = task.trainProblem(0);
    expect(columns).toEqual(rows[id]!.fields);
  });

  test("held-out problems without repetition, and the errors where there are too few", () => {
    const distinct = createCountdownTask({ ...options, heldOutDraws: "distinct" }, { seed: 5, rows });
    expect(new Set(distinct.heldOut(300).map(keyOf)).size).toBe(300);
    expect(() => task.heldOut(4000)).toThrow(/Asked for 4000 natural held-out problems, but data.jsonl has \d+ among/);
    const one = rows.slice(0, 1);
    for (const heldOutShare of [1e-9, 1 - 1e-9]) {
      const small = () => createCountdownTask({ ...options, heldOutShare }, { seed: 5, rows: one });
      if (heldOutShare < 0.5) expect(() => small().heldOut(1)).toThrow(ConfigError);
      else expect(small).toThrow("data.jsonl has 1 problems and none of them is left for training");
    }
  });

  test.each([
    [
      { numbers: [1, 2], target: 3 },
      "nums is not a list of whole numbers; the columns of this row are: numbers, target.",
    ],
    [{ nums: [1, 2] }, "target is missing, not a number; the columns of this row are: nums."],
    [
      { nums: [1, 2, 3, 4, 5, 6, 7], target: 3 },
      "nums has 7 numbers, more than 6; the columns of this row are: nums, target.",
    ],
    [{}, "nums is not a list of whole numbers; the columns of this row are: none."],
  ])("the row %j is a DataError with file and line", (fields, message) => {
    const bad = [...rows.slice(0, 2), { fields, file: "data.jsonl", line: 3 }];
    const make = () => createCountdownTask(options, { seed: 5, rows: bad });
    expect(make).toThrow(DataError);
    expect(make).toThrow(
      `data.jsonl:3: expected a Countdown problem such as {"nums": [6, 3, 3], "target": 54}, but ${message}`,
    );
  });

  test("targets may be decimals", () => {
    const half = createCountdownTask(options, {
      seed: 5,
      rows: [{ fields: { nums: [1, 2], target: 0.5 }, file: "f", line: 1 }],
    });
    const problem = half.trainProblem(0);
    expect(half.judge(problem, "</think>\n<answer>1/2</answer>").solved).toBe(true);
  });
});

describe("options that cannot be", () => {
  test.each([
    [{ promt: "compact" }, 'task countdown: promt: unknown key; did you mean "prompt"?'],
    [{ values: { mn: 0 } }, 'task countdown: values.mn: unknown key; did you mean "min"?'],
    [{ demonstration: { maxtries: 3 } }, 'demonstration.maxtries: unknown key; did you mean "maxTries"?'],
    [{ min: 50, max: 4 }, "min: expected at most max (4), got 50"],
    [{ targetMin: 5, targetMax: 4 }, "targetMin: expected at most targetMax (4), got 5"],
    [{ values: { min: 3, max: 2 } }, "values: expected min at most max, got 3 > 2"],
    [{ heldOutShare: 1 }, "heldOutShare"],
    [{ counts: [] }, "counts"],
    [{ file: "x.jsonl", max: 10 }, "max: is of the generator and has no effect together with file"],
    [{ file: "x.jsonl" }, "the rows of x.jsonl were not read"],
    [
      { prompt: "compact", counts: [2], max: 3, targetMin: 50 },
      "No Countdown problem found in 100000 draws of 2 numbers from 1 to 3 with a target from 50 to 99. Widen",
    ],
  ])("%j", (options, message) => {
    const make = () => createCountdownTask(options, { seed: 0 });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  });
});

describe("createTask", () => {
  test("makes the task by name and reads its file", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "aha-countdown-")), "a.jsonl");
    writeFileSync(file, '{"nums": [1, 2], "target": 3}\n');
    const spec = { name: "countdown", prompt: "compact", file, heldOutShare: 1e-9 };
    const task = await createTask(spec, { seed: 0 });
    expect(task.name).toBe("countdown");
    expect(task.trainProblem(0).prompt).toContain("[1, 2]");
    rmSync(dirname(file), { recursive: true });
  });

  test("an unknown name is a ConfigError with the nearest", async () => {
    await expect(createTask({ name: "countdwn" }, { seed: 0 })).rejects.toThrow(
      'There is no task "countdwn"; known: countdown, conversations, assistant, math, preferences, mixture. Did you mean countdown?',
    );
  });
});
