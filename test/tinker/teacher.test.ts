/** A teacher on a Tinker server: the bytes of a teacher in this process, with the student here or on the same server. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { ConfigError } from "../../src/errors.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { writeInitialModel } from "../../src/recipe/model.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { runSmoke, SMOKE_RECIPE } from "../recipe/smoke.ts";
import { type StartedTinker, startTinker } from "./tinker-server.ts";

const RECIPE = join(import.meta.dirname, "../../recipes/distill/smoke/recipe.yaml");
const STAGE = "stages.distillation";

let root: string;
let teacher: string;
let server: StartedTinker;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-tinker-teacher-"));
  teacher = join(root, "teacher");
  mkdirSync(teacher);
  const { model } = await loadRecipe(SMOKE_RECIPE, []);
  await writeInitialModel(diskFolder(teacher), model.init!, 7);
  const tokenizer = await loadTokenizer(teacher);
  server = await startTinker({ model: teacher, tokenizer, name: "big", directory: join(root, "kept"), threads: 1 });
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

const there = (profile: string) => `{kind: tinker, url: "${server.url}", baseModel: big, profile: ${profile}}`;

/** A short run, and the rows of its metrics. */
async function distil(name: string, own: string, more: readonly string[] = []) {
  await runSmoke(join(root, name), {
    recipe: RECIPE,
    overrides: [
      ...["stages.cold-start.steps=3", "stages.cold-start.evalLossEvery=0", "evaluation.problems=4"],
      ...[`${STAGE}.iterations=2`, `${STAGE}.promptsPerIteration=4`, `${STAGE}.maxCompletionTokens=16`],
      `${STAGE}.teacher={path: ${teacher}${own}}`,
      ...more,
    ],
  });
  return bytes(name, "metrics.jsonl");
}

const bytes = (run: string, file: string) => readFileSync(join(root, run, file), "utf8");

describe("a teacher on a Tinker server", () => {
  it("gives the run the bytes of the same teacher in this process, at any temperature", async () => {
    for (const temperature of [1, 0.8]) {
      const more = [`${STAGE}.temperature=${temperature}`];
      const here = await distil(`here-${temperature}`, "", more);
      expect(await distil(`there-${temperature}`, `, engine: ${there("aha")}`, more)).toBe(here);
      for (const file of ["rollouts.jsonl", "model/model.safetensors"]) {
        expect(bytes(`there-${temperature}`, file) === bytes(`here-${temperature}`, file), file).toBe(true);
      }
    }
    expect(server.defects).toEqual([]);
  });

  it("teaches a student that is trained on the same server", async () => {
    const student = `model={path: ${teacher}, lora: {rank: 2, alpha: 4, dropout: 0}}`;
    const here = await distil("both-here", "", [student]);
    const engine = `engine={kind: tinker, url: "${server.url}", baseModel: big, profile: aha, threads: 1}`;
    expect(await distil("both-there", `, engine: ${there("aha")}`, [student, engine])).toBe(here);
    expect(server.defects).toEqual([]);
  });

  it("scores by prompt log-probabilities on other servers, at temperature 1 alone", async () => {
    const rows = (await distil("plain", `, engine: ${there("hosted")}`)).trim().split("\n");
    const expected = bytes("here-1", "metrics.jsonl").trim().split("\n");
    const reverseKl = (lines: readonly string[]) =>
      lines.map((line) => JSON.parse(line) as Record<string, number>).flatMap((row) => row.reverse_kl ?? []);
    expect(reverseKl(rows)).toHaveLength(2);
    for (const [i, value] of reverseKl(rows).entries()) expect(value).toBeCloseTo(reverseKl(expected)[i]!, 4);
    const refused = distil("refused", `, engine: ${there("hosted")}`, [`${STAGE}.temperature=0.8`]);
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(
      /temperature needs scoring and training at a temperature other than 1 \(scoringTemperature\), which the engine tinker \(hosted at .*, big, the base\) does not have/,
    );
  });

  it("is refused by name where the server does not have it, and beside an endpoint", async () => {
    const other = distil("other", `, engine: {kind: tinker, url: "${server.url}", baseModel: small}`);
    await expect(other).rejects.toThrow(/engine\.baseModel: the server at .* has big, not "small"/);
    const endpoint = `${STAGE}.teacher={endpoint: {baseUrl: "${server.url}", model: big}, engine: ${there("aha")}}`;
    await expect(distil("endpoint", "", [endpoint])).rejects.toThrow(/an endpoint is asked by itself/);
    const local = (keys: string) => distil("local", `, engine: {kind: local, ${keys}}`);
    const named = "{kind: local, device: cpu, gradientCheckpointing: false}";
    expect(await distil("named", `, engine: ${named}`)).toBe(await distil("unnamed", ""));
    await expect(local("threads: 2")).rejects.toThrow(/engine\.threads: threads are the recipe's: engine\.threads/);
    await expect(local("cacheMib: 64")).rejects.toThrow(/engine\.cacheMib: a teacher does not sample/);
    await expect(local("gradientCheckpointing: true")).rejects.toThrow(/a teacher is not trained/);
    await expect(local("device: auto")).rejects.toThrow(/engine\.device: name a device: auto may be another one/);
  });
});
