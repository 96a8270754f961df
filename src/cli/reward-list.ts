/** `aha reward --list`: what the registry knows of its rewards, for people and for programs. */

import type { RewardEntry } from "../rewards/entry.ts";
import { type KeyDescription, keyText, schemaKeys } from "./schema-keys.ts";

/** A reward as `--list --json` prints it. */
export interface ListedReward extends Pick<RewardEntry, "name" | "title" | "summary" | "citation" | "columns"> {
  readonly options: readonly KeyDescription[];
}

/** The description with its options written out. */
export function listedReward({ name, title, summary, citation, columns, options }: RewardEntry): ListedReward {
  return { name, title, summary, citation, columns, options: schemaKeys(options) };
}

/** The list for people. */
export function rewardListText(rewards: readonly ListedReward[]): string {
  return rewards.map(rewardText).join("\n");
}

function rewardText({ name, title, summary, citation, columns, options }: ListedReward): string {
  const lines = [`${name}  ${title}`, `  ${summary}`, `  ${citation}`];
  if (columns.length > 0) lines.push(`  columns: ${columns.join(", ")}`);
  for (const option of options) lines.push(`    ${keyText(option)}`);
  return `${lines.join("\n")}\n`;
}
