/**
 * Command-line arguments over node:util's parseArgs, with errors that say what to type instead. Options are long names;
 * a value follows as `--name value` or `--name=value`.
 */

import { type ParseArgsConfig, parseArgs } from "node:util";
import { Compute } from "../compute/compute.ts";
import { devices } from "../compute/devices.ts";
import { ConfigError, nearestName } from "../errors.ts";
import { FLOAT_DTYPES } from "../graph/tensor-type.ts";

type OptionsConfig = NonNullable<ParseArgsConfig["options"]>;

/** What `parseOptions` returns: `values` by option name and the positional arguments. */
export type ParsedOptions<T extends OptionsConfig> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; strict: true; allowPositionals: true }>
>;

/**
 * Option values by name, and as many positional arguments as `positionals` names (`["DIR"]`).
 *
 * @throws ConfigError for an unknown option (with the nearest name), a value that is missing or superfluous, or another
 * number of positional arguments.
 */
export function parseOptions<T extends OptionsConfig>(
  command: string,
  args: readonly string[],
  options: T,
  positionals: readonly string[] = [],
): ParsedOptions<T> {
  const help = `See aha ${command.split(" ")[0]} --help.`;
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option" || Object.hasOwn(options, token.name)) continue;
    const nearest = nearestName(token.name, Object.keys(options));
    const hint = nearest === undefined ? "" : ` Did you mean --${nearest}?`;
    throw new ConfigError(`aha ${command}: there is no option ${token.rawName}.${hint} ${help}`);
  }
  const parsed = strictly(command, args, options);
  if (parsed.positionals.length !== positionals.length) {
    const expected = positionals.length === 0 ? "no arguments but options" : positionals.join(" ");
    const given = parsed.positionals.length === 0 ? "nothing" : parsed.positionals.join(" ");
    throw new ConfigError(`aha ${command}: expected ${expected}, got ${given}. ${help}`);
  }
  return parsed;
}

function strictly<T extends OptionsConfig>(command: string, args: readonly string[], options: T): ParsedOptions<T> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ConfigError(`aha ${command}: ${error.message.split("\n")[0]!.trim()}`);
  }
}

/** A number given as the value of `--name`; `accepts` and `expected` say which ones. Throws ConfigError. */
export function numberOption(
  name: string,
  text: string,
  accepts: (value: number) => boolean,
  expected: string,
): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (accepts(value)) return value;
  throw new ConfigError(`--${name} must be ${expected}, not ${JSON.stringify(text)}.`);
}

/** A whole number, where it has a bound of at least `least`, given as the value of `--name`. Throws ConfigError. */
export function wholeNumberOption(name: string, text: string, least?: number): number {
  const accepts = (value: number) => Number.isSafeInteger(value) && (least === undefined || value >= least);
  return numberOption(name, text, accepts, `a whole number${least === undefined ? "" : ` of at least ${least}`}`);
}

/** The value of `--seed`. Random streams are keyed by 32 bits of it; more would be cut off unseen. Throws ConfigError. */
export function seedOption(text: string): number {
  const accepts = (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  return numberOption("seed", text, accepts, "a whole number from 0 to 4294967295");
}

/** The options of every command that computes with a model. */
export const COMPUTE_OPTIONS = {
  device: { type: "string", completes: () => devices.names },
  dtype: { type: "string", completes: () => FLOAT_DTYPES },
  threads: { type: "string" },
} as const;

/** Their part of a command's help, in a column of 25. */
export const COMPUTE_HELP = `--device NAME          what it is computed on: cpu, webgpu, cuda; or auto, a GPU where there is one (cpu)
  --dtype NAME           what the layers compute in: float32, bfloat16 or float16 (float32)
  --threads N            threads to compute with (one per processor, at most 8)`;

/** What a command computes with: the values of `COMPUTE_OPTIONS`, or the defaults. Throws ConfigError. */
export function computeOption({
  threads,
  device,
}: {
  threads?: string | undefined;
  device?: string | undefined;
}): Compute {
  return Compute.open({
    threads: threads === undefined ? undefined : wholeNumberOption("threads", threads, 1),
    device,
  });
}
