/**
 * Several values by name: `x = 1, y = 2` is one point, `p = 5, q = 2; p = 7, q = 2` are two, `x_1 = 1, x_2 = −2` the roots of
 * one equation.
 */

import { isBag, statedValue, targetName } from "./targets.ts";
import type { Answer } from "./tree.ts";

/** Values by the names that they are given to. */
export type Assignments = ReadonlyMap<string, Answer>;

/** `x = 1, y = 2` or `(x, y) = (1, 2)`: at least two values, each for another name. */
export function assignmentsOf(answer: Answer): Assignments | undefined {
  if (answer.kind === "relation") return fromPoint(answer);
  if (!isBag(answer) && answer.kind !== "tuple") return undefined;
  // "x = 1 or y = 2" gives no value to both.
  if (answer.kind === "list" && answer.joint === "or") return undefined;
  const pairs = pairsOf(answer.items);
  const map = new Map(pairs);
  return pairs !== undefined && map.size === pairs.length && map.size > 1 ? map : undefined;
}

function pairsOf(items: readonly Answer[]): (readonly [string, Answer])[] | undefined {
  const pairs = items.map((item) => {
    const name = item.kind === "relation" ? targetName(item) : undefined;
    const value = name === undefined ? undefined : statedValue(item);
    return value === undefined ? undefined : ([name!, value] as const);
  });
  return pairs.includes(undefined) ? undefined : (pairs as (readonly [string, Answer])[]);
}

/** `(x, y) = (1, 2)`. */
function fromPoint(item: Answer): Assignments | undefined {
  if (item.kind !== "relation" || item.relations.join() !== "=") return undefined;
  const [target, value] = item.sides;
  if (target?.kind !== "tuple" || value?.kind !== "tuple" || target.items.length !== value.items.length)
    return undefined;
  const name = targetName(item);
  if (name === undefined) return undefined;
  const names = name.slice(1, -1).split(",");
  const map = new Map(names.map((one, i) => [one, value.items[i]!]));
  return map.size === names.length && names.length === value.items.length ? map : undefined;
}

/** `p = 5, q = 2; p = 7, q = 2`: at least two groups of values for the same names. */
export function assignmentGroups(answer: Answer): readonly Assignments[] | undefined {
  if (!isBag(answer) || answer.items.length < 2) return undefined;
  const groups = fromPoints(answer.items) ?? repeated(answer.items) ?? indexed(answer.items);
  const [first, ...others] = groups ?? [];
  if (!first || first.size < 2 || others.length === 0) return undefined;
  const isAlike = (group: Assignments) =>
    group.size === first.size && [...first.keys()].every((name) => group.has(name));
  return others.every(isAlike) ? groups : undefined;
}

/** `(x, y) = (1, 2), (3, 4)`: points after the first one go by its names. */
function fromPoints(items: readonly Answer[]): Assignments[] | undefined {
  const first = fromPoint(items[0]!);
  if (!first) return undefined;
  const groups = items.map((item) => {
    if (item.kind !== "tuple") return fromPoint(item) ?? assignmentsOf(item);
    const names = [...first.keys()];
    return item.items.length === names.length ? new Map(names.map((name, i) => [name, item.items[i]!])) : undefined;
  });
  return groups.includes(undefined) ? undefined : (groups as Assignments[]);
}

/** A name that comes again begins the next group. */
function repeated(items: readonly Answer[]): Assignments[] | undefined {
  const pairs = pairsOf(items);
  if (pairs === undefined) return undefined;
  const groups: Map<string, Answer>[] = [new Map()];
  for (const [name, value] of pairs) {
    if (groups.at(-1)!.has(name)) groups.push(new Map());
    groups.at(-1)!.set(name, value);
  }
  return groups.length > 1 ? groups : undefined;
}

/** `x_1 = 1, y_1 = 2, x_2 = 3, y_2 = 4`: a group for each index. */
function indexed(items: readonly Answer[]): Assignments[] | undefined {
  const groups = new Map<string, Map<string, Answer>>();
  for (const [name, value] of pairsOf(items) ?? []) {
    const [, letter, index] = /^([a-z])_(\d)$/.exec(name) ?? [];
    if (letter === undefined) return undefined;
    groups.set(index!, (groups.get(index!) ?? new Map<string, Answer>()).set(letter, value));
  }
  return [...groups.values()];
}

/** `x_1 = 1, x_2 = −2`: the roots of x, which have no order; undefined where the names are others. */
export function indexedRoots(answer: Answer): Answer | undefined {
  if (!isBag(answer) || answer.items.length < 2) return undefined;
  const letters = new Set<string>();
  const items = answer.items.map((item) => {
    const [, letter] = /^([a-z])_\d$/.exec((item.kind === "relation" && targetName(item)) || "") ?? [];
    letters.add(letter ?? "");
    return statedValue(item);
  });
  if (letters.size !== 1 || letters.has("") || items.includes(undefined)) return undefined;
  const [name] = letters as Set<string>;
  const target: Answer = { kind: "expression", node: { kind: "symbol", name: name! } };
  return {
    kind: "list",
    items: items.map((item): Answer => ({ kind: "relation", relations: ["="], sides: [target, item!] })),
  };
}

/** The values of assignments as a point: neighbours of the alphabet (x, y) in its order, other names as they are written. */
export function pointOfValues(assignments: Assignments): Answer {
  const names = [...assignments.keys()];
  const sorted = names.every((name) => /^[a-z]$/.test(name)) ? [...names].sort() : [];
  const isRun = sorted.length > 0 && sorted.every((name, i) => name.charCodeAt(0) === sorted[0]!.charCodeAt(0) + i);
  const items = (isRun ? sorted : names).map((name) => assignments.get(name)!);
  return { kind: "tuple", open: "(", close: ")", items, isInterval: false };
}

/** A list as a point: what a gold answer with names is compared with. A set has no order. */
export function asPoint(answer: Answer): Answer {
  return answer.kind === "list" ? { kind: "tuple", open: "(", close: ")", items: answer.items } : answer;
}
