/**
 * What accelerate says about a run: how many processes there are, and, under DeepSpeed, two numbers that it repeats from
 * the training file. They may stand in a file of their own or among the keys of the training file.
 */

import { ConfigError } from "../../errors.ts";
import { reasonOf, type TrlKeyLine } from "./conversion.ts";
import { LAUNCHER_KEYS } from "./keys/every-trainer.ts";
import { DEEPSPEED_KEYS } from "./keys/launcher.ts";
import type { KeyRule } from "./rule.ts";
import { type KeyTable, readMapping, settingsOf, type TrlSettings } from "./settings.ts";

/** The source of the number of processes if it is not given. */
export const UNSAID_PROCESSES = "the file does not say, nor does --num-processes or --accelerate";

export interface Launch {
  readonly numProcesses: number;
  /** Where the number is from: a phrase for people. */
  readonly from: string;
  /** Under DeepSpeed: what clips the gradient; undefined where the file leaves it to the training file (`auto`). */
  readonly gradientClipping: number | undefined;
  /** The result for each key of the launcher's file, and of those below deepspeed_config. */
  readonly lines: readonly TrlKeyLine[];
}

/** A file with its text. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

const LAUNCHER_TABLE: KeyTable = { keys: LAUNCHER_KEYS, unknown: () => "not a key of accelerate's file" };

const DEEPSPEED_TABLE: KeyTable = { keys: DEEPSPEED_KEYS, unknown: () => "not a key of accelerate's deepspeed_config" };

/**
 * `asked` is `--num-processes`, which goes before the launcher's file, and that before the training file.
 *
 * @throws ConfigError for an unknown key, or where the files disagree on gradient accumulation
 */
export function launchOf(
  settings: TrlSettings,
  options: {
    readonly file: TextFile | undefined;
    readonly asked: number | undefined;
    readonly accumulation: number;
    /** Where the batch and the clip of the gradient stand in the recipe. */
    readonly paths: LaunchPaths;
  },
): Launch {
  const { file, asked, accumulation, paths } = options;
  const own = file && settingsOf(readMapping(file.text, file.path), file.path, LAUNCHER_TABLE);
  const sources = [own, settings].filter((source) => source !== undefined);
  const deepSpeed = sources.flatMap((source) => {
    const mapping = source.mapping("deepspeed_config");
    if (mapping === undefined) return [];
    return [settingsOf(mapping, source.source, DEEPSPEED_TABLE, "deepspeed_config.")];
  });
  for (const config of deepSpeed) requireAccumulation(config, accumulation);
  const gradientClipping = deepSpeed.map((config) => numberUnlessAuto(config, "gradient_clipping")).find(isNumber);
  const lines = [
    ...linesOf(own, LAUNCHER_KEYS, paths),
    ...deepSpeed.flatMap((config) => linesOf(config, DEEPSPEED_KEYS, paths)),
  ];
  return { ...processes(sources, asked), gradientClipping, lines };
}

function processes(sources: readonly TrlSettings[], asked: number | undefined): Pick<Launch, "numProcesses" | "from"> {
  if (asked !== undefined) return { numProcesses: asked, from: "--num-processes" };
  for (const source of sources) {
    const numProcesses = source.number("num_processes");
    if (numProcesses !== undefined) return { numProcesses, from: source.source };
  }
  return { numProcesses: 1, from: UNSAID_PROCESSES };
}

/** Paths of what the launcher says. */
export interface LaunchPaths {
  readonly batch: string;
  readonly maxGradNorm: string;
}

/** Lines of a mapping of the launcher's; `deepspeed_config` has its own. */
function linesOf(
  settings: TrlSettings | undefined,
  rules: ReadonlyMap<string, KeyRule>,
  paths: LaunchPaths,
): TrlKeyLine[] {
  if (settings === undefined) return [];
  const prefix = rules === DEEPSPEED_KEYS ? "deepspeed_config." : "";
  const readElsewhere: ReadonlyMap<string, { readonly path: string; readonly note: string }> = new Map([
    ["num_processes", { path: paths.batch, note: "see the batch" }],
    ["gradient_accumulation_steps", { path: paths.batch, note: "as the training file says" }],
    ["gradient_clipping", { path: paths.maxGradNorm, note: "" }],
  ]);
  return [...settings.written].flatMap(([key, value]) => {
    if (key === "deepspeed_config") return [];
    const read = readElsewhere.get(key);
    const note = read?.note ?? reasonOf(rules.get(key));
    return [{ key: prefix + key, value, path: read?.path ?? null, note }];
  });
}

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
