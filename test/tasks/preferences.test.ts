import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTask } from "../../src/tasks/on-disk.ts";

const root = mkdtempSync(join(tmpdir(), "aha-preferences-"));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

let count = 0;
function taskOf(rows: readonly object[], options: object = {}) {
  const path = join(root, `${count++}.jsonl`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return createTask({ name: "preferences", chat: false, data: { path }, ...options } as { name: string }, {
    seed: 1,
  });
}

describe("pairs of two answers and the number of the better one", () => {
  const answers = { columns: ["response_0", "response_1"], better: "safer_response_id" };
  const row = {
    prompt: "how?",
    response_0: "so",
    response_1: "not at all",
    safer_response_id: 1,
    better_response_id: 0,
  };

  it("are chosen and rejected by that number", async () => {
    const both = [row, { ...row, prompt: "why?" }];
    const safe = await taskOf(both, { answers });
    const problem = safe.trainProblem(0);
    expect(["how?", "why?"]).toContain(problem.prompt);
    expect(safe.preference!(problem)).toEqual({ chosen: "not at all", rejected: "so" });
    const helpful = await taskOf(both, { answers: { ...answers, better: "better_response_id" } });
    expect(helpful.preference!(helpful.trainProblem(0))).toEqual({ chosen: "so", rejected: "not at all" });
  });

  it("are refused with the place where there is no such number or answer", async () => {
    const wrong = taskOf([{ ...row, safer_response_id: 2 }], { answers });
    await expect(wrong).rejects.toThrow(
      /expected the number of the better answer, 0 or 1, in the column safer_response_id, which is 2/,
    );
    const { response_1: _, ...short } = row;
    await expect(taskOf([short], { answers })).rejects.toThrow(
      /expected an answer in the column response_1, which is not there/,
    );
  });
});
