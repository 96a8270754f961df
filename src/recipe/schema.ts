/**
 * The recipe: what a run is, in one strict schema. Each trainer's own keys are defined beside the trainer
 * (`train/*-config.ts`) and joined here with those that every stage has.
 *
 * Every key is read by something (a test runs a recipe under a recording proxy), and every key that is not known here
 * is refused.
 */

import { z } from "zod";
import { SAVE_DTYPES } from "../model/hf-config.ts";
import { ALL_LORA_TARGETS } from "../model/lora.ts";
import { ARCHITECTURES } from "../model/model-config.ts";
import { QUANTIZATIONS } from "../model/quantization.ts";
import { taskSpecSchema } from "../tasks/registry.ts";
import { BUILT_TOKENIZERS } from "../tokenizer/build.ts";
import { distillIssues, distillShape } from "../train/distill/config.ts";
import { grpoIssues, grpoShape } from "../train/grpo/config.ts";
import { refineWith } from "../train/optimizer-config.ts";
import { rewardModelIssues, rewardModelShape } from "../train/reward-model/config.ts";
import { sftIssues, sftShape } from "../train/sft/config.ts";
import { bestCheckpointSchema } from "./best-checkpoint.ts";
import { completionSamplesSchema } from "./completion-samples.ts";
import { evaluationSchema } from "./evaluation.ts";
import { rolloutsSchema } from "./rollouts.ts";

/** The day that Llama 3's templates take where nobody tells them one. */
export const PROMPT_DATE = "2024-07-26";

/** Names appear in paths and in overrides: no dots, no slashes, not only digits. */
const nameSchema = z
  .string()
  .regex(/^(?!\d+$)[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "a name of letters, digits, - and _, not of digits alone");

const stageShape = {
  name: nameSchema.describe("names the stage in logs, checkpoints and overrides"),
  evaluateEvery: z
    .int()
    .min(0)
    .default(0)
    .describe("held-out evaluation after so many SFT steps or GRPO iterations; 0: never"),
  checkpointEvery: z
    .int()
    .min(0)
    .default(0)
    .describe("checkpoint after so many SFT steps or GRPO iterations; 0: at the end"),
};

const sftStageSchema = z
  .strictObject({ ...stageShape, trainer: z.literal("sft"), ...sftShape })
  .superRefine(refineWith(sftIssues));

const grpoStageSchema = z
  .strictObject({ ...stageShape, trainer: z.literal("grpo"), ...grpoShape })
  .superRefine(refineWith(grpoIssues));

const distillStageSchema = z
  .strictObject({ ...stageShape, trainer: z.literal("distill"), ...distillShape })
  .superRefine(refineWith(distillIssues));

const rewardModelStageSchema = z
  .strictObject({ ...stageShape, trainer: z.literal("reward_model"), ...rewardModelShape })
  .superRefine(refineWith(rewardModelIssues));

const initSchema = z
  .strictObject({
    architecture: z.enum(ARCHITECTURES).default("qwen3").describe("the kind of decoder"),
    tokenizer: z.enum(BUILT_TOKENIZERS).describe("a tokenizer that Aha builds"),
    hiddenSize: z.int().min(1).describe("H: width of the model"),
    intermediateSize: z.int().min(1).describe("I: width of the MLP"),
    numLayers: z.int().min(1).describe("L: layers"),
    numHeads: z.int().min(1).describe("h: query heads"),
    numKvHeads: z.int().min(1).describe("kv: key-value heads; divides numHeads"),
    headDim: z.int().min(2).describe("D: width of a head; even"),
    maxContextTokens: z.int().min(1).describe("longest sequence, prompt and completion"),
    rmsNormEpsilon: z.number().positive().default(1e-6).describe("added to the mean square of a norm"),
    ropeTheta: z.number().positive().default(10_000).describe("base of the rotary frequencies"),
    tieWordEmbeddings: z.boolean().default(true).describe("the head is the embeddings' matrix"),
    embeddingStd: z.number().positive().default(0.02).describe("standard deviation of the random embeddings"),
    gain: z.number().positive().default(0.5).describe("random linear maps have the standard deviation gain / √inputs"),
  })
  .superRefine((init, refinement) => {
    if (init.numHeads % init.numKvHeads !== 0) {
      const message = `numKvHeads (${init.numKvHeads}) does not divide numHeads (${init.numHeads})`;
      refinement.addIssue({ code: "custom", path: ["numKvHeads"], message, input: init });
    }
    if (init.headDim % 2 !== 0) {
      const message = `headDim (${init.headDim}) is odd; rotary positions turn its numbers in pairs`;
      refinement.addIssue({ code: "custom", path: ["headDim"], message, input: init });
    }
  });

const loraSchema = z.strictObject({
  rank: z.int().min(1).default(16).describe("r: inner width of the adapter"),
  alpha: z.number().positive().default(32).describe("α: the adapter is scaled by alpha / rank"),
  dropout: z.number().min(0).lt(1).default(0).describe("share of the adapter's inputs dropped in training"),
  rsLora: z.boolean().default(false).describe("scale by alpha / √rank"),
  targets: z
    .union([z.literal("all-linear"), z.array(z.enum(ALL_LORA_TARGETS)).min(1)])
    .default("all-linear")
    .describe("projections that get an adapter, or all-linear"),
});

const modelSchema = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .optional()
      .describe(
        "a model directory in the Hugging Face layout, relative to the recipe, or org/name[@revision] on the Hub",
      ),
    init: initSchema.optional().describe("a new model with random weights"),
    lora: loraSchema.optional().describe("train a new low-rank adapter; the model's own weights are frozen"),
    adapter: z
      .string()
      .min(1)
      .optional()
      .describe("train the adapter in this directory (PEFT's format), relative to the recipe"),
    quantization: z
      .enum(QUANTIZATIONS)
      .optional()
      .describe("hold the projections packed in 4 bits (QLoRA); with lora or adapter, for they are not trained"),
    saveDtype: z
      .enum(SAVE_DTYPES)
      .default("float32")
      .describe(
        "number format of the final model: float32 is what was trained, bfloat16 and float16 half of its bytes",
      ),
  })
  .superRefine((model, refinement) => {
    if ((model.path === undefined) === (model.init === undefined)) {
      refinement.addIssue("expected exactly one of path (a model on disk or on the Hub) and init (random weights)");
    }
    if (model.lora !== undefined && model.adapter !== undefined) {
      refinement.addIssue("expected lora (a new adapter) or adapter (one that there is), not both");
    }
    if (model.saveDtype !== "float32" && (model.lora !== undefined || model.adapter !== undefined)) {
      const message = `saveDtype ${model.saveDtype} would change nothing: the result is an adapter, saved as it was trained`;
      refinement.addIssue({ code: "custom", path: ["saveDtype"], message, input: model.saveDtype });
    }
    if (model.quantization !== undefined && model.lora === undefined && model.adapter === undefined) {
      refinement.addIssue(`${model.quantization} weights cannot be trained: add lora, an adapter beside them`);
    }
  });

/** The whole recipe. */
export const recipeSchema = z
  .strictObject({
    name: nameSchema.describe("names the default run directory"),
    question: z.string().default("").describe("what this recipe asks; shown at the start and in the report"),
    seed: z.int().min(0).max(0xffffffff).default(0).describe("root of every random number"),
    date: z.iso
      .date()
      .default(PROMPT_DATE)
      .describe(
        "the day that chat templates write into prompts (strftime_now), whatever day it is: runs are repeatable",
      ),
    model: modelSchema.describe("what is trained"),
    task: taskSpecSchema.describe("problems and their judge: its name and its own keys"),
    evaluation: evaluationSchema.prefault({}).describe("how held-out problems are answered"),
    engine: z
      .strictObject({
        threads: z.int().min(1).optional().describe("threads to compute with; as many as cores if absent"),
        logitChunkTokens: z
          .int()
          .min(1)
          .optional()
          .describe(
            "completion tokens whose logits are in memory at once; as many as fit into 128 MiB (64 with quantization) if absent",
          ),
        microBatchTokens: z
          .int()
          .min(1)
          .optional()
          .describe("token positions that are scored or trained on at once: memory, not results; 2048 if absent"),
        gradientCheckpointing: z
          .boolean()
          .default(false)
          .describe(
            "keep only each layer's input for the backward pass, which computes the layer again: memory for time",
          ),
      })
      .prefault({})
      .describe("how it is computed; no key changes a result"),
    rollouts: rolloutsSchema.prefault({}).describe("the log of sampled completions"),
    completionSamples: completionSamplesSchema
      .optional()
      .describe("random completions as plain text in completion_samples/, as Mini-R1 writes them"),
    keepCheckpoints: z.int().min(1).default(2).describe("checkpoints kept; those at the end of a stage always are"),
    bestCheckpoint: bestCheckpointSchema
      .optional()
      .describe("keeps the best evaluated checkpoint too; after every evaluation that is better one is made"),
    stages: z
      .array(
        z.discriminatedUnion("trainer", [sftStageSchema, grpoStageSchema, rewardModelStageSchema, distillStageSchema]),
      )
      .min(1)
      .superRefine((stages, refinement) => {
        for (const [index, { name }] of stages.entries()) {
          const first = stages.findIndex((stage) => stage.name === name);
          if (first === index) continue;
          const message = `stage ${first} has this name already; names of stages differ`;
          refinement.addIssue({ code: "custom", path: [index, "name"], message, input: name });
        }
      })
      .describe(
        "one after another, each with its trainer's keys; a single stage may have them at the top of the recipe",
      ),
  })
  .superRefine(({ model, stages, task }, refinement) => {
    const scoring = stages.findIndex(({ trainer }) => trainer === "reward_model");
    const fail = (path: PropertyKey[], message: string, input: unknown) =>
      refinement.addIssue({ code: "custom", path, message, input });
    if (scoring >= 0) {
      if (stages.some(({ trainer }) => trainer !== "reward_model")) {
        const message =
          "reward_model trains a model that scores, the other stages one that writes: give it a recipe of its own";
        fail(["stages", scoring, "trainer"], message, "reward_model");
      }
      for (const key of ["lora", "adapter", "quantization"] as const) {
        if (model[key] !== undefined)
          fail(["model", key], "a reward model is trained whole; leave this out", model[key]);
      }
      if (task.name !== "preferences") {
        fail(["task", "name"], "reward_model learns from pairs of answers: take the task preferences", task.name);
      }
    }
    if (model.lora === undefined && model.adapter === undefined) return;
    for (const [index, stage] of stages.entries()) {
      if (stage.trainer !== "grpo" || stage.refSyncSteps === 0 || stage.refSyncMixup === 1) continue;
      refinement.addIssue({
        code: "custom",
        path: ["stages", index, "refSyncMixup"],
        message: "the reference of an adapter can be replaced by the policy (refSyncMixup 1), not mixed with it",
        input: stage.refSyncMixup,
      });
    }
  });

export type Recipe = z.infer<typeof recipeSchema>;
export type StageConfig = Recipe["stages"][number];
