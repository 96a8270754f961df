/** Checkpoints that are damaged or not Aha's: `aha run` says what is wrong before it trains, and leaves nothing behind. */

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../../src/cli/run.ts";
import { AhaError } from "../../src/errors.ts";
import { randomModel, recordingContext } from "../eval/models.ts";

let scratch: string;
let sound: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-bad-"));
  sound = await randomModel("countdown-compact");
});
afterAll(async () => {
  await rm(scratch, { recursive: true });
  await rm(sound, { recursive: true });
});

const recipe = (prompt: string) => `
name: bad
model: { path: model }
task: { name: countdown, prompt: ${prompt} }
stages:
  - { name: a, trainer: grpo, iterations: 1, promptsPerIteration: 1, groupSize: 2, maxCompletionTokens: 8,
      learningRate: 1.0e-4, rewards: [{ name: equation }] }
`;

/** Changes the header of a safetensors file and nothing else. */
async function changeHeader(
  path: string,
  change: (header: Record<string, { shape: number[] }>) => void,
): Promise<void> {
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<string, { shape: number[] }>;
  change(header);
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  await writeFile(path, Buffer.concat([size, json, bytes.subarray(8 + length)]));
}

/** What is wrong, by the message that says so. */
const DAMAGES: [string, RegExp, (model: string) => Promise<void>, string?][] = [
  [
    "a file that was cut short",
    /model\.safetensors is not a sound safetensors file/,
    async (model) => {
      const path = join(model, "model.safetensors");
      const bytes = await readFile(path);
      await writeFile(path, bytes.subarray(0, bytes.length / 2));
    },
  ],
  [
    "a header that lies about a size",
    /"model\.embed_tokens\.weight": F32 \[1000\d+, 32\] needs \d+ bytes, it has \d+/,
    (model) =>
      changeHeader(join(model, "model.safetensors"), (header) => {
        header["model.embed_tokens.weight"]!.shape[0]! += 1_000_000;
      }),
  ],
  [
    "a shard that is not there",
    /lacks 1 of the 1 weight files .*model-00001-of-00002\.safetensors/,
    async (model) => {
      await rm(join(model, "model.safetensors"));
      const weight_map = { "model.norm.weight": "model-00001-of-00002.safetensors" };
      await writeFile(join(model, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    },
  ],
  [
    "an architecture that is not known",
    /expected model_type .* found model_type "mamba"/,
    async (model) => {
      const path = join(model, "config.json");
      await writeFile(path, (await readFile(path, "utf8")).replace('"qwen3"', '"mamba"'));
    },
  ],
  ["no tokenizer", /has no tokenizer\.json/, (model) => rm(join(model, "tokenizer.json"))],
  ["a tokenizer without a chat template, where the task needs one", /no chat template/, async () => {}, "english"],
];

describe("aha run on a checkpoint with", () => {
  it.each(DAMAGES)("%s", async (_, message, damage, prompt = "compact") => {
    const place = await mkdtemp(join(scratch, "place-"));
    await cp(sound, join(place, "model"), { recursive: true });
    await damage(join(place, "model"));
    const file = join(place, "recipe.yaml");
    await writeFile(file, recipe(prompt));
    const before = (await readdir(place)).sort();
    const run = () => runCommand.run([file, "--out", join(place, "run")], recordingContext().context);
    await expect(run()).rejects.toThrow(AhaError);
    await expect(run()).rejects.toThrow(message);
    expect((await readdir(place)).sort()).toEqual(before);
  });
});
