import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readPipeline } from "../../src/pipeline/extends.ts";
import { isPipelineFile, loadPipeline } from "../../src/pipeline/load.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-extends-"));
  mkdirSync(join(root, "below"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

function write(name: string, text: string): string {
  const path = join(root, name);
  writeFileSync(path, text);
  return path;
}

const BELOW = `name: below
seed: 3
defaults: { evaluation: { problems: 8 } }
pipeline:
  - { name: base, train: ./base.yaml }
  - name: data
    rejectionSampling: { model: { from: base }, prompts: 2, task: { name: math, data: { path: ./rows.jsonl } } }
`;

describe("a pipeline that extends another", () => {
  it("has what is below it, its own keys above, stages by name, and further stages at the end", async () => {
    write("below/pipeline.yaml", BELOW);
    const path = write(
      "above.yaml",
      `extends: ./below/pipeline.yaml
name: above
defaults: { evaluation: { problems: 4 } }
pipeline: { data: { rejectionSampling: { prompts: 9 } }, base: { with: { learningRate: 0.1 } } }
append: [{ name: more, train: ./more.yaml, with: { model: { from: base } } }]
`,
    );
    expect(await readPipeline(path)).toEqual({
      name: "above",
      seed: 3,
      defaults: { evaluation: { problems: 4 } },
      pipeline: [
        { name: "base", train: join(root, "below/base.yaml"), with: { learningRate: 0.1 } },
        {
          name: "data",
          rejectionSampling: {
            model: { from: "base" },
            prompts: 9,
            task: { name: "math", data: { path: join(root, "below/rows.jsonl") } },
          },
        },
        { name: "more", train: join(root, "more.yaml"), with: { model: { from: "base" } } },
      ],
    });
  });

  it("goes over several files, and is told apart from a recipe", async () => {
    write("below/pipeline.yaml", BELOW);
    write("second.yaml", "extends: ./below/pipeline.yaml\nseed: 4\n");
    const path = write("third.yaml", "extends: ./second.yaml\n");
    expect(await readPipeline(path)).toMatchObject({ name: "below", seed: 4 });
    expect(await isPipelineFile(path)).toBe(true);
  });

  it("leaves --set its stages and keys", async () => {
    const { file } = await loadPipeline("recipes/r1/pipeline.yaml", ["r1-zero.iterations=3", "seed=7"]);
    expect(file.seed).toBe(7);
    expect(file.pipeline.find(({ name }) => name === "r1-zero")?.with).toMatchObject({ iterations: 3 });
  });

  it.each([
    [
      "a stage that there is not",
      "extends: ./below/pipeline.yaml\npipeline: { dat: { note: x } }",
      /no item "dat".*is data meant/,
    ],
    ["itself", "extends: ./bad.yaml", /bad\.yaml: extends itself/],
    ["a file that is not there", "extends: ./nowhere.yaml", /nowhere\.yaml/],
    ["no path", "extends: 3", /extends: expected the path of a pipeline's file, got 3/],
    ["a recipe", "extends: ./recipe.yaml", /recipe\.yaml: a pipeline has the key pipeline/],
    [
      "stages that are no list",
      "extends: ./below/pipeline.yaml\nappend: { name: x }",
      /append: expected a list of stages/,
    ],
    ["nothing, but appends", "append: []", /append goes with extends/],
  ])("is refused where it extends %s", async (_, text, message) => {
    write("below/pipeline.yaml", BELOW);
    write("recipe.yaml", "trainer: sft\n");
    await expect(readPipeline(write("bad.yaml", text))).rejects.toThrow(message);
  });
});
