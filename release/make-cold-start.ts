/**
 * `npm run web:cold-start [-- --steps N] [--out DIR]`: the model that R1 in a browser tab begins with, made of the recipe
 * that `npm start` runs and its seed: the weights after the first stage (a minute or five, one thread).
 *
 * Two files: model.safetensors (f32, bit for bit what was trained) and cold-start.json, which says what it was made of and
 * has the file's SHA-256. `--steps`: a shorter first stage, for tests. Another processor may round otherwise and end with
 * other bytes; the tab takes whatever the two files say together.
 */

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CpuDevice } from "../src/compute/cpu/cpu-device.ts";
import { computingOn, FolderRun, MemoryFolder, openRun, recipeOfText, runRecipe } from "../src/core.ts";

const RECIPE = fileURLToPath(new URL("../recipes/countdown/tiny/recipe.yaml", import.meta.url));
const OUT = fileURLToPath(new URL("cold-start", import.meta.url));

/** The weights after the first stage, as a safetensors file. */
async function trainColdStart(overrides: readonly string[]) {
  const whole = recipeOfText(await readFile(RECIPE, "utf8"), RECIPE, ["evaluation.problems=100", ...overrides]);
  const [first] = whole.stages;
  const recipe = { ...whole, stages: [first!] };
  const folder = new MemoryFolder("memory:cold-start");
  const compute = computingOn(CpuDevice.open(1), (path) => folder.at(path));
  const run = await openRun(recipe, await FolderRun.create(folder, recipe), { compute });
  try {
    const { stages, ...compared } = await runRecipe(run, {
      observe: (event) => {
        if (event.type === "metrics" && event.row.step % 100 === 0)
          console.log(`step ${event.row.step}: loss ${event.row.loss}`);
      },
    });
    console.log(JSON.stringify(compared));
    return {
      model: folder.folder("model").files.get("model.safetensors")!,
      seed: recipe.seed,
      steps: stages[0]!.steps,
    };
  } finally {
    await run.close();
  }
}

const { values } = parseArgs({ options: { steps: { type: "string" }, out: { type: "string", default: OUT } } });
const fewer =
  values.steps === undefined ? [] : [`stages.cold-start.steps=${values.steps}`, "stages.cold-start.warmupSteps=0"];
const { model, seed, steps } = await trainColdStart(fewer);
const sha256 = createHash("sha256").update(model).digest("hex");
await mkdir(values.out, { recursive: true });
await writeFile(join(values.out, "model.safetensors"), model);
const about = {
  recipe: "recipes/countdown/tiny/recipe.yaml",
  stage: "cold-start",
  seed,
  steps,
  threads: 1,
  bytes: model.length,
  sha256,
};
await writeFile(join(values.out, "cold-start.json"), `${JSON.stringify(about, null, 2)}\n`);
console.log(`${values.out}: ${model.length} bytes, SHA-256 ${sha256}`);
