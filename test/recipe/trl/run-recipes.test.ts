/**
 * Small files with the keys of open-r1's and the Alignment Handbook's recipes: each becomes a recipe whose report accounts
 * for every key, and runs two steps on a tiny model with a stand-in data set of the same columns (`tried/`). Those files
 * themselves are tried by `npm run trl:recipes`.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TrlConversion } from "../../../src/recipe/trl/conversion.ts";
import { createTask } from "../../../src/tasks/on-disk.ts";
import { loadTokenizer } from "../../../src/tokenizer/on-disk.ts";
import { convert, groupsOf, rowsOf, stageOf, taskOf, trainedBy } from "./conversions.ts";
import { writeStandInModel } from "./tried/stand-ins.ts";
import { type TriedRecipe, tryRecipe } from "./tried/try-recipe.ts";

let root: string;
let model: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-trl-run-"));
  model = join(root, "model");
  await writeStandInModel(model);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const MATH = `model_name_or_path: org/instruct
model_revision: main
torch_dtype: bfloat16
dataset_name: org/math
dataset_prompt_column: problem
system_prompt: Think, then answer.
bf16: true
use_vllm: true
learning_rate: 2.0e-05
lr_scheduler_type: cosine
warmup_ratio: 0.1
max_prompt_length: 512
max_completion_length: 1024
num_generations: 16
num_train_epochs: 1
per_device_train_batch_size: 16
gradient_accumulation_steps: 4
reward_funcs: [accuracy, format, tag_count]
reward_weights: [1.0, 1.0, 1.0]
seed: 42
`;

const SFT = `model_name_or_path: org/base
chat_template: "{% for m in messages %}<|im_start|>{{ m.role }}\\n{{ m.content }}<|im_end|>\\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}"
dataset_name: org/reasoning
dataset_config: all
dataset_num_proc: 12
eos_token: <|im_end|>
use_liger_kernel: true
learning_rate: 4.0e-05
lr_scheduler_type: cosine_with_min_lr
lr_scheduler_kwargs: { min_lr_rate: 0.1 }
packing: false
max_length: 32768
num_train_epochs: 5
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
warmup_ratio: 0.03
`;

const QLORA = `model_name_or_path: org/base
load_in_4bit: true
use_peft: true
lora_r: 16
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules: [q_proj, v_proj]
dataset_name: org/chat
max_seq_length: 2048
learning_rate: 2.0e-4
max_steps: 100
`;

const REWARD = `model_name_or_path: org/base
dataset_name: org/pairs
center_rewards_coefficient: 0.01
max_length: 512
max_steps: 10
`;

const MIXTURE = `model_name_or_path: org/base
dataset_mixture:
  datasets:
    - { id: org/one, config: default, split: train, columns: [messages], weight: 0.5 }
    - { id: org/two, config: default, split: train, columns: [messages], weight: 1.0 }
  seed: 0
  test_split_size: 4
packing: true
max_length: 256
assistant_only_loss: true
num_train_epochs: 1
`;

/** The conversion of a recipe that ran. */
function ran(tried: TriedRecipe): TrlConversion {
  if (tried.outcome === "ran") return tried.conversion;
  throw new Error("why" in tried ? `${tried.outcome}: ${tried.why}` : tried.outcome);
}

describe("a recipe of others runs two steps, and every key has its line", () => {
  const tryText = (text: string) => tryRecipe({ path: "recipe.yaml", text }, { model, runs: true });

  it("open-r1's GRPO on mathematics", async () => {
    const conversion = ran(await tryText(MATH));
    expect(conversion.trainer).toBe("grpo");
    const task = taskOf(conversion, "conversations");
    expect(task).toMatchObject({ form: "prompt", chat: true, system: "Think, then answer.", answer: "solution" });
    expect(task.data.columns).toEqual({ prompt: "problem" });
    expect(stageOf(conversion).rewards).toMatchObject([
      { name: "accuracy", options: { gold: "solution" } },
      { name: "format", options: { form: "lines" } },
      { name: "tag_count" },
    ]);
    // 16 completions × 4 accumulation steps, of groups of 16.
    expect(groupsOf(conversion)).toMatchObject({ promptsPerStep: 4, completionsPerStep: 64 });
  });

  it("open-r1's SFT, with a chat template and an end token of its own", async () => {
    const conversion = ran(await tryText(SFT));
    const { learningRate, minLearningRateRatio, warmupRatio, batchDemonstrations } = trainedBy(conversion, "sft");
    expect({ learningRate, minLearningRateRatio, batchDemonstrations }).toEqual({
      ...{ learningRate: 4e-5, minLearningRateRatio: 0.1, batchDemonstrations: 16 },
    });
    expect(warmupRatio).toBe(0);
    expect(conversion.recipe.model).toMatchObject({ eosToken: "<|im_end|>" });
    expect(taskOf(conversion, "conversations").learnTurns).toBe("whole");
    // 36 of 40 rows, by 16.
    expect(rowsOf(conversion)).toMatchObject({ rowsPerStep: 16, stepsPerEpoch: 3, steps: 15 });
  });

  it("SFT with QLoRA", async () => {
    const { recipe } = ran(await tryText(QLORA));
    expect(recipe.model).toMatchObject({ quantization: "nf4", lora: { rank: 16, targets: ["q_proj", "v_proj"] } });
  });

  it("a reward model", async () => {
    const conversion = ran(await tryText(REWARD));
    expect(trainedBy(conversion, "reward_model")).toMatchObject({ centerRewardsCoefficient: 0.01, maxTokens: 512 });
  });

  it("SFT on a mixture of data sets", async () => {
    const conversion = ran(await tryText(MIXTURE));
    const { data, learnTurns } = taskOf(conversion, "conversations");
    expect([data.more?.length, learnTurns]).toEqual([1, "all"]);
  });
});

describe("prompts", () => {
  it("are the template's rendering of open-r1's messages", async () => {
    const data = join(root, "math.jsonl");
    const rows = Array.from({ length: 12 }, (_, i) => ({ problem: `What is ${i} + 1?`, solution: `${i + 1}` }));
    writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const { recipe } = await convert(MATH.replace("org/math", data));
    const tokenizer = await loadTokenizer(model);
    const renderChat = tokenizer.applyChatTemplate.bind(tokenizer);
    const task = await createTask(recipe.task, { seed: 0, renderChat });
    const { prompt, columns } = task.trainProblem(0);
    expect(prompt).toBe(
      tokenizer.applyChatTemplate(
        [
          { role: "system", content: "Think, then answer." },
          { role: "user", content: String(columns.problem) },
        ],
        { addGenerationPrompt: true },
      ),
    );
    expect(readFileSync(data, "utf8")).toContain(String(columns.problem));
  });
});
