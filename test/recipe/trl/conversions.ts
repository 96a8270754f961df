/** Conversions for tests: a text or a fixture, on a machine that has nothing that the file names. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { StageConfig } from "../../../src/recipe/schema.ts";
import type { TrlConversion, TrlKeyLine } from "../../../src/recipe/trl/conversion.ts";
import { convertTrl, type TrlOptions, type TrlPlaces } from "../../../src/recipe/trl/convert.ts";
import type { GrpoConfig } from "../../../src/train/grpo/config.ts";
import { isGrpoStage } from "../../../src/train/grpo/trainer.ts";

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

/** Converts a few keys; the model and a length are there. */
export function convertKeys(keys: string, options: TrlOptions = {}): Promise<TrlConversion> {
  return convert(
    `model_name_or_path: some/model\n${keys.includes("max_steps") ? "" : "max_steps: 12\n"}${keys}\n`,
    options,
  );
}

type GrpoStage = StageConfig & GrpoConfig;

/** The recipe's one stage. */
export function stageOf({ recipe }: TrlConversion): GrpoStage {
  const stage = recipe.stages[0]!;
  if (!isGrpoStage(stage)) throw new Error("expected a GRPO stage");
  return stage;
}

/** The line about a key, of the file or of the defaults. */
export function lineOf({ keys, defaults }: TrlConversion, key: string): TrlKeyLine | undefined {
  return [...keys, ...defaults].find((line) => line.key === key);
}
