/**
 * The recipe: what a run is, in one strict schema. It is made of what the registries hold: a stage has the keys of its
 * trainer, which are defined beside the trainer, and those that every stage has.
 *
 * Every key is read by something (a test runs a recipe under a recording proxy), and every key that is not known here
 * is refused.
 */

import { z } from "zod";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { engineSchema, LOCAL_ENGINE } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { DEFAULT_FAMILY, families } from "../model/families/registry.ts";
import { SAVE_DTYPES } from "../model/hf-config.ts";
import { ALL_LORA_TARGETS } from "../model/lora.ts";
import { QUANTIZATIONS } from "../model/quantization.ts";
import { anyRegistry, cachedBy } from "../registry.ts";
import { taskSpecSchema } from "../tasks/registry.ts";
import { BUILT_TOKENIZERS } from "../tokenizer/build.ts";
import { trackSchema } from "../tracking/trackers.ts";
import { type ConfigIssue, refineWith } from "../train/config-issue.ts";
import type { Trainer, TrainerConfig } from "../train/trainer.ts";
import { trainers } from "../train/trainers.ts";
import { bestCheckpointSchema } from "./best-checkpoint.ts";
import { completionSamplesSchema } from "./completion-samples.ts";
import { evaluationSchema } from "./evaluation.ts";
import { rolloutsSchema } from "./rollouts.ts";

/** The date that Llama 3's templates use if none is given. */
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
    .describe("held-out evaluation after so many steps, or iterations where the trainer has them; 0: never"),
  checkpointEvery: z
    .int()
    .min(0)
    .default(0)
    .describe("checkpoint after so many steps, or iterations where the trainer has them; 0: at the end"),
};

/** The keys that every stage has; the others are its trainer's, which alone knows what they are. */
export type StageConfig = z.output<z.ZodObject<typeof stageShape>> & { readonly trainer: string } & TrainerConfig;

function stageSchema(trainer: Trainer) {
  const shape = trainer.shape();
  const taken = Object.keys(shape).find((key) => key === "trainer" || key in stageShape);
  if (taken !== undefined) {
    throw new ConfigError(`The trainer ${trainer.name} has a key ${taken}, which every stage has already. Rename it.`);
  }
  return z
    .strictObject({ ...stageShape, trainer: z.literal(trainer.name), ...shape })
    .superRefine(refineWith((stage: TrainerConfig) => trainer.issues?.(stage) ?? []));
}

const initSchema = () =>
  z
    .strictObject({
      architecture: z.enum(families.names).default(DEFAULT_FAMILY).describe("the family of models that it is of"),
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
      gain: z
        .number()
        .positive()
        .default(0.5)
        .describe("random linear maps have the standard deviation gain / √inputs"),
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

const modelSchema = () =>
  z
    .strictObject({
      path: z
        .string()
        .min(1)
        .optional()
        .describe(
          "a model directory in the Hugging Face layout, relative to the recipe, or org/name[@revision] on the Hub",
        ),
      init: initSchema().optional().describe("a new model with random weights"),
      chatTemplate: z
        .string()
        .min(1)
        .optional()
        .describe("a chat template (Jinja) in place of the tokenizer's own; saved with the model"),
      eosToken: z
        .string()
        .min(1)
        .optional()
        .describe("the token that ends a text, in place of the tokenizer's own; one of its vocabulary"),
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

/** The keys around the stages. */
const recipeShape = () => ({
  name: nameSchema.describe("names the default run directory"),
  question: z.string().default("").describe("what this recipe asks; shown at the start and in the report"),
  seed: z.int().min(0).max(0xffffffff).default(0).describe("root of every random number"),
  date: z.iso
    .date()
    .default(PROMPT_DATE)
    .describe("the day that chat templates write into prompts (strftime_now), whatever day it is: runs are repeatable"),
  model: modelSchema().describe("what is trained"),
  task: taskSpecSchema().describe("problems and their judge: its name and its own keys"),
  evaluation: evaluationSchema.prefault({}).describe("how held-out problems are answered"),
  rollouts: rolloutsSchema.prefault({}).describe("the log of sampled completions"),
  completionSamples: completionSamplesSchema
    .optional()
    .describe("random completions as plain text in completion_samples/, as Mini-R1 writes them"),
  track: trackSchema.optional().describe("trackers that are told what the run does, each by name"),
  keepCheckpoints: z.int().min(1).default(2).describe("checkpoints kept; those at the end of a stage always are"),
  bestCheckpoint: bestCheckpointSchema
    .optional()
    .describe("keeps the best evaluated checkpoint too; after every evaluation that is better one is made"),
});

function stagesSchema(all: readonly Trainer[]) {
  const [first, ...others] = all.map(stageSchema);
  if (first === undefined) throw new TypeError("There is no trainer.");
  return z
    .array(z.discriminatedUnion("trainer", [first, ...others]))
    .min(1)
    .superRefine((stages, refinement) => {
      for (const [index, { name }] of stages.entries()) {
        const first = stages.findIndex((stage) => stage.name === name);
        if (first === index) continue;
        const message = `stage ${first} has this name already; names of stages differ`;
        refinement.addIssue({ code: "custom", path: [index, "name"], message, input: name });
      }
    })
    .describe("one after another, each with its trainer's keys; a single stage may have them at the top of the recipe");
}

function makeSchema() {
  return z
    .strictObject({
      ...recipeShape(),
      engine: engineSchema()
        .prefault({ kind: LOCAL_ENGINE.kind })
        .describe("how it is computed; no key changes a result"),
      stages: stagesSchema(trainers.all),
    })
    .superRefine(refineWith((recipe: Recipe) => [...kindIssues(recipe), ...trainerIssues(recipe)]));
}

/** The schema of the whole recipe, with what the registries hold now. */
export const recipeSchema = cachedBy([anyRegistry], makeSchema);

/** A recipe, checked, with every default filled in. */
export type Recipe = z.output<z.ZodObject<ReturnType<typeof recipeShape>>> & {
  engine: EngineSpec;
  stages: StageConfig[];
};

/** What is trained cannot change between stages, and a reward model is trained whole. */
function kindIssues({ model, stages }: Recipe): ConfigIssue[] {
  const kindOf = ({ trainer }: StageConfig) => trainers.get(trainer).trains;
  const scoring = stages.findIndex((stage) => kindOf(stage) === "rewardModel");
  if (scoring < 0) return [];
  const { trainer } = stages[scoring]!;
  const issues: ConfigIssue[] = [];
  if (stages.some((stage) => kindOf(stage) !== "rewardModel")) {
    const message = `${trainer} trains a model that scores, the other stages one that writes: give it a recipe of its own`;
    issues.push({ path: ["stages", scoring, "trainer"], message });
  }
  for (const key of ["lora", "adapter", "quantization"] as const) {
    if (model[key] === undefined) continue;
    issues.push({ path: ["model", key], message: "a reward model is trained whole; leave this out" });
  }
  return issues;
}

function trainerIssues(recipe: Recipe): ConfigIssue[] {
  return recipe.stages.flatMap((stage, i) => {
    return trainers.get(stage.trainer).recipeIssues?.(stage, recipe, ["stages", i]) ?? [];
  });
}
