/** Recipes that train an adapter, also over packed weights. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunInterrupted } from "../../src/errors.ts";
import { parseRecipe } from "../../src/recipe/load.ts";
import { QUICK, runSmoke, SMOKE_RECIPE } from "./smoke.ts";

const LORA = ["model.lora={rank: 2, alpha: 4, dropout: 0.1, targets: [q_proj, v_proj]}", "model.quantization=nf4"];

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-adapter-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const bytes = (run: string, file: string) => readFileSync(join(root, run, file)).toString("base64");

describe("a recipe with an adapter", () => {
  it("leaves an adapter in PEFT's format on the base that it names, and a resumed run leaves the same bytes", async () => {
    const overrides = [...QUICK, ...LORA];
    await runSmoke(join(root, "whole"), { overrides });
    const config = JSON.parse(readFileSync(join(root, "whole", "model", "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ r: 2, lora_alpha: 4, target_modules: ["q_proj", "v_proj"] });
    expect(existsSync(join(config.base_model_name_or_path, "model.safetensors"))).toBe(true);
    expect(existsSync(join(root, "whole", "model", "model.safetensors"))).toBe(false);

    const stop = new AbortController();
    const interrupted = runSmoke(join(root, "resumed"), {
      overrides,
      signal: stop.signal,
      observe: (event) => {
        if (event.type === "metrics" && event.row.step === 4) stop.abort();
      },
    });
    await expect(interrupted).rejects.toThrow(RunInterrupted);
    await runSmoke(join(root, "resumed"), { overrides, resume: true });
    for (const file of ["metrics.jsonl", "rollouts.jsonl", "model/adapter_model.safetensors"]) {
      expect(bytes("resumed", file), file).toBe(bytes("whole", file));
    }
  });

  it("can go on from an adapter that there is", async () => {
    const [model, base] = [join(root, "whole", "model"), join(root, "whole", "initial-model")];
    const summary = await runSmoke(join(root, "further"), {
      overrides: [...QUICK, `model={path: ${base}, adapter: ${model}}`],
    });
    expect(summary.stages.length).toBe(2);
    expect(bytes("further", "model/adapter_model.safetensors")).not.toBe(
      bytes("whole", "model/adapter_model.safetensors"),
    );
  });
});

it.each([
  [
    "packed weights that nothing is trained beside",
    "quantization: nf4",
    /model: nf4 weights cannot be trained: add lora/,
  ],
  ["two adapters", "lora: {}, adapter: there", /model: expected lora \(a new adapter\) or adapter/],
  ["an unknown projection", "lora: { targets: [x_proj] }", /model\.lora\.targets/],
  ["a rank of nothing", "lora: { rank: 0 }", /model\.lora\.rank/],
])("%s: refused before anything is read", (_, keys, message) => {
  const text = readFileSync(SMOKE_RECIPE, "utf8");
  expect(() => parseRecipe(text, SMOKE_RECIPE, [`model={path: m, ${keys}}`])).toThrow(message);
});
