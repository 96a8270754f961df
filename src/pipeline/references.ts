/**
 * References: `{ from: STAGE }`, and `{ from: STAGE, output: KIND }`, in a stage's configuration. They are the edges of
 * the pipeline's graph. Each is found where it stands, checked against what the named stage makes, and replaced by the
 * path of that output.
 *
 * The owner of the keys (`NamedPath`) says what is expected at a place: a path is put in the reference's place, and
 * looked for among the paths that the configuration then names. Elsewhere only the existence of the stage is checked.
 */

import { ConfigError, nearestName } from "../errors.ts";
import { type NamedPath, withValueAt } from "../named-paths.ts";
import { isMapping } from "../strict-schema.ts";
import { SOURCE_KEYS } from "./merge.ts";

/** What stages make. */
const OUTPUT_TYPES = ["model", "dataset", "rewardModel"] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];

/** Whether stages make such a thing. */
const isOutputType = (kind: string): kind is OutputType => OUTPUT_TYPES.some((type) => type === kind);

/** One reference and where it stands. */
export interface Reference {
  /** Keys from the stage's configuration to the mapping with `from`. */
  readonly path: readonly string[];
  readonly from: string;
  /** The kind that it says itself. */
  readonly output: unknown;
  /** The kind that its place takes; undefined: any. */
  readonly expected: NamedPath["kind"] | undefined;
  /** Its place is a mapping with a `path`: `model: { path: … }`. */
  readonly isMapping: boolean;
  /** Another key beside it that names a source too. */
  readonly rival: string | undefined;
}

/** A stage as the graph sees it. */
export interface GraphStage {
  readonly name: string;
  readonly makes: OutputType;
  readonly references: readonly Reference[];
}

/** The paths that a configuration names, as far as it is one yet. */
export type PathsOf = (config: unknown) => readonly NamedPath[];

/** Every reference in a configuration, in order. */
export function findReferences(config: unknown, pathsOf: PathsOf): Reference[] {
  return mappingsWithFrom(config).map(({ path, value }) => {
    const { from, output, ...rest } = value;
    const rival = SOURCE_KEYS.find((key) => key in rest);
    return { path, from, output, rival, ...placeOf(config, path, pathsOf) };
  });
}

/** The configuration with each of its references replaced by what `pathOf` gives for its stage. */
export function replaceReferences(
  config: unknown,
  references: readonly Reference[],
  pathOf: (stage: string) => string,
): unknown {
  const places = new Map(references.map((reference) => [reference.path.join("."), reference]));
  const replaced = (value: unknown, path: readonly string[]): unknown => {
    if (Array.isArray(value)) return value.map((item: unknown, i) => replaced(item, [...path, String(i)]));
    if (!isMapping(value)) return value;
    const inside: Record<string, unknown> = Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, replaced(inner, [...path, key])]),
    );
    const reference = places.get(path.join("."));
    if (reference === undefined) return inside;
    const { from: _, output: __, ...rest } = inside;
    const output = pathOf(reference.from);
    return reference.isMapping || Object.keys(rest).length > 0 ? { ...rest, path: output } : output;
  };
  return replaced(config, []);
}

interface MappingWithFrom {
  readonly path: readonly string[];
  readonly value: { readonly from: string; readonly output?: unknown };
}

function mappingsWithFrom(value: unknown, path: readonly string[] = []): MappingWithFrom[] {
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => mappingsWithFrom(item, [...path, String(i)]));
  if (!isMapping(value)) return [];
  const { from } = value;
  const inside = Object.entries(value).flatMap(([key, inner]) => mappingsWithFrom(inner, [...path, key]));
  return typeof from === "string" ? [{ path, value: { ...value, from } }, ...inside] : inside;
}

/** Stands for the path that a reference will be. */
const PLACEHOLDER = "/output-of-a-stage";

/** What is expected where a reference stands, found by putting a path there. */
function placeOf(
  config: unknown,
  path: readonly string[],
  pathsOf: PathsOf,
): Pick<Reference, "expected" | "isMapping"> {
  const kindAt = (value: unknown) =>
    pathsOf(withValueAt(config, path, value)).find((named) => named.path === PLACEHOLDER)?.kind;
  const asMapping = kindAt({ path: PLACEHOLDER });
  return asMapping === undefined
    ? { expected: kindAt(PLACEHOLDER), isMapping: false }
    : { expected: asMapping, isMapping: true };
}

/**
 * Refuses a graph that cannot be run in the order in which it stands.
 *
 * @throws ConfigError naming every reference to nothing, to a later stage or in a circle, and of the wrong type.
 */
export function checkReferences(stages: readonly GraphStage[], source: string): void {
  const issues = stages.flatMap((stage, index) =>
    stage.references.flatMap((reference) => referenceIssue(stages, index, reference) ?? []),
  );
  if (issues.length > 0) {
    throw new ConfigError(`${source} cannot be run:\n${issues.map((issue) => `  ${issue}`).join("\n")}`);
  }
}

function referenceIssue(stages: readonly GraphStage[], index: number, reference: Reference): string | undefined {
  const stage = stages[index]!;
  const { from, output, expected } = reference;
  const place = [stage.name, ...reference.path].join(".");
  const names = stages.map(({ name }) => name);
  const target = names.indexOf(from);
  if (target < 0) {
    const nearest = nearestName(from, names);
    const hint = nearest === undefined ? `the stages are ${names.join(", ")}` : `did you mean "${nearest}"?`;
    return `${place}: there is no stage "${from}"; ${hint}`;
  }
  if (target >= index) {
    const circle = circleThrough(stages, stage.name, from);
    if (circle !== undefined) return `${place}: the stages need each other in a circle: ${circle.join(" → ")}.`;
    return `${place}: "${from}" comes later in the file; a stage takes what an earlier one made. Move it up.`;
  }
  if (reference.rival !== undefined) {
    return `${place}: from and ${reference.rival} exclude each other: both say what to take. Leave one of them out.`;
  }
  if (expected === "adapter") {
    return `${place}: a stage that trains an adapter makes a whole model, with the adapter folded in. Take it as the model.`;
  }
  const { makes } = stages[target]!;
  if (output !== undefined && !isOutputType(String(output))) {
    return `${place}.output: expected ${OUTPUT_TYPES.join(", ")}, got ${JSON.stringify(output)}.`;
  }
  if (output !== undefined && output !== makes) return `${place}: "${from}" makes a ${makes}, not a ${output}.`;
  if (expected !== undefined && isOutputType(expected) && expected !== makes) {
    return `${place}: expected a ${expected}, but "${from}" makes a ${makes}.`;
  }
  return undefined;
}

/** The way from `start` by its references over `next` and back to it, where there is one. */
function circleThrough(stages: readonly GraphStage[], start: string, next: string): string[] | undefined {
  const seen = new Set<string>();
  const walk = (name: string, trail: readonly string[]): string[] | undefined => {
    if (name === start) return [...trail, name];
    if (seen.has(name)) return undefined;
    seen.add(name);
    for (const { from } of stages.find((stage) => stage.name === name)?.references ?? []) {
      const found = walk(from, [...trail, name]);
      if (found) return found;
    }
    return undefined;
  };
  return walk(next, [start]);
}

/** Names of the stages that `name` needs directly. */
export function needsOf({ references }: GraphStage): string[] {
  return [...new Set(references.map(({ from }) => from))];
}

/** The stage and all that depend on it, in the file's order. */
export function withDependents(stages: readonly GraphStage[], name: string): string[] {
  const found = new Set([name]);
  for (const stage of stages) if (stage.references.some(({ from }) => found.has(from))) found.add(stage.name);
  return stages.map((stage) => stage.name).filter((each) => found.has(each));
}
