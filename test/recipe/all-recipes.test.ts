/** Every file in recipes/ is one that `aha run` takes, or a part of a pipeline that it takes. Nothing is fetched. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isPipelineFile, loadPipeline, resolveStages } from "../../src/pipeline/load.ts";
import { loadRecipe } from "../../src/recipe/load.ts";

const ROOT = join(import.meta.dirname, "../../recipes");
const files = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".yaml"));
const isWhole = await Promise.all(files.map((file) => isPipelineFile(join(ROOT, file))));
const pipelines = files.filter((_, i) => isWhole[i]);
const recipes = files.filter((file) => file.endsWith("recipe.yaml"));

describe("recipes/", () => {
  it.each(recipes)("%s is a recipe", async (file) => {
    expect((await loadRecipe(join(ROOT, file))).stages.length).toBeGreaterThan(0);
  });

  it.each(pipelines)("%s is a pipeline, each stage complete", async (file) => {
    const stages = resolveStages(await loadPipeline(join(ROOT, file)), "runs/none");
    expect(stages.every(({ work }) => work.kind !== "train" || work.recipe.stages.length > 0)).toBe(true);
  });

  it("has no other file that no pipeline uses", async () => {
    const used = await Promise.all(
      pipelines.map(async (file) => (await loadPipeline(join(ROOT, file))).stages.map(({ source }) => source)),
    );
    const known = new Set([...used.flat(), ...[...recipes, ...pipelines].map((file) => join(ROOT, file))]);
    expect(files.filter((file) => !known.has(join(ROOT, file)))).toEqual([]);
  });

  it("marks what nobody has run", () => {
    const unmeasured = files.filter((file) => file.startsWith("r1/qwen2.5/"));
    expect(unmeasured.length).toBeGreaterThanOrEqual(10);
    for (const file of unmeasured) expect(readFileSync(join(ROOT, file), "utf8"), file).toMatch(/^# UNMEASURED:/m);
  });
});
