/**
 * How a recipe names a reward of the user's own: `./my-reward.ts#name`, a file and one of its exports (`default` where
 * none is named). Anything that is not a plain word of the registry, a path or a file with an ending of JavaScript or
 * TypeScript, is such a name.
 */

import { basename, extname, resolve } from "node:path";
import { ConfigError } from "../../errors.ts";

const TYPESCRIPT = [".ts", ".mts", ".cts"];
const JAVASCRIPT = [".js", ".mjs", ".cjs"];

/** The file and the export that hold a reward. */
export interface RewardReference {
  readonly file: string;
  readonly exportName: string;
  /** What logs and metrics call it: the export's name, or the file's where the export is the default. */
  readonly label: string;
}

/** Whether `name` means a file, not a reward of the registry. */
export function isRewardReference(name: string): boolean {
  return /[#/\\]/.test(name) || [...TYPESCRIPT, ...JAVASCRIPT].includes(extname(name));
}

/** Whether the file has to be made JavaScript first. */
export function isTypeScript(file: string): boolean {
  return TYPESCRIPT.includes(extname(file));
}

/** The parts of `FILE#EXPORT`. Throws ConfigError for a file that is neither JavaScript nor TypeScript. */
export function parseRewardReference(name: string): RewardReference {
  const hash = name.lastIndexOf("#");
  const file = hash < 0 ? name : name.slice(0, hash);
  const exportName = hash < 0 ? "default" : name.slice(hash + 1);
  const ending = extname(file);
  if (exportName === "" || ![...TYPESCRIPT, ...JAVASCRIPT].includes(ending)) {
    throw new ConfigError(
      `${JSON.stringify(name)} is not a reward of your own; expected FILE#EXPORT with a file that ends in ` +
        `${[...TYPESCRIPT, ...JAVASCRIPT].join(", ")}, e.g. ./my-reward.ts#brevity.`,
    );
  }
  const label = exportName === "default" ? basename(file, ending) : exportName;
  return { file, exportName, label };
}

/** What logs, metrics and the terminal call a reward of either kind. Throws ConfigError like `parseRewardReference`. */
export function rewardLabel(name: string): string {
  return isRewardReference(name) ? parseRewardReference(name).label : name;
}

/** The same reference with its file below `directory` made absolute; names of the registry stay as they are. */
export function anchorReward(name: string, directory: string): string {
  if (!isRewardReference(name)) return name;
  const hash = name.lastIndexOf("#");
  return hash < 0 ? resolve(directory, name) : resolve(directory, name.slice(0, hash)) + name.slice(hash);
}
