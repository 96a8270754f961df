import { describe, expect, it } from "vitest";
import { forTasks } from "../../src/rewards/for-tasks.ts";
import { judgeAll } from "../../src/rewards/judge.ts";
import { createReward } from "../../src/rewards/registry.ts";
import { mixTasks } from "../../src/tasks/mixture.ts";
import { createTask } from "../../src/tasks/on-disk.ts";

const countdown = { name: "countdown", prompt: "compact", counts: [3], max: 10 } as const;
const spec = {
  name: "mixture",
  tasks: [{ weight: 3, task: countdown }, { task: { name: "assistant" } }],
} as const;
const mixture = await createTask(spec, { seed: 1 });
const names = (problems: readonly { columns: Readonly<Record<string, unknown>> }[]) =>
  problems.map(({ columns }) => columns.task);

describe("a mixture of tasks", () => {
  it("gives each task its share, evenly, and that task's own problems in their order", async () => {
    const problems = Array.from({ length: 8 }, (_, i) => mixture.trainProblem(i));
    expect(names(problems)).toEqual([
      ...["countdown", "countdown", "assistant", "countdown"],
      ...["countdown", "countdown", "assistant", "countdown"],
    ]);
    const own = await createTask(countdown, { seed: 1 });
    const ofCountdown = problems.filter(({ columns }) => columns.task === "countdown");
    expect(ofCountdown.map(({ prompt }) => prompt)).toEqual([0, 1, 2, 3, 4, 5].map((i) => own.trainProblem(i).prompt));
  });

  it("holds out each task's own held-out problems", async () => {
    const own = await createTask(countdown, { seed: 1 });
    const heldOut = mixture.heldOut(10);
    expect(names(heldOut).filter((name) => name === "assistant")).toHaveLength(2);
    const prompts = heldOut.filter(({ columns }) => columns.task === "countdown").map(({ prompt }) => prompt);
    expect(prompts).toEqual(own.heldOut(8).map(({ prompt }) => prompt));
  });

  it("demonstrates and judges by the problem's task, with its rates under its name", () => {
    for (let i = 0; i < 40; i++) {
      const problem = mixture.trainProblem(i);
      const verdict = mixture.judge(problem, mixture.demonstrate!(problem, 5).completion);
      const task = String(problem.columns.task);
      expect(verdict.wellFormed).toBe(true);
      expect(verdict.statistics).toMatchObject({
        [`${task}/solveRate`]: Number(verdict.solved),
        [`${task}/formatRate`]: 1,
      });
    }
  });

  it("has one task twice under names that differ: in problems, statistics and for rewards", async () => {
    const tasks = [
      { task: { name: "assistant", kinds: ["after"] } },
      { as: "harmful", task: { name: "assistant", kinds: ["harm"] } },
    ];
    const both = await createTask({ name: "mixture", tasks } as { name: string }, { seed: 1 });
    const [first, second] = [both.trainProblem(0), both.trainProblem(1)];
    expect(names([first, second])).toEqual(["assistant", "harmful"]);
    expect([first.columns.request, second.columns.request]).toEqual(["after", "harm"]);
    expect(both.judge(second, "").statistics).toMatchObject({ "harmful/solveRate": 0 });
    const reward = forTasks(createReward("format", {}), ["harmful"]);
    const inputs = [first, second].map(({ prompt, columns }) => ({ prompt, columns, completion: "" }));
    expect((await judgeAll(reward, inputs)).map(({ score }) => score)).toEqual([null, 0]);
  });

  it("refuses one task twice, and a mixture in a mixture", async () => {
    const task = await createTask(countdown, { seed: 1 });
    expect(() =>
      mixTasks([
        { task, weight: 1 },
        { task, weight: 2 },
      ]),
    ).toThrow("need names that differ");
    const nested = { name: "mixture", tasks: [{ task: countdown }, { task: spec }] };
    await expect(createTask(nested, { seed: 1 })).rejects.toThrow(/tasks/);
  });
});

describe("a reward for some tasks", () => {
  it("abstains from the others' completions, asked one by one or in batches", async () => {
    const inputs = ["countdown", "assistant", "countdown"].map((task) => ({
      ...{ prompt: "<think>", completion: "</think>\n<answer>1</answer>", columns: { task } },
    }));
    const format = createReward("format");
    const single = await judgeAll(forTasks(format, ["countdown"]), inputs);
    expect(single.map(({ score }) => score)).toEqual([1, null, 1]);
    const asked: number[] = [];
    const batch = {
      name: "batch",
      judgeBatch: async (list: readonly unknown[]) => {
        asked.push(list.length);
        return list.map((_, i) => ({ score: i, reason: "" }));
      },
    };
    const results = await judgeAll(forTasks(batch, ["countdown"]), inputs);
    expect(results.map(({ score }) => score)).toEqual([0, null, 1]);
    expect(results[1]!.reason).toBe("is for countdown");
    expect(asked).toEqual([2]);
  });
});
