import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { filterSchema } from "../../src/data-steps/config.ts";
import { openFilters } from "../../src/data-steps/filters.ts";
import { diagnose } from "../../src/doctor/diagnose.ts";
import { RunInterrupted } from "../../src/errors.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { writeReport } from "../../src/report/report.ts";
import { judgeAll } from "../../src/rewards/judge.ts";
import { createReward } from "../../src/rewards/registry.ts";
import type { BatchReward } from "../../src/rewards/reward.ts";
import { createTask } from "../../src/tasks/on-disk.ts";
import { scorerOpener } from "../../src/train/reward-scorer.ts";
import { CONVERSATIONS_RECIPE, REWARD_MODEL_RECIPE as RECIPE, runSmoke } from "./smoke.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-reward-recipe-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const read = (run: string, file: string) => readFileSync(join(root, run, file), "utf8");

describe("a recipe with the trainer reward_model", () => {
  it("trains one that ranks held-out pairs right; stopped and resumed it leaves the same bytes; GRPO is rewarded by it", async () => {
    const summary = await runSmoke(join(root, "whole"), { recipe: RECIPE, overrides: [] });
    expect(summary.start.accuracy).toBe(0.5);
    expect(summary.after.accuracy).toBeGreaterThan(0.9);
    expect(summary.stages).toMatchObject([{ trainer: "reward_model", steps: 16 }]);
    await writeReport(join(root, "whole"));
    expect(read("whole", "report.html")).toContain("ranked right");

    const controller = new AbortController();
    const interrupted = runSmoke(join(root, "resumed"), {
      recipe: RECIPE,
      overrides: [],
      signal: controller.signal,
      observe: (event) => event.type === "metrics" && event.row.step === 5 && controller.abort(),
    });
    await expect(interrupted).rejects.toThrow(RunInterrupted);
    await runSmoke(join(root, "resumed"), { recipe: RECIPE, overrides: [], resume: true });
    for (const file of ["metrics.jsonl", "evaluations.jsonl", "model/model.safetensors", "model/config.json"]) {
      expect(read("resumed", file)).toBe(read("whole", file));
    }

    const path = join(root, "whole", "model");
    const judge = async (options: object, completion: string) => {
      const reward = createReward(
        "reward_model",
        { path, ...options },
        { openScorer: scorerOpener(Compute.open({ threads: 1 })) },
      );
      await (reward as BatchReward).open!();
      const prompt = "<|im_start|>user\nWhat is 2 + 3, case 1?<|im_end|>\n<|im_start|>assistant\n<think>";
      const [result] = await judgeAll(reward, [{ prompt, completion, columns: {} }]);
      await (reward as BatchReward).close!();
      return result!;
    };
    const friendly = await judge({ part: "summary" }, "hm</think> 2 and 3 make 5. I hope that helps!");
    const rude = await judge({ part: "summary" }, "hm</think> Why should I add 2 and 3 for you?");
    expect(friendly.score!).toBeGreaterThan(rude.score!);
    expect(friendly.reason).toMatch(/^reward -?\d+\.\d{4} for the summary$/);
    const scaled = await judge(
      { part: "summary", normalise: { mean: 1, std: 2 } },
      "hm</think> Why should I add 2 and 3 for you?",
    );
    expect(scaled.score).toBeCloseTo((rude.score! - 1) / 2, 10);
    expect((await judge({ part: "summary" }, "no end of the thinking")).score).toBeNull();
    expect((await judge({}, "x".repeat(400))).reason).toMatch(/tokens; the reward model's context has 256/);

    const grpo = await runSmoke(join(root, "grpo"), {
      overrides: [
        "stages=[{name: rl, trainer: grpo, iterations: 1, promptsPerIteration: 2, groupSize: 2, maxCompletionTokens: 8, " +
          `rewards: [{name: reward_model, options: {path: ${path}}}], learningRate: 1e-4}]`,
        "engine.threads=1",
      ],
    });
    expect(grpo.stages[0]!.steps).toBe(1);

    // Whoever opens a reward model has the threads of the process, and not those that a machine would take by default.
    const compute = Compute.open({ threads: 1 });
    const config = filterSchema.parse({ reward: "reward_model", options: { path }, min: -1e6 });
    const plain = { name: "countdown", prompt: "compact" };
    const [filter] = openFilters([config], await createTask(plain, { seed: 1 }), { compute });
    await (filter!.reward as BatchReward).open!();
    await (filter!.reward as BatchReward).close!();
    const recipe = await loadRecipe(CONVERSATIONS_RECIPE, [
      "stages=[{name: rl, trainer: grpo, iterations: 1, promptsPerIteration: 2, groupSize: 2, maxCompletionTokens: 8, " +
        `rewards: [{name: reward_model, options: {path: ${path}}}], learningRate: 1e-4}]`,
      "engine.threads=1",
    ]);
    const { findings } = await diagnose(recipe, { samples: 4, signal: new AbortController().signal });
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(read("grpo", "rollouts.jsonl")).toMatch(/"reward_model":\{"score":-?\d/);
  });

  it("is refused with stages that train a policy, with an adapter, with another task, and on another model as a reward", async () => {
    const load = (...overrides: string[]) => loadRecipe(RECIPE, overrides);
    await expect(load("model.lora={rank: 2}")).rejects.toThrow(/model\.lora: a reward model is trained whole/);
    await expect(load("task={name: countdown}")).rejects.toThrow(
      /learns from pairs of answers: take the task preferences/,
    );
    await expect(load("steps=3")).rejects.toThrow(/expected exactly one of steps/);
    const sft = "{name: a, trainer: sft, steps: 1, learningRate: 1}";
    const scoring = "{name: b, trainer: reward_model, steps: 1, learningRate: 1}";
    await expect(loadRecipe(CONVERSATIONS_RECIPE, [`stages=[${sft}, ${scoring}]`])).rejects.toThrow(
      /stages\.b\.trainer: reward_model trains a model that scores.*recipe of its own/,
    );
    await expect(scorerOpener(Compute.open({ threads: 1 }))(join(root, "whole", "initial-model"))).rejects.toThrow(
      /is a language model and has no score/,
    );
  });
});
