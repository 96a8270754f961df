/** `aha reward --list`: what the registry knows of its rewards, for people and for programs. */

import { z } from "zod";
import type { RewardDescription } from "../rewards/definition.ts";

/** One option of a reward. */
interface OptionDescription {
  readonly name: string;
  readonly description: string;
  /** JSON Schema, without what stands beside it here. */
  readonly type: string;
  readonly required: boolean;
  readonly default?: unknown;
}

/** A reward as `--list --json` prints it. */
export interface ListedReward extends Omit<RewardDescription, "options"> {
  readonly options: readonly OptionDescription[];
}

/** The description with its options written out. */
export function listedReward({ name, title, summary, citation, columns, options }: RewardDescription): ListedReward {
  const schema = z.toJSONSchema(options, { io: "input", unrepresentable: "any" });
  const required = new Set(schema.required ?? []);
  const listed = Object.entries(schema.properties ?? {}).map(([key, property]): OptionDescription => {
    const { description = "", default: fallback, ...rest } = typeof property === "object" ? property : {};
    return {
      name: key,
      description,
      type: typeText(rest),
      required: required.has(key),
      ...(fallback !== undefined && { default: fallback }),
    };
  });
  return { name, title, summary, citation, columns, options: listed };
}

/** The list for people. */
export function rewardListText(rewards: readonly ListedReward[]): string {
  return rewards.map(rewardText).join("\n");
}

function rewardText({ name, title, summary, citation, columns, options }: ListedReward): string {
  const lines = [`${name}  ${title}`, `  ${summary}`, `  ${citation}`];
  if (columns.length > 0) lines.push(`  columns: ${columns.join(", ")}`);
  for (const option of options) {
    const value = option.required ? "required" : "default" in option ? JSON.stringify(option.default) : "optional";
    lines.push(`    ${option.name} (${option.type}, ${value})  ${option.description}`);
  }
  return `${lines.join("\n")}\n`;
}

/** A JSON Schema in a few words. */
function typeText(schema: z.core.JSONSchema.BaseSchema): string {
  if (schema.enum) return schema.enum.map(String).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map((one) => typeText(one as z.core.JSONSchema.BaseSchema)).join(" | ");
  return String(schema.type ?? "any");
}
