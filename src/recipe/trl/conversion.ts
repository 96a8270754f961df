/**
 * What a conversion leaves: the recipe, and for every key a line that says what it became. The draft collects both at
 * once, so that no value reaches the recipe without its line.
 */

import type { Recipe } from "../schema.ts";
import type { TrlBatch } from "./batch-report.ts";
import type { KeyRule } from "./rule.ts";
import type { TrlSettings } from "./settings.ts";
import type { TrlTrainer, TrlTrainerName } from "./trainers.ts";

/** What one key became. */
export interface TrlKeyLine {
  readonly key: string;
  /** As it stands in the file, or TRL's default where it is not there. */
  readonly value: unknown;
  /** Where it went, e.g. `stages.grpo.learningRate`; null where it has no meaning here. */
  readonly path: string | null;
  /** What stands at `path`. */
  readonly recipeValue?: unknown;
  /** Why it has no meaning, or how its value came about; empty where nothing is to be said. */
  readonly note: string;
}

/** Something that the file does not say and the conversion had to choose. */
export interface TrlChoice {
  readonly what: string;
  readonly chosen: string;
}

export interface TrlConversion {
  /** Checked, with every default filled in. */
  readonly recipe: Recipe;
  readonly trainer: TrlTrainerName;
  /** `SFT (SFTConfig)`, for people. */
  readonly trainerTitle: string;
  readonly trainerBecause: string;
  readonly version: string;
  readonly versionBecause: string;
  /** One for each key of the file, in its order. */
  readonly keys: readonly TrlKeyLine[];
  /** TRL's defaults for keys that the file does not have and that matter here. */
  readonly defaults: readonly TrlKeyLine[];
  readonly batch: TrlBatch;
  readonly choices: readonly TrlChoice[];
  /** What the file names and this machine does not have, in sentences; empty where the recipe can be run. */
  readonly missing: readonly string[];
  /** One for each key of accelerate's file, and of deepspeed_config. */
  readonly launcherKeys: readonly TrlKeyLine[];
  /** The command that starts a server for the engine that was asked for, line by line; empty where none is known. */
  readonly server: readonly string[];
  /** `output_dir`, where the run goes there. */
  readonly outputDirectory: string | undefined;
}

/** A recipe in the making: values by path, and lines by key. */
export class TrlDraft {
  readonly settings: TrlSettings;
  readonly choices: TrlChoice[] = [];
  readonly missing: string[] = [];
  private readonly trainer: TrlTrainer;
  private readonly values: Record<string, unknown> = {};
  private readonly stage: Record<string, unknown>;
  private readonly lines = new Map<string, TrlKeyLine>();

  constructor(settings: TrlSettings, trainer: TrlTrainer) {
    this.settings = settings;
    this.trainer = trainer;
    this.stage = { ...trainer.stage };
  }

  /** Path of a key of the recipe's one stage. */
  at(key: string): string {
    return `stages.${this.trainer.stage.name}.${key}`;
  }

  /** Puts a value into the recipe, for `key`; `fallback` is TRL's default, shown where the file has none. */
  becomes(key: string, path: string, recipeValue: unknown, options: { fallback?: unknown; note?: string } = {}): void {
    this.put(path, recipeValue);
    this.line({ key, value: this.valueOf(key, options.fallback), path, recipeValue, note: options.note ?? "" });
  }

  /** A key that is about something outside the recipe, or whose value is put into it apart, in a list, say. */
  goesTo(key: string, what: string, recipeValue: unknown, options: { fallback?: unknown; note?: string } = {}): void {
    const { fallback, note = "" } = options;
    this.line({ key, value: this.valueOf(key, fallback), path: what, recipeValue, note });
  }

  /** A key whose value here cannot be told yet: what stands at `path` meanwhile is not shown. */
  isOpen(key: string, path: string, standIn: unknown, options: { fallback?: unknown; note: string }): void {
    this.put(path, standIn);
    this.line({ key, value: this.valueOf(key, options.fallback), path, note: options.note });
  }

  /** A key that this file's other keys leave without effect. */
  hasNoEffect(key: string, note: string): void {
    if (this.settings.written.has(key)) this.line({ key, value: this.settings.written.get(key), path: null, note });
  }

  /** Puts a value into the recipe that no key of TRL stands for; undefined takes away what is there. */
  put(path: string, value: unknown): void {
    const [first, ...rest] = path.split(".");
    const inStage = first === "stages";
    let branch = inStage ? this.stage : this.values;
    const keys = inStage ? rest.slice(1) : [first!, ...rest];
    for (const key of keys.slice(0, -1)) {
      branch[key] ??= {};
      branch = branch[key] as Record<string, unknown>;
    }
    if (value === undefined) delete branch[keys.at(-1)!];
    else branch[keys.at(-1)!] = value;
  }

  /** What stands at a path of the recipe so far. */
  value(path: string): unknown {
    const [first, ...rest] = path.split(".");
    const inStage = first === "stages";
    const keys = inStage ? rest.slice(1) : [first!, ...rest];
    return keys.reduce<unknown>(
      (branch, key) => (branch as Record<string, unknown> | undefined)?.[key],
      inStage ? this.stage : this.values,
    );
  }

  /** The recipe, unchecked. */
  recipe(): Record<string, unknown> {
    return { ...this.values, stages: [this.stage] };
  }

  /** Paths that keys of TRL have set, with the key. */
  paths(): ReadonlyMap<string, string> {
    const set = [...this.lines.values()].filter(({ path }) => path !== null);
    return new Map(set.map(({ key, path }) => [path!, key]));
  }

  /** Lines for the keys of the file, in its order: those without meaning take their reason from the table. */
  keyLines(): TrlKeyLine[] {
    return [...this.settings.written].map(([key, value]) => {
      const line = this.lines.get(key);
      if (line !== undefined) return line;
      return {
        key,
        value,
        path: null,
        note: value === null ? "null is TRL's own default" : reasonOf(this.trainer.keys.get(key)),
      };
    });
  }

  /** Keys that have their line. */
  saidKeys(): Iterable<string> {
    return this.lines.keys();
  }

  /** Lines for keys that the file does not have. */
  defaultLines(): TrlKeyLine[] {
    return [...this.lines.values()].filter(({ key }) => !this.settings.written.has(key));
  }

  private valueOf(key: string, fallback: unknown): unknown {
    return this.settings.written.get(key) ?? fallback ?? null;
  }

  private line(line: TrlKeyLine): void {
    this.lines.set(line.key, line);
  }
}

/** Why a key has no meaning here, from its entry in the table. */
export function reasonOf(rule: KeyRule | undefined): string {
  switch (rule?.effect) {
    case "nothing":
      return rule.why;
    case "refused":
      return `as it is here: ${rule.why}`;
    default:
      return "";
  }
}
