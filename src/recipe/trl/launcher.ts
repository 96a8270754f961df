/**
 * What accelerate says about a run: how many processes there are, and, under DeepSpeed, two numbers that it repeats from
 * the training file. They may stand in a file of their own or among the keys of the training file.
 */

import { ConfigError } from "../../errors.ts";
import { reasonOf, STAGE, type TrlKeyLine } from "./conversion.ts";
import { DEEPSPEED_KEYS, LAUNCHER_KEYS } from "./keys.ts";
import type { KeyRule } from "./rule.ts";
import { readSettings, settingsOf, type TrlSettings } from "./settings.ts";

export interface Launch {
  readonly numProcesses: number;
  /** Where the number is from: a phrase for people. */
  readonly from: string;
  /** Under DeepSpeed: what clips the gradient; undefined where the file leaves it to the training file (`auto`). */
  readonly gradientClipping: number | undefined;
  /** What became of the keys of the launcher's file, and of those below deepspeed_config. */
  readonly lines: readonly TrlKeyLine[];
}

/** A file with its text. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/**
 * `asked` is `--num-processes`, which goes before the launcher's file, and that before the training file.
 *
 * @throws ConfigError for an unknown key, or where the files disagree on gradient accumulation
 */
export function launchOf(
  settings: TrlSettings,
  options: { readonly file: TextFile | undefined; readonly asked: number | undefined; readonly accumulation: number },
): Launch {
  const { file, asked, accumulation } = options;
  const own = file === undefined ? undefined : readSettings(file.text, file.path, LAUNCHER_KEYS);
  const sources = [own, settings].filter((source) => source !== undefined);
  const deepSpeed = sources.flatMap((source) => {
    const mapping = source.mapping("deepspeed_config");
    if (mapping === undefined) return [];
    return [settingsOf(mapping, source.source, DEEPSPEED_KEYS, "deepspeed_config.")];
  });
  for (const config of deepSpeed) requireAccumulation(config, accumulation);
  const gradientClipping = deepSpeed.map((config) => numberUnlessAuto(config, "gradient_clipping")).find(isNumber);
  const lines = [...linesOf(own, LAUNCHER_KEYS), ...deepSpeed.flatMap((config) => linesOf(config, DEEPSPEED_KEYS))];
  return { ...processes(sources, asked), gradientClipping, lines };
}

function processes(sources: readonly TrlSettings[], asked: number | undefined): Pick<Launch, "numProcesses" | "from"> {
  if (asked !== undefined) return { numProcesses: asked, from: "--num-processes" };
  for (const source of sources) {
    const numProcesses = source.number("num_processes");
    if (numProcesses !== undefined) return { numProcesses, from: source.source };
  }
  return { numProcesses: 1, from: "the file does not say, nor does --num-processes or --accelerate" };
}

/** Lines of a mapping of the launcher's; `deepspeed_config` has its own. */
function linesOf(settings: TrlSettings | undefined, rules: ReadonlyMap<string, KeyRule>): TrlKeyLine[] {
  if (settings === undefined) return [];
  const prefix = rules === DEEPSPEED_KEYS ? "deepspeed_config." : "";
  return [...settings.written].flatMap(([key, value]) => {
    if (key === "deepspeed_config") return [];
    const read = READ_ELSEWHERE.get(key);
    const note = read?.note ?? reasonOf(rules.get(key));
    return [{ key: prefix + key, value, path: read?.path ?? null, note }];
  });
}

/** Keys of the launcher that have a meaning, and where it is. */
const READ_ELSEWHERE: ReadonlyMap<string, { readonly path: string; readonly note: string }> = new Map([
  ["num_processes", { path: `stages.${STAGE}.promptsPerIteration`, note: "see the batch" }],
  ["gradient_accumulation_steps", { path: `stages.${STAGE}.promptsPerIteration`, note: "as the training file says" }],
  ["gradient_clipping", { path: `stages.${STAGE}.maxGradNorm`, note: "" }],
]);

function requireAccumulation(config: TrlSettings, accumulation: number): void {
  const steps = numberUnlessAuto(config, "gradient_accumulation_steps");
  if (steps === undefined || steps === accumulation) return;
  throw new ConfigError(
    `${config.source}: deepspeed_config.gradient_accumulation_steps is ${steps}, the training file's ` +
      `gradient_accumulation_steps ${accumulation}. Make them one number.`,
  );
}

function numberUnlessAuto(config: TrlSettings, key: string): number | undefined {
  const text = config.text(key);
  if (text === undefined || text === "auto") return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new ConfigError(`${config.source}: deepspeed_config.${key}: expected a number or auto, got ${text}.`);
}

function isNumber(value: number | undefined): value is number {
  return value !== undefined;
}
