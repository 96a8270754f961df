/** Conversions for tests: a text or a fixture, on a machine that has nothing that the file names. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { StageConfig } from "../../../src/recipe/schema.ts";
import type { GroupBatch, RowBatch } from "../../../src/recipe/trl/batch-report.ts";
import type { TrlConversion, TrlKeyLine } from "../../../src/recipe/trl/conversion.ts";
import { convertTrl, type TrlOptions, type TrlPlaces } from "../../../src/recipe/trl/convert.ts";
import type { ConversationsOptions } from "../../../src/tasks/conversations/options.ts";
import type { CountdownOptions } from "../../../src/tasks/countdown/options.ts";
import type { TaskSpec } from "../../../src/tasks/entry.ts";
import type { PreferencesOptions } from "../../../src/tasks/preferences/preferences.ts";
import type { DistillConfig } from "../../../src/train/distill/config.ts";
import type { GrpoConfig } from "../../../src/train/grpo/config.ts";
import type { RewardModelConfig } from "../../../src/train/reward-model/config.ts";
import type { SftConfig } from "../../../src/train/sft/config.ts";

/** Path of a file in `fixtures/`. */
export function fixture(name: string): string {
  return join(import.meta.dirname, "fixtures", name);
}

/** The text of a file in `fixtures/`. */
export function fixtureText(name: string): string {
  return readFileSync(fixture(name), "utf8");
}

const NOTHING_HERE: TrlPlaces = {
  model: async () => undefined,
  modelDirectory: async () => undefined,
  chatTemplate: async () => undefined,
  data: async (name) => (existsSync(name) ? { path: name, directory: name } : { absent: "there is no such path" }),
  output: () => false,
};

/** Converts a YAML text. */
export function convert(
  text: string,
  options: TrlOptions = {},
  places: Partial<TrlPlaces> = {},
): Promise<TrlConversion> {
  return convertTrl({ path: "recipe.yaml", text }, options, { ...NOTHING_HERE, ...places });
}

/** Converts a few keys of GRPO; the model and a length are there. */
export function convertKeys(keys: string, options: TrlOptions = {}): Promise<TrlConversion> {
  return convert(`model_name_or_path: some/model\n${keys.includes("max_steps") ? "" : "max_steps: 12\n"}${keys}\n`, {
    trainer: "grpo",
    ...options,
  });
}

interface Stages {
  readonly grpo: GrpoConfig;
  readonly sft: SftConfig;
  readonly reward_model: RewardModelConfig;
  readonly distill: DistillConfig;
}

type Stage<Trainer extends keyof Stages> = StageConfig & Stages[Trainer];

/** The recipe's one stage, of GRPO. */
export function stageOf(conversion: TrlConversion): Stage<"grpo"> {
  return trainedBy(conversion, "grpo");
}

/** The recipe's one stage, of a trainer. */
export function trainedBy<Trainer extends keyof Stages>({ recipe }: TrlConversion, trainer: Trainer): Stage<Trainer> {
  const stage = recipe.stages[0]!;
  if (stage.trainer !== trainer) throw new Error(`expected a stage of ${trainer}`);
  return stage as Stage<Trainer>;
}

interface Tasks {
  readonly countdown: CountdownOptions;
  readonly conversations: ConversationsOptions;
  readonly preferences: PreferencesOptions;
}

/** The recipe's task, of a name. */
export function taskOf<Name extends keyof Tasks>({ recipe }: TrlConversion, name: Name): Tasks[Name] {
  if (recipe.task.name !== name) throw new Error(`expected the task ${name}`);
  return recipe.task as TaskSpec & Tasks[Name];
}

/** The batch of a trainer that samples groups. */
export function groupsOf({ batch }: TrlConversion): GroupBatch {
  if (batch.kind !== "groups") throw new Error("expected a batch of groups");
  return batch;
}

/** The batch of a trainer that goes through rows. */
export function rowsOf({ batch }: TrlConversion): RowBatch {
  if (batch.kind !== "rows") throw new Error("expected a batch of rows");
  return batch;
}

/** The line about a key, of the file or of the defaults. */
export function lineOf({ keys, defaults }: TrlConversion, key: string): TrlKeyLine | undefined {
  return [...keys, ...defaults].find((line) => line.key === key);
}
