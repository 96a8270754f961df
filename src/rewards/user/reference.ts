/**
 * How a recipe names a reward of the user's own: `./my-reward.ts#name`, a file and one of its exports (`default` where
 * none is named). Anything that is not a plain word of the registry, a path or a file with an ending of JavaScript or
 * TypeScript, is such a name.
 */

import { ConfigError } from "../../errors.ts";

const TYPESCRIPT = [".ts", ".mts", ".cts"];
const JAVASCRIPT = [".js", ".mjs", ".cjs"];
const ENDINGS = [...TYPESCRIPT, ...JAVASCRIPT];

/** The file and the export that hold a reward. */
export interface RewardReference {
  readonly file: string;
  readonly exportName: string;
  /** What logs and metrics call it: the export's name, or the file's where the export is the default. */
  readonly label: string;
}

/** The known ending of a file's name; undefined where it has none of them. */
function endingOf(file: string, endings: readonly string[] = ENDINGS): string | undefined {
  return endings.find((ending) => file.endsWith(ending) && !/(^|[/\\])$/.test(file.slice(0, -ending.length)));
}

/** Whether `name` means a file, not a reward of the registry. */
export function isRewardReference(name: string): boolean {
  return /[#/\\]/.test(name) || endingOf(name) !== undefined;
}

/** Whether the file has to be made JavaScript first. */
export function isTypeScript(file: string): boolean {
  return endingOf(file, TYPESCRIPT) !== undefined;
}

/** The parts of `FILE#EXPORT`. Throws ConfigError for a file that is neither JavaScript nor TypeScript. */
export function parseRewardReference(name: string): RewardReference {
  const hash = name.lastIndexOf("#");
  const file = hash < 0 ? name : name.slice(0, hash);
  const exportName = hash < 0 ? "default" : name.slice(hash + 1);
  const ending = endingOf(file);
  if (exportName === "" || ending === undefined) {
    throw new ConfigError(
      `${JSON.stringify(name)} is not a reward of your own; expected FILE#EXPORT with a file that ends in ` +
        `${ENDINGS.join(", ")}, e.g. ./my-reward.ts#brevity.`,
    );
  }
  const baseName = file.slice(0, -ending.length).replace(/^.*[/\\]/, "");
  return { file, exportName, label: exportName === "default" ? baseName : exportName };
}

/** What logs, metrics and the terminal call a reward of either kind. Throws ConfigError like `parseRewardReference`. */
export function rewardLabel(name: string): string {
  return isRewardReference(name) ? parseRewardReference(name).label : name;
}
