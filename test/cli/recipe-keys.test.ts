import { describe, expect, it } from "vitest";
import { runCommand } from "../../src/cli/run.ts";
import { recipeKeys } from "../../src/cli/schema-keys.ts";
import { ConfigError } from "../../src/errors.ts";

async function run(...args: string[]): Promise<string> {
  let out = "";
  const code = await runCommand.run(args, {
    out: (text) => {
      out += text;
    },
    note: () => {},
    signal: new AbortController().signal,
    interactive: false,
  });
  expect(code).toBe(0);
  return out;
}

describe("aha run --keys", () => {
  it("lists the keys of recipes, of every task and of every trainer, each with what it does", () => {
    const keys = recipeKeys();
    expect([...new Set(keys.map(({ section }) => section))]).toEqual([
      "recipe",
      ...["countdown", "conversations", "assistant", "math", "preferences", "mixture"].map((task) => `task.${task}`),
      "engine.local",
      "engine.tinker",
      ...["sft", "grpo", "reward_model", "distill"].map((trainer) => `stages.${trainer}`),
    ]);
    expect(keys.filter(({ description }) => description === "").map(({ key }) => key)).toEqual([]);
    const places = keys.map(({ section, key }) => `${section} ${key}`);
    expect(new Set(places).size).toBe(places.length);
  });

  it("--json: with type and default, or that it is required", async () => {
    const listed = JSON.parse(await run("--keys", "--json")) as { section: string; key: string }[];
    const find = (section: string, key: string) => listed.find((one) => one.section === section && one.key === key);
    expect(find("stages.grpo", "groupSize")).toMatchObject({ type: "integer", required: false, default: 8 });
    expect(find("stages.grpo", "iterations")).toMatchObject({ required: true });
    expect(find("stages.grpo", "delta")).not.toHaveProperty("default");
    expect(find("stages.distill", "teacher.path")).toMatchObject({ type: "string", required: false });
    expect(find("recipe", "evaluation.passAt")).toMatchObject({ type: "list of integer" });
    expect(find("recipe", "stages")).toMatchObject({ type: "list of sft | grpo | reward_model | distill" });
    expect(find("task.countdown", "demonstration.maxTries")).toMatchObject({ default: 16 });
  });

  it("as text: a line for each key under its section", async () => {
    const text = await run("--keys");
    expect(text).toMatch(/^stages\.grpo$/m);
    expect(text).toMatch(/^ {2}klEstimator \(k1 \| k2 \| k3, "k3"\) {2}k1 is unbiased/m);
    expect(
      text
        .trimEnd()
        .split("\n")
        .every((line) => line === line.trimEnd()),
    ).toBe(true);
  });

  it("runs nothing, and says so where a recipe is named beside it", async () => {
    await expect(run("recipe.yaml", "--keys")).rejects.toThrow(ConfigError);
    await expect(run("--keys", "--quiet")).rejects.toThrow("--keys lists keys and runs nothing; leave out --quiet.");
  });
});
