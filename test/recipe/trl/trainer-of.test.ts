/** Which trainer a file is for: told by its keys, chosen by --trainer, refused by its name where Aha has no such trainer. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convert, convertKeys, lineOf, trainedBy } from "./conversions.ts";

let root: string;
const data = (name: string) => `dataset_name: ${join(root, name)}\n`;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-trl-trainer-"));
  const asked = (i: number) => ({ role: "user", content: `What is ${i} + 1?` });
  const answered = (i: number, right = i + 1) => ({ role: "assistant", content: `It is ${right}.` });
  const rows = {
    messages: (i: number) => ({ messages: [asked(i), answered(i)] }),
    pairs: (i: number) => ({ chosen: [asked(i), answered(i)], rejected: [asked(i), answered(i, 0)] }),
  };
  for (const [name, row] of Object.entries(rows)) {
    const lines = Array.from({ length: 20 }, (_, i) => JSON.stringify(row(i)));
    writeFileSync(join(root, `${name}.jsonl`), `${lines.join("\n")}\n`);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const MODEL = "model_name_or_path: some/model\nlearning_rate: 1.0e-5\n";

describe("a file for a trainer that Aha has", () => {
  it.each([
    ["packing: false\nmax_length: 32768\ndataset_num_proc: 4", "messages", "sft"],
    ["max_seq_length: 1024\nuse_peft: true\nload_in_4bit: true", "messages", "sft"],
    ["assistant_only_loss: true", "messages", "sft"],
    ["center_rewards_coefficient: 0.01\nmax_length: 512", "pairs", "reward_model"],
  ] as const)("%j is told by its keys, of rows of %s", async (keys, rows, trainer) => {
    const conversion = await convert(`${MODEL}${data(`${rows}.jsonl`)}${keys}\n`);
    expect(trainedBy(conversion, trainer).learningRate).toBe(1e-5);
    expect(conversion.trainerBecause).toMatch(/^told by /);
    for (const key of keys.split("\n").map((line) => line.split(":")[0]!)) {
      const line = lineOf(conversion, key)!;
      expect([key, line.path !== null || line.note !== ""]).toEqual([key, true]);
    }
  });

  it("that keys leave open is asked for, and --trainer says it", async () => {
    const keys = `${MODEL}max_length: 512\neos_token: <|im_end|>\n`;
    const open = convert(keys + data("messages.jsonl"));
    await expect(open).rejects.toThrow(
      /may be a recipe of SFT \(SFTConfig\).* a reward model .*--trainer sft or --trainer/,
    );
    const sft = await convert(keys + data("messages.jsonl"), { trainer: "sft" });
    expect(trainedBy(sft, "sft").maxTokens).toBe(512);
    expect(sft.recipe.model.eosToken).toBe("<|im_end|>");
    const reward = await convert(keys + data("pairs.jsonl"), { trainer: "reward" });
    expect(trainedBy(reward, "reward_model").maxTokens).toBe(512);
  });
});

describe("a file for a trainer that Aha has not", () => {
  it.each([
    ["beta: 0.1\nprecompute_ref_log_probs: true\nmax_length: 512", /is a recipe of DPO, DPOConfig.*no such trainer/],
    ["desirable_weight: 1.0", /is a recipe of KTO, KTOConfig.*no such trainer/],
    ["num_generations: 8\npass_rate_min: 0.2", /is a recipe of open-r1's filter by pass rate.*told by pass_rate_min/],
  ])("%j is refused by its name", async (keys, message) => {
    const refusal = await convert(`${MODEL}${keys}\n`).catch((error: Error) => error.message);
    expect(refusal).toMatch(message);
    expect(refusal).not.toContain("not a key of");
  });

  it("is refused by its name where --trainer names it", async () => {
    await expect(convert(MODEL, { trainer: "dpo" })).rejects.toThrow(/--trainer dpo: Aha has no trainer for DPO/);
    await expect(convert(MODEL, { trainer: "stf" })).rejects.toThrow(/there are grpo, .*Did you mean sft\?/);
  });

  it("is told by what --set leaves of it", async () => {
    await expect(convertKeys("", { trainer: undefined, overrides: ["num_generations=8"] })).resolves.toBeDefined();
  });

  it("is not one that has keys of GRPO: there the single key is wrong", async () => {
    const keys = "num_generations: 8\nreward_funcs: format\npacking: true";
    await expect(convertKeys(keys, { trainer: undefined })).rejects.toThrow(
      /packing: a key of SFTConfig; the file is read as one of GRPOConfig/,
    );
  });
});

describe("rewards that execute code", () => {
  it.each(["[code, format]", "binary_code", "[ioi_code, code_format, format]", "[cf_code]"])("%s", async (rewards) => {
    const keys = `reward_funcs: ${rewards}\ncode_language: cpp\ndataset_prompt_column: problem`;
    const refusal = await convertKeys(keys).catch((error: Error) => error.message);
    expect(refusal).toMatch(/execute the code of completions \(reward_funcs: \w*code\)/);
    expect(refusal).not.toContain("dataset_prompt_column");
  });

  it("may be replaced with --set", async () => {
    const overrides = ["reward_funcs=[format]"];
    await expect(convertKeys("reward_funcs: [code, format]", { overrides })).resolves.toBeDefined();
  });
});

describe("keys of other scripts", () => {
  it("names liger, use_cache and spectrum as what they are", async () => {
    const conversion = await convertKeys("use_liger: true\nuse_cache: false");
    expect(lineOf(conversion, "use_liger")!.note).toMatch(/Liger's fused GPU kernels/);
    expect(lineOf(conversion, "use_cache")!.note).toMatch(/key-value cache/);
    await expect(convertKeys("spectrum_config_path: a.yaml")).rejects.toThrow(/Spectrum trains the layers/);
  });
});
