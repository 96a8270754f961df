/**
 * The keys and values of a TRL recipe, checked: every key is in the table, every value is of the kind that TRL wants,
 * and nothing asks for a feature that there is not. All findings are listed at once.
 *
 * What it is not: the meaning of the values. `convert.ts` has that.
 *
 * PyYAML reads YAML 1.1, Aha's recipes 1.2: `yes`, `no`, `on` and `off` are text here, and are taken for true and false
 * where a truth value is wanted; `1e-6`, which PyYAML reads as text, is a number in both once TRL's parser has seen it;
 * `1_000` is a number there, and here where one is wanted.
 */

import { ConfigError, nearestName, shorten } from "../../errors.ts";
import { isMapping } from "../../strict-schema.ts";
import { applyOverrides } from "../overrides.ts";
import { parseYaml } from "../yaml.ts";
import type { KeyRule, ValueKind } from "./rule.ts";

/** Checked values by key. A key with the value null (None) is given, and has no value. */
export class TrlSettings {
  /** Path of the file, for messages. */
  readonly source: string;
  /** Keys as the file has them, in its order, with the values that stand there. */
  readonly written: ReadonlyMap<string, unknown>;
  private readonly values: ReadonlyMap<string, unknown>;

  constructor(source: string, written: ReadonlyMap<string, unknown>, values: ReadonlyMap<string, unknown>) {
    this.source = source;
    this.written = written;
    this.values = values;
  }

  /** Whether the file has the key, with a value. */
  has(key: string): boolean {
    return this.values.has(key);
  }

  /** The value of a key of the kinds for numbers. */
  number(key: string): number | undefined {
    return this.values.get(key) as number | undefined;
  }

  text(key: string): string | undefined {
    return this.values.get(key) as string | undefined;
  }

  boolean(key: string): boolean | undefined {
    return this.values.get(key) as boolean | undefined;
  }

  /** The value of a key of kind texts; a single text is a list of one. */
  texts(key: string): readonly string[] | undefined {
    return this.values.get(key) as readonly string[] | undefined;
  }

  numbers(key: string): readonly number[] | undefined {
    return this.values.get(key) as readonly number[] | undefined;
  }

  mapping(key: string): Readonly<Record<string, unknown>> | undefined {
    return this.values.get(key) as Readonly<Record<string, unknown>> | undefined;
  }

  mappings(key: string): readonly Readonly<Record<string, unknown>>[] | undefined {
    return this.values.get(key) as readonly Readonly<Record<string, unknown>>[] | undefined;
  }
}

/** The keys that a file may have, and what is said of one that it may not. */
export interface KeyTable {
  readonly keys: ReadonlyMap<string, KeyRule>;
  /** A sentence without its subject, e.g. `not a key of accelerate's file`. */
  readonly unknown: (key: string) => string;
}

/**
 * The mapping that a YAML text is, with `overrides` (`key=value`) applied. Of a key that stands twice the last one counts, as
 * in PyYAML. Throws ConfigError for any other text.
 */
export function readMapping(
  text: string,
  source: string,
  overrides: readonly string[] = [],
): Readonly<Record<string, unknown>> {
  const parsed = parseYaml(text, source, { repeatedKeys: true });
  if (!isMapping(parsed))
    throw new ConfigError(`${source}: expected a mapping of keys to values, as TRL's recipes are.`);
  return applyOverrides(parsed, overrides) as Record<string, unknown>;
}

/**
 * The settings of a mapping; `path` goes before its keys in messages, e.g. `deepspeed_config.`.
 *
 * @throws ConfigError listing every finding
 */
export function settingsOf(
  mapping: Readonly<Record<string, unknown>>,
  source: string,
  { keys: rules, unknown }: KeyTable,
  path = "",
): TrlSettings {
  const findings: string[] = [];
  const written = new Map(Object.entries(mapping));
  const values = new Map<string, unknown>();
  for (const [key, value] of written) {
    const rule = rules.get(key);
    if (rule === undefined) findings.push(`${path}${key}: ${unknown(key)}.${hintFor(key, rules.keys())}`);
    else if (value === null) continue;
    else if (rule.effect === "refused") {
      if (!rule.unless.some((harmless) => isSame(harmless, value))) findings.push(refusal(path + key, value, rule));
    } else if (rule.effect === "becomes") {
      const read = KINDS[rule.kind].read(value);
      if (read === undefined)
        findings.push(`${path}${key}: expected ${KINDS[rule.kind].expected}, got ${shown(value)}.`);
      else values.set(key, read);
    }
  }
  if (findings.length === 0) return new TrlSettings(source, written, values);
  throw new ConfigError(`${source} cannot be run:\n${findings.map((finding) => `  ${finding}`).join("\n")}`);
}

function hintFor(key: string, known: Iterable<string>): string {
  const nearest = nearestName(key, known);
  return nearest === undefined ? "" : ` Did you mean "${nearest}"?`;
}

function refusal(path: string, value: unknown, rule: Extract<KeyRule, { effect: "refused" }>): string {
  const [harmless] = rule.unless;
  const otherwise = harmless === undefined ? "" : `, or set it to ${shown(harmless)}`;
  const remedy = `Leave it out${otherwise} (--set ${path}=${harmless === undefined ? "null" : shown(harmless)}).`;
  return `${path}: ${shown(value)} is not supported: ${rule.why}. ${remedy}`;
}

interface Kind {
  readonly expected: string;
  /** The value in its own type, or undefined where it is not of this kind. */
  readonly read: (value: unknown) => unknown;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function toNumber(value: unknown): number | undefined {
  const plain = typeof value === "string" ? value.trim().replace(/(?<=\d)_(?=\d)/g, "") : "";
  const number = NUMBER.test(plain) ? Number(plain) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

function toBoolean(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  const word = typeof value === "string" ? value.toLowerCase() : "";
  if (["true", "yes", "on"].includes(word)) return true;
  return ["false", "no", "off"].includes(word) ? false : undefined;
}

function numberKind(expected: string, accepts: (value: number) => boolean): Kind {
  const read = (value: unknown) => {
    const number = toNumber(value);
    return number !== undefined && accepts(number) ? number : undefined;
  };
  return { expected, read };
}

const KINDS: Readonly<Record<ValueKind, Kind>> = {
  text: {
    expected: "text",
    // `save_strategy: no` is the text "no" in YAML 1.2; numbers stand for themselves (`vllm_device: 3`).
    read: (value) => (["string", "number", "boolean"].includes(typeof value) ? String(value) : undefined),
  },
  texts: {
    expected: "a text or a list of texts",
    read: (value) => {
      const list = Array.isArray(value) ? (value as unknown[]) : [value];
      return list.length > 0 && list.every((item) => typeof item === "string") ? list : undefined;
    },
  },
  numbers: {
    expected: "a list of numbers",
    read: (value) => {
      const list = (Array.isArray(value) ? (value as unknown[]) : [value]).map(toNumber);
      return list.includes(undefined) ? undefined : list;
    },
  },
  boolean: { expected: "true or false", read: toBoolean },
  mappings: {
    expected: "a list of mappings",
    read: (value) => (Array.isArray(value) && value.length > 0 && value.every(isMapping) ? value : undefined),
  },
  mapping: { expected: "a mapping of keys to values", read: (value) => (isMapping(value) ? value : undefined) },
  number: numberKind("a number", () => true),
  positive: numberKind("a number of more than 0", (value) => value > 0),
  notNegative: numberKind("a number of at least 0", (value) => value >= 0),
  share: numberKind("a number from 0 to 1", (value) => value >= 0 && value <= 1),
  shareAboveZero: numberKind("a number above 0 of at most 1", (value) => value > 0 && value <= 1),
  belowOne: numberKind("a number of at least 0 and below 1", (value) => value >= 0 && value < 1),
  betweenZeroAndOne: numberKind("a number between 0 and 1", (value) => value > 0 && value < 1),
  whole: numberKind("a whole number of at least 1", (value) => Number.isSafeInteger(value) && value >= 1),
  // Random streams are keyed by 32 bits.
  seed: numberKind("a whole number from 0 to 4294967295", (value) => Number.isInteger(value) && value >>> 0 === value),
  anyWhole: numberKind("a whole number", (value) => Number.isSafeInteger(value)),
  scale: {
    expected: "true, false, group, batch or none",
    read: (value) => {
      const truth = toBoolean(value);
      if (truth !== undefined) return truth ? "group" : "none";
      return ["group", "batch", "none"].includes(String(value)) ? value : undefined;
    },
  },
};

/** A value as it stands in the file, short enough for a message or a line of a table. */
export function shown(value: unknown): string {
  return shorten(JSON.stringify(value) ?? String(value), 60);
}

function isSame(harmless: unknown, value: unknown): boolean {
  if (typeof harmless === "number") return toNumber(value) === harmless;
  if (typeof harmless === "boolean") return toBoolean(value) === harmless;
  return JSON.stringify(harmless) === JSON.stringify(value);
}
