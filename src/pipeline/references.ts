/**
 * References: `{ from: STAGE }`, and `{ from: STAGE, output: KIND }`, in a stage's configuration. They are the edges of
 * the pipeline's graph. Each is found where it stands, checked against what the named stage makes, and replaced by the
 * path of that output.
 *
 * What is expected at a place is told by its key: `model` and `teacher` take a model, `data` and `general` a data set; of a
 * reward's options its entry says it. Elsewhere only the existence of the stage is checked here.
 */

import { ConfigError, nearestName } from "../errors.ts";
import { rewards } from "../rewards/registry.ts";
import { isMapping, type Mapping, SOURCE_KEYS } from "./merge.ts";

/** What stages make. */
export const OUTPUT_TYPES = ["model", "dataset", "rewardModel"] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];

/** Whether stages make such a thing. */
export const isOutputType = (kind: string): kind is OutputType => OUTPUT_TYPES.some((type) => type === kind);

/** One reference and where it stands. */
export interface Reference {
  /** Keys from the stage's configuration to the mapping with `from`. */
  readonly path: readonly string[];
  readonly from: string;
  /** The kind that it says itself. */
  readonly output: unknown;
  /** The kind that its place takes; undefined: any. */
  readonly expected: OutputType | undefined;
  /** Another key beside it that names a source too. */
  readonly rival: string | undefined;
}

/** A stage as the graph sees it. */
export interface GraphStage {
  readonly name: string;
  readonly makes: OutputType;
  readonly references: readonly Reference[];
}

/** Every reference in a configuration, in order. */
export function findReferences(value: unknown, path: readonly string[] = [], expected = expectedAt(path)): Reference[] {
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => findReferences(item, [...path, String(i)]));
  if (!isMapping(value)) return [];
  if (typeof value.from === "string") {
    const rival = SOURCE_KEYS.find((key) => key !== "from" && key in value);
    return [{ path, from: value.from, output: value.output, expected, rival }];
  }
  const kinds = rewardPathKinds(value);
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key !== "options" || !isMapping(inner)) return findReferences(inner, [...path, key]);
    return Object.entries(inner).flatMap(([option, given]) => {
      const kind = kinds[option];
      return findReferences(given, [...path, key, option], kind !== undefined && isOutputType(kind) ? kind : undefined);
    });
  });
}

/** What is expected at the options of a mapping that names a reward (`name` or `reward`). */
function rewardPathKinds({ name, reward = name }: Mapping): Readonly<Record<string, string>> {
  return (typeof reward === "string" && rewards.find(reward)?.paths) || {};
}

/** The configuration with each reference replaced by what `pathOf` gives for its stage. */
export function replaceReferences(
  value: unknown,
  pathOf: (stage: string) => string,
  path: readonly string[] = [],
): unknown {
  if (Array.isArray(value)) {
    return value.map((item: unknown, i) => replaceReferences(item, pathOf, [...path, String(i)]));
  }
  if (!isMapping(value)) return value;
  if (typeof value.from === "string") {
    const { from, output: _, ...rest } = value;
    return takesMapping(path) || Object.keys(rest).length > 0 ? { ...rest, path: pathOf(from) } : pathOf(from);
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, replaceReferences(inner, pathOf, [...path, key])]),
  );
}

/** The last key of a path that is no index. */
function lastKey(path: readonly string[]): string | undefined {
  return path.findLast((key) => !/^\d+$/.test(key));
}

/** Where a path stands inside of a mapping: `model: { path: … }`. */
function takesMapping(path: readonly string[]): boolean {
  const key = lastKey(path);
  return (key === "model" && path.length === 1) || key === "teacher" || key === "data" || key === "general";
}

function expectedAt(path: readonly string[]): OutputType | undefined {
  switch (lastKey(path)) {
    case "model":
    case "teacher":
      return "model";
    case "data":
    case "general":
      return "dataset";
    default:
      return undefined;
  }
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
  if (lastKey(reference.path) === "adapter") {
    return `${place}: a stage that trains an adapter makes a whole model, with the adapter folded in. Take it as the model.`;
  }
  const { makes } = stages[target]!;
  if (output !== undefined && !isOutputType(String(output))) {
    return `${place}.output: expected ${OUTPUT_TYPES.join(", ")}, got ${JSON.stringify(output)}.`;
  }
  if (output !== undefined && output !== makes) return `${place}: "${from}" makes a ${makes}, not a ${output}.`;
  if (expected !== undefined && expected !== makes) {
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
