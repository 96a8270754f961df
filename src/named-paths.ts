/**
 * The paths that a configuration names: where each one stands, and what is expected to lie there. Everything that has
 * keys of its own (a task, a reward, a trainer, a data step) lists the paths among its keys once, and all other code
 * reads that list: a recipe's paths are made absolute, the files are hashed, names on the Hub are pinned to commits,
 * and a path of the wrong kind is refused before anything runs.
 */

/** What is expected at a path. A `rewardModel` is a model that scores texts, a `model` one that writes them. */
export type PathKind = "file" | "dataset" | "model" | "adapter" | "rewardModel";

/** The keys that lead to a value in a configuration. */
export type KeyPath = readonly (string | number)[];

/** One path in a configuration. */
export interface NamedPath {
  readonly keys: KeyPath;
  readonly path: string;
  readonly kind: PathKind;
  /** Whether it may be `org/name[@revision]` on the Hub; false where absent. Then it is a model or a data set. */
  readonly hub?: boolean;
  /** What follows the path in the same text, and is kept: `#brevity`. */
  readonly suffix?: string;
}

/** The path that stands at `keys`, as a list of one; an empty list where nothing stands there, or no text. */
export function pathAt(config: unknown, keys: KeyPath, kind: PathKind, { hub = false } = {}): NamedPath[] {
  const path = valueAt(config, keys);
  return typeof path === "string" ? [{ keys, path, kind, hub }] : [];
}

/** The paths of a part of a configuration, seen from the whole: `keys` leads to the part. */
export function pathsBelow(keys: KeyPath, paths: readonly NamedPath[]): NamedPath[] {
  return paths.map((named) => ({ ...named, keys: [...keys, ...named.keys] }));
}

/** The paths of every item of the list at `keys`, seen from the whole; none where no list stands there. */
export function pathsOfItems(
  config: unknown,
  keys: KeyPath,
  pathsOf: (item: unknown) => readonly NamedPath[],
): NamedPath[] {
  const items = valueAt(config, keys);
  return Array.isArray(items) ? items.flatMap((item: unknown, i) => pathsBelow([...keys, i], pathsOf(item))) : [];
}

/** The configuration with each of the paths replaced by what `replace` makes of it. */
export function withPaths<T>(config: T, paths: readonly NamedPath[], replace: (named: NamedPath) => string): T {
  return paths.reduce(
    (changed, named) => withValueAt(changed, named.keys, replace(named) + (named.suffix ?? "")),
    config,
  );
}

/** What stands at `keys`; undefined where nothing does. */
export function valueAt(config: unknown, keys: KeyPath): unknown {
  let value = config;
  for (const key of keys) value = isBranch(value) ? value[key] : undefined;
  return value;
}

/** A copy of the configuration with another value at `keys`, where there is one already. */
export function withValueAt<T>(config: T, keys: KeyPath, value: unknown): T {
  const [key, ...rest] = keys;
  if (key === undefined) return value as T;
  if (!isBranch(config) || config[key] === undefined) return config;
  const changed = withValueAt(config[key], rest, value);
  if (Array.isArray(config)) return config.map((item: unknown, i) => (i === Number(key) ? changed : item)) as T;
  return { ...config, [key]: changed };
}

function isBranch(value: unknown): value is Readonly<Record<string | number, unknown>> {
  return typeof value === "object" && value !== null;
}
