/** A chat template that writes the day makes no run depend on the day on which it runs. */

import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseRecipe } from "../../src/recipe/load.ts";
import { prepareRecipe } from "../../src/recipe/prepare-recipe.ts";
import { randomModel } from "../eval/models.ts";

const TEMPLATE =
  "Today is {{ strftime_now('%d %b %Y') }}.{% for message in messages %}\n{{ message.content }}{% endfor %}";

let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-date-"));
  const model = await randomModel("characters", 1024);
  cpSync(model, join(root, "model"), { recursive: true });
  rmSync(model, { recursive: true });
  writeFileSync(join(root, "model", "chat_template.jinja"), TEMPLATE);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function promptOf(name: string, lines: string): Promise<string> {
  const text = `
name: dated
model: { path: model }
task: { name: countdown, prompt: english }
evaluation: { problems: 1, maxCompletionTokens: 8 }
engine: { threads: 1 }
stages: [{ name: sft, trainer: sft, steps: 1, batchTokens: 1024, learningRate: 0.001 }]
${lines}`;
  const recipe = parseRecipe(text, join(root, "recipe.yaml"));
  const prepared = await prepareRecipe(recipe, { out: join(root, name) });
  try {
    return prepared.heldOut[0]!.prompt;
  } finally {
    await prepared.close();
  }
}

it("prompts have the recipe's day, which is recorded with it, and not today's", async () => {
  expect(await promptOf("default", "")).toMatch(/^Today is 26 Jul 2024\./);
  expect(await promptOf("chosen", "date: 2025-01-20")).toMatch(/^Today is 20 Jan 2025\./);
  expect(() => parseRecipe("date: 2025-02-30", "recipe.yaml")).toThrow(/date/);
});
