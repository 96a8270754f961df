import { describe, expect, test } from "vitest";
import { ConfigError, DataError } from "../../../src/errors.ts";
import type { ChatRenderer } from "../../../src/tasks/chat.ts";
import { isHeldOutMathProblem } from "../../../src/tasks/math/generator.ts";
import { createMathTask } from "../../../src/tasks/math/math.ts";
import { createTask } from "../../../src/tasks/on-disk.ts";
import type { Task } from "../../../src/tasks/task.ts";
import { temporaryFolder } from "../../data/temporary-folder.ts";
import { judgeAnswer } from "../../math-answers/judge-answer-text.ts";

const makeFiles = temporaryFolder();
const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const trained = (task: Task, count: number) => range(count).map((i) => task.trainProblem(i));

/** The task of rows, 20 % of them held out. */
async function ofRows(rows: readonly object[], options: object = {}): Promise<Task> {
  const folder = makeFiles({ "rows.jsonl": rows.map((row) => JSON.stringify(row)).join("\n") });
  const data = { path: `${folder}/rows.jsonl`, testShare: 0.2 };
  return createTask({ name: "math", data, ...options } as { name: string }, { seed: 1 });
}

describe("generated problems", () => {
  test("are of the kinds asked for, within range, with an answer that a calculator confirms", () => {
    const task = createMathTask({ prompt: "compact", maxOperand: 12 }, { seed: 3 });
    const problems = trained(task, 200);
    expect(new Set(problems.map(({ columns }) => columns.kind))).toEqual(
      new Set(["arithmetic", "fractions", "linear"]),
    );
    for (const { columns } of problems) {
      const { problem, answer, kind } = columns as { problem: string; answer: string; kind: string };
      expect(Math.max(...problem.match(/\d+/g)!.map(Number))).toBeLessThanOrEqual(12);
      const formula =
        kind === "linear"
          ? problem.replace(/Solve for x: (\d+)x \+ (\d+) = (\d+)\./, "($3-$2)/$1")
          : problem.replace(/What is ([^?]*)\?.*/, "$1");
      expect(judgeAnswer(formula, answer).verdict, problem).toBe("right");
    }
    const only = createMathTask({ prompt: "compact", kinds: ["linear"] }, { seed: 3 });
    expect(trained(only, 20).every(({ columns }) => columns.kind === "linear")).toBe(true);
  });

  test("depend on seed and index alone; the held-out ones on no seed, and training never sees them", () => {
    const [one, again, other] = [7, 7, 8].map((seed) => createMathTask({ prompt: "compact" }, { seed }));
    expect(trained(again!, 50).reverse()).toEqual(trained(one!, 50).reverse());
    expect(trained(other!, 50)).not.toEqual(trained(one!, 50));
    expect(other!.heldOut(20)).toEqual(one!.heldOut(20));
    const text = (problem: { columns: Readonly<Record<string, unknown>> }) => String(problem.columns.problem);
    expect(trained(one!, 300).some((problem) => isHeldOutMathProblem(text(problem), 0.125))).toBe(false);
    expect(one!.heldOut(50).every((problem) => isHeldOutMathProblem(text(problem), 0.125))).toBe(true);
    expect(one!.trainCount).toBe(Number.POSITIVE_INFINITY);
  });

  test.each(["r1-zero", "compact", "boxed"])(
    "are demonstrated in the form of the prompt %s, which the judge takes",
    (prompt) => {
      const renderChat: ChatRenderer = (messages) => `<user>${messages[0]!.content}<assistant>`;
      const task = createMathTask({ prompt }, { seed: 1, renderChat });
      for (const problem of trained(task, 30)) {
        const { completion } = task.demonstrate!(problem, 0);
        const verdict = task.judge(problem, completion);
        expect(verdict).toMatchObject({ solved: true, wellFormed: true, statistics: { judged: 1 } });
        expect(verdict.answer).toBe(String(problem.columns.answer));
      }
    },
  );

  test("are refused where options cannot be met", () => {
    expect(() => createMathTask({ kinds: [] }, { seed: 0 })).toThrow(ConfigError);
    expect(() => createMathTask({ maxOperand: 1 }, { seed: 0 })).toThrow(/maxOperand/);
    expect(() => createMathTask({ gold: "x" }, { seed: 0 })).toThrow(/gold/);
    expect(() => createMathTask({ heldOutShare: 1e-12 }, { seed: 0 })).toThrow(/No held-out problem found/);
    expect(() => createMathTask({ prompt: "boxed" }, { seed: 0 })).toThrow(/chat template/);
    expect(() => createMathTask({ data: { path: "x" }, kinds: ["linear"] }, { seed: 0 })).toThrow(/kinds/);
  });
});

describe("problems of a data set", () => {
  const numina = range(10).map((i) => ({ problem: `What is ${i}+1?`, solution: `It is $\\boxed{${i + 1}}$.` }));
  const gsm8k = range(10).map((i) => ({
    question: `What is ${i}+1?`,
    answer: `${i}+1=<<${i}+1=${i + 1}>>${i + 1}\n#### ${i + 1}`,
  }));

  test.each([
    ["NuminaMath", numina],
    ["GSM8K", gsm8k],
  ])("%s: prompts, gold answers and demonstrations come from its columns", async (_, rows) => {
    const task = await ofRows(rows);
    expect(task.trainCount).toBe(8);
    expect(task.heldOut(2)).toHaveLength(2);
    expect(() => task.heldOut(3)).toThrow(/Asked for 3 held-out problems/);
    task.requireDemonstrations!();
    const problem = task.trainProblem(0);
    const sum = Number(/What is (\d+)\+1\?/.exec(problem.prompt)![1]) + 1;
    expect(problem.prompt).toMatch(/User: What is \d\+1\? Assistant: <think>$/);
    expect(task.judge(problem, `so</think>\n<answer>${sum}.0</answer>`)).toMatchObject({
      solved: true,
      wellFormed: true,
    });
    expect(task.judge(problem, `so</think>\n<answer>${sum + 1}</answer>`)).toMatchObject({
      solved: false,
      answer: `${sum + 1}`,
    });
    expect(task.judge(problem, "so on")).toMatchObject({ solved: false, wellFormed: false, answer: null });
    expect(task.judge(problem, task.demonstrate!(problem, 0).completion).solved).toBe(true);
  });

  test("without a problem, a gold answer or a solution are refused by place", async () => {
    await expect(ofRows([{ text: "x", answer: "1" }])).rejects.toThrow(/rows\.jsonl:1: expected the problem/);
    await expect(ofRows([{ problem: "x", other: "1" }])).rejects.toThrow(/rows\.jsonl:1: there is no gold answer/);
    await expect(ofRows([{ problem: "x", answer: "1" }], { gold: "solution" })).rejects.toThrow(DataError);
    const task = await ofRows(range(5).map((i) => ({ problem: `p${i}`, answer: `${i}` })));
    expect(() => task.requireDemonstrations!()).toThrow(/expected a worked solution/);
  });

  test("an unreadable gold answer gives no verdict", async () => {
    const task = await ofRows(range(5).map((i) => ({ problem: `p${i}`, answer: "\\sum_k k" })));
    const verdict = task.judge(task.trainProblem(0), "</think>\n<answer>5</answer>");
    expect(verdict).toMatchObject({ solved: false, statistics: { judged: 0 } });
  });
});
