/** Files for other trainers than GRPO, and rewards that execute code: refused by that name, not key by key. */

import { describe, expect, it } from "vitest";
import { convert, convertKeys, lineOf } from "./conversions.ts";

const MODEL = "model_name_or_path: some/model\nlearning_rate: 1.0e-5\n";

describe("a file for another trainer", () => {
  it.each([
    ["packing: false\nmax_length: 32768\ndataset_num_proc: 4", /is an SFT recipe: packing is of TRL's SFTConfig/],
    ["max_seq_length: 1024\nuse_peft: true\nload_in_4bit: true", /is an SFT recipe: max_seq_length is of/],
    ["assistant_only_loss: true", /is an SFT recipe.*trainer sft/],
    ["max_length: 512\neos_token: <|im_end|>", /is a recipe for SFT or a reward model: max_length, eos_token is of/],
    ["center_rewards_coefficient: 0.01\nmax_length: 512", /is a recipe for a reward model.*trainer reward_model/],
    ["beta: 0.1\nprecompute_ref_log_probs: true\nmax_length: 512", /is a DPO recipe.*no trainer for DPO/],
    ["desirable_weight: 1.0", /is a KTO recipe.*no trainer for KTO/],
    ["num_generations: 8\npass_rate_min: 0.2", /is a filter of a data set by pass rate: pass_rate_min/],
  ])("%j", async (keys, message) => {
    const refusal = await convert(`${MODEL}${keys}\n`).catch((error: Error) => error.message);
    expect(refusal).toMatch(message);
    expect(refusal).not.toContain("not a key of");
  });

  it("is told by what --set leaves of it", async () => {
    await expect(convertKeys("", { overrides: ["beta=0.1"] })).resolves.toBeDefined();
    await expect(convertKeys("packing: null")).rejects.toThrow(/packing: not a key of/);
  });

  it("is not one that has keys of GRPO: there the single key is wrong", async () => {
    await expect(convertKeys("num_generations: 8\npacking: true")).rejects.toThrow(/packing: not a key of TRL's GRPO/);
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
    expect(lineOf(conversion, "use_liger")!.note).toMatch(/saves memory/);
    expect(lineOf(conversion, "use_cache")!.note).toMatch(/key-value cache/);
    await expect(convertKeys("spectrum_config_path: a.yaml")).rejects.toThrow(/Spectrum trains chosen layers/);
  });
});
