/** Which checkpoints of a run are there, and what they hold. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CheckpointError } from "../../src/errors.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import { checkpoint, RECIPE, train } from "./toy-run.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "aha-run-"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe("checkpoints", () => {
  it("keeps the newest ones only", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    await train(run, 0, 8, 2);
    run.close();
    expect(readdirSync(join(run.path, "checkpoints")).sort()).toEqual(["only-000006", "only-000008"]);
  });

  it("keeps the best one however old it is, until there is a better one", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    await checkpoint(run, 1, 1);
    const names = () => readdirSync(join(run.path, "checkpoints")).sort();
    for (const [step, best] of [
      [2, "only-000001"],
      [3, "only-000001"],
      [4, "only-000004"],
    ] as const) {
      await run.saveCheckpoint(
        { stage: "only", step, trainerState: { step }, stageComplete: false, keep: 1, best },
        async () => {},
      );
      expect(names()).toEqual(best === "only-000001" ? [best, `only-00000${step}`] : [best]);
    }
    run.close();
  });

  it("take what an engine keeps elsewhere with them, unless another one names it too", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    const removed: string[] = [];
    const elsewhere = {
      namedBy: async (directory: string) => {
        const file = join(directory, "names");
        return existsSync(file) ? readFileSync(file, "utf8").split(" ") : [];
      },
      remove: async (names: readonly string[]) => {
        // By then no folder names them any more.
        const left = readdirSync(join(run.path, "checkpoints")).map((name) => join(run.path, "checkpoints", name));
        for (const folder of left)
          for (const name of await elsewhere.namedBy(folder)) expect(names).not.toContain(name);
        removed.push(...names);
      },
    };
    const save = (step: number, names: string, stageComplete = false) =>
      run.saveCheckpoint(
        { stage: "only", step, trainerState: { names }, stageComplete, keep: 1, elsewhere },
        async (directory) => writeFileSync(join(directory, "names"), names),
      );
    await save(1, "a reference");
    await save(2, "b reference");
    expect(removed).toEqual(["a"]);
    await save(2, "b2 reference");
    expect(removed).toEqual(["a", "b"]);
    await save(3, "c new-reference", true);
    await save(4, "d new-reference");
    expect(removed).toEqual(["a", "b", "b2", "reference"]);
    run.close();
  });

  it("take nothing elsewhere with them while one that is kept cannot be read", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    const removed: string[] = [];
    let unreadable = "";
    const elsewhere = {
      namedBy: async (directory: string) => {
        if (directory.endsWith(unreadable)) throw new CheckpointError(`Cannot read ${directory}: EIO.`);
        return [directory.slice(-1), "reference"];
      },
      remove: async (names: readonly string[]) => {
        removed.push(...names);
      },
    };
    const save = (step: number, cannotBeRead: string) => {
      unreadable = cannotBeRead;
      const state = { stage: "only", step, trainerState: { step }, stageComplete: false, keep: 1, elsewhere };
      return run.saveCheckpoint(state, async () => {});
    };
    await save(1, "none");
    await save(2, "only-000002");
    expect(removed).toEqual([]);
    // Nor is it known what one named that goes; the folder goes all the same.
    await save(3, "only-000002");
    expect(removed).toEqual([]);
    await save(4, "none");
    expect(removed).toEqual(["3"]);
    expect(readdirSync(join(run.path, "checkpoints"))).toEqual(["only-000004"]);
    run.close();
  });

  it("hold the resolved recipe, and are not made twice of one state", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    const first = await checkpoint(run, 2);
    expect(readFileSync(join(first.directory, "recipe.yaml"), "utf8")).toBe(
      readFileSync(join(run.path, "recipe.yaml"), "utf8"),
    );
    expect((await checkpoint(run, 2)).manifest.serial).toBe(1);
    run.stage("only").metrics({ step: 3, loss: 1 });
    expect((await checkpoint(run, 2)).manifest.serial).toBe(2);
    run.close();
  });

  it("at the end of a stage are kept beside the newest ones", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    await checkpoint(run, 1, 1, true);
    await train(run, 1, 8, 1);
    expect(readdirSync(join(run.path, "checkpoints")).sort()).toEqual(["only-000001", "only-000008"]);
    run.close();
  });

  it("do not appear when writing them fails", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    const failing = run.saveCheckpoint(
      { stage: "only", step: 1, trainerState: {}, stageComplete: false, keep: 1 },
      async (directory) => {
        writeFileSync(join(directory, "half"), "");
        throw new Error("disk full");
      },
    );
    await expect(failing).rejects.toThrow("disk full");
    expect(readdirSync(join(run.path, "checkpoints"))).toEqual([]);
    run.close();
  });
});
