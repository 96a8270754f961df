import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findDataset, splitOf, splitRows } from "../../src/data/dataset-folder.ts";
import type { DataRow } from "../../src/data/row.ts";
import type { TaskSpec } from "../../src/tasks/entry.ts";
import { createTask } from "../../src/tasks/on-disk.ts";
import { buildCharacters } from "../../src/tokenizer/build.ts";
import { SAMPLE_DATA, sampleFiles } from "./sample-data.ts";

const characters = buildCharacters();
const renderChat: Parameters<typeof createTask>[1]["renderChat"] = (messages, options) =>
  characters.applyChatTemplate(messages, options);

async function readAll(path: string, split?: string): Promise<DataRow["fields"][]> {
  const rows: DataRow["fields"][] = [];
  for await (const { fields } of splitRows(splitOf(await findDataset(join(SAMPLE_DATA, path)), split)))
    rows.push(fields);
  return rows;
}

test.each([...sampleFiles()])("recipes/data/%s is what its generator writes", (path, bytes) => {
  expect(readFileSync(join(SAMPLE_DATA, path)).equals(bytes)).toBe(true);
});

describe("Countdown-Tasks-3to4", () => {
  const taskOf = (data: object) =>
    createTask({ name: "countdown", prompt: "compact", ...data } as TaskSpec, { seed: 5 });

  test("as Parquet in the Hub's layout, JSONL and CSV it is the same problems, in the same split and order", async () => {
    const tasks = await Promise.all(
      ["countdown-3to4", "countdown-3to4.jsonl", "countdown-3to4.csv"].map((path) =>
        taskOf({ data: { path: join(SAMPLE_DATA, path), select: 100 } }),
      ),
    );
    const [parquet, ...others] = tasks.map((task) => [
      task.trainCount,
      ...Array.from({ length: 90 }, (_, i) => task.trainProblem(i)),
      ...task.heldOut(10),
    ]);
    expect(parquet![0]).toBe(90);
    for (const other of others) expect(other).toEqual(parquet);
  });

  test("the columns of CSV reach rewards as numbers, as those of the others do", async () => {
    const task = await taskOf({ data: { path: join(SAMPLE_DATA, "countdown-3to4.csv") } });
    const { nums, target } = task.trainProblem(0).columns;
    expect(Array.isArray(nums) && nums.every((value) => typeof value === "number")).toBe(true);
    expect(typeof target).toBe("number");
  });

  test("task.file reads every format too, holding problems out by their hash", async () => {
    const [jsonl, csv] = await Promise.all(
      ["countdown-3to4.jsonl", "countdown-3to4.csv"].map((path) => taskOf({ file: join(SAMPLE_DATA, path) })),
    );
    expect(csv!.trainCount).toBe(jsonl!.trainCount);
    expect(csv!.trainProblem(7).columns).toEqual(jsonl!.trainProblem(7).columns);
  });

  test("keys of the generator, of file and of data exclude each other", async () => {
    const path = join(SAMPLE_DATA, "countdown-3to4.csv");
    await expect(taskOf({ data: { path }, file: path })).rejects.toThrow("both say where the problems come from");
    await expect(taskOf({ data: { path }, counts: [3] })).rejects.toThrow("no effect together with data");
    await expect(taskOf({ data: { path }, heldOutShare: 0.2 })).rejects.toThrow("with data it is data.testShare");
  });
});

describe("NuminaMath-TIR", () => {
  test("has problem, solution and messages in two splits", async () => {
    const [train, test] = [await readAll("numinamath-tir"), await readAll("numinamath-tir", "test")];
    expect([train.length, test.length]).toEqual([60, 12]);
    for (const row of train) expect(Object.keys(row)).toEqual(["problem", "solution", "messages"]);
  });

  test("is trained on with the Hub's own test split held out, judged by the boxed answer of the solution", async () => {
    const data = { path: join(SAMPLE_DATA, "numinamath-tir"), testSplit: "test" };
    const task = await createTask({ name: "conversations", data, answer: "solution" } as TaskSpec, {
      seed: 0,
      renderChat,
    });
    expect(task.heldOut(12)).toHaveLength(12);
    const problem = task.trainProblem(0);
    const { completion } = task.demonstrate!(problem, 0);
    expect(completion).toBe(problem.columns.solution);
    expect(task.judge(problem, completion)).toMatchObject({ solved: true, wellFormed: true });
  });
});

describe("Bespoke-Stratos-17k", () => {
  test("has a system message and conversations of from and value", async () => {
    const rows = await readAll("bespoke-stratos-17k");
    expect(rows).toHaveLength(60);
    for (const { system, conversations } of rows) {
      expect(typeof system).toBe("string");
      expect((conversations as { from: string }[]).map(({ from }) => from)).toEqual(["user", "assistant"]);
    }
  });

  test("every row is a prompt with its system message, and a demonstration that its judge accepts", async () => {
    const data = { path: join(SAMPLE_DATA, "bespoke-stratos-17k") };
    const task = await createTask({ name: "conversations", data } as TaskSpec, { seed: 0, renderChat });
    task.requireDemonstrations!();
    for (let i = 0; i < task.trainCount; i++) {
      const problem = task.trainProblem(i);
      expect(problem.prompt).toMatch(/^<\|im_start\|>system\nThink step by step/);
      const { completion } = task.demonstrate!(problem, 0);
      expect(completion).toContain("<|begin_of_thought|>");
      expect(task.judge(problem, completion).solved).toBe(true);
    }
  });
});
