/**
 * When an answer counts as equal to the gold one. The relation is not symmetric: the gold answer says what was asked
 * for.
 *
 * - Expressions: `identity.ts`. A bare value answers `x = value` and the other way around; two assignments must name the
 *   same symbol; other equations are equal up to exchanging sides and a constant factor. Labels (`labels.ts`) are such
 *   names too: 3 : 4 answers `AB : BC = 3 : 4`. Several values are compared name by name, as one point or as several
 *   (`assignments.ts`).
 * - Percent: p % is p/100. As questions ask "what percent?", the bare number p also answers a gold p %, and p % a bare
 *   gold p above 1.
 * - Units: either side may leave its unit out; two known ones are converted, other words must be the same. Degrees also
 *   equal the angle in radians where that is written with π.
 * - Lists without brackets are unordered (roots of an equation); tuples are ordered; sets forget repetitions. A list
 *   answers a gold set, and a tuple in its order; a tuple answers no set. Items are as many as the gold has: listing
 *   more candidates is wrong.
 * - Intervals, inequalities in one symbol, unions and `x ≠ a` are equal where they are the same set of real numbers. A pair
 *   `(1, 3)` is a point, unless one of the two sides says that it is a set of numbers (`saysSet` in `real-set.ts`).
 * - Conditions (`x > 2, y > 5`) hold together and are compared symbol by symbol; "or" between them is weaker.
 * - Vectors: tuples, single rows or columns, and sums of i, j, k are the same where their entries are. Systems of equations
 *   go by name, branches of a function by condition.
 * - Values for every whole number (`kπ, k ∈ ℤ`): by their formula, whatever the number is called.
 * - Residue classes: of the same modulus, by representatives that differ by a multiple of it; a bare number is none.
 * - A choice (`A`) is answered by its letter, with or without its value; a gold `(A) 5` also by its value alone.
 */

import {
  type Assignments,
  asPoint,
  assignmentGroups,
  assignmentsOf,
  indexedRoots,
  pointOfValues,
} from "./assignments.ts";
import type { JudgementBudget } from "./budget.ts";
import { ratioOfClock, sameTime } from "./clock.ts";
import { type Conditions, conditionsOf } from "./conditions.ts";
import { withConstantOf } from "./constant-term.ts";
import { exactValue } from "./exact.ts";
import { proportional, sameExpression, solvesFor } from "./identity.ts";
import type { Interval } from "./intervals.ts";
import { letterOf, lettersOf, sameLetter } from "./letters.ts";
import { measured } from "./measured.ts";
import { realSetOf, saysSet, zeroForm } from "./real-set.ts";
import { hasTargets, isBag, statedValue, targetsDiffer } from "./targets.ts";
import { type Answer, type Node, substituted, symbolsOf } from "./tree.ts";
import { rowsOf, unitVectorOf, vectorOf } from "./vectors.ts";

type Expression = Answer & { kind: "expression" };
type Relation = Answer & { kind: "relation" };
type Tuple = Answer & { kind: "tuple" };
type List = Answer & { kind: "list" };

/** Compares within a budget, and remembers whether something could not be decided. */
export class AnswerComparison {
  readonly #budget: JudgementBudget;
  /** Some pair of expressions could be shown neither equal nor different. */
  undecided = false;

  constructor(budget: JudgementBudget) {
    this.#budget = budget;
  }

  /** Whether the answer is right. */
  same(gold: Answer, answer: Answer): boolean {
    this.#budget.spend();
    if (gold.kind === "choice" || answer.kind === "choice") return this.#sameChoice(gold, answer);
    const time = sameTime(gold, answer);
    if (time !== undefined) return time;
    if (isPlainRatio(gold) !== isPlainRatio(answer)) {
      const [g, a] = [ratioOfClock(gold) ?? gold, ratioOfClock(answer) ?? answer];
      if (g !== gold || a !== answer) return this.same(g, a);
    }
    if (gold.kind === "family" || answer.kind === "family") return this.#sameFamily(gold, answer);
    if (gold.kind === "congruence" || answer.kind === "congruence") return this.#sameCongruence(gold, answer);
    if (gold.kind === "relation" || answer.kind === "relation") {
      if (this.#sameRelation(gold, answer)) return true;
      const [g, a] = [assignmentsOf(gold), assignmentsOf(answer)];
      if (g && a) return this.#sameAssignments(g, a);
      const [bareGold, bareAnswer] = [statedValue(gold), statedValue(answer)];
      if (targetsDiffer(gold, answer) || bareGold === undefined || bareAnswer === undefined)
        return this.#sameSet(gold, answer);
      return (bareGold !== gold || bareAnswer !== answer) && this.same(bareGold, bareAnswer);
    }
    if (lettersOf(gold) !== undefined && lettersOf(gold) === lettersOf(answer)) return true;
    const vectors = this.#sameVector(gold, answer);
    if (vectors !== undefined) return vectors;
    if (isCollection(gold) || isCollection(answer)) return this.#sameCollection(gold, answer);
    if (gold.kind === "matrix" || answer.kind === "matrix") return this.#sameMatrix(gold, answer);
    if (gold.kind === "expression" && answer.kind === "expression") return this.#sameQuantity(gold, answer);
    if (sameLetter(gold, answer)) return true;
    if (gold.kind === "text" && answer.kind === "text") return sameWords(gold.text, answer.text);
    if (gold.kind === "numbers" && answer.kind === "numbers") return gold.name === answer.name;
    // ℝ in another font.
    if (gold.kind === "numbers" && letterOf(answer) === gold.name) return true;
    return this.#sameSet(gold, answer);
  }

  #sameNode(gold: Node, answer: Node): boolean {
    const sameness = sameExpression(gold, withConstantOf(gold, answer), this.#budget);
    if (sameness === "unknown") this.undecided = true;
    return sameness === "same";
  }

  #sameQuantity(gold: Expression, answer: Expression): boolean {
    const [g, a] = [measured(gold, answer), measured(answer, gold)];
    if (g === undefined || a === undefined) return false;
    if (this.#sameNode(g, a)) return true;
    // "45" may be meant as 45 %, but 45° is not.
    if (gold.unit || answer.unit) return false;
    if (gold.percent && !answer.percent) return this.#sameNode(gold.node, answer.node);
    return (
      answer.percent === true && !gold.percent && this.#isAboveOne(gold.node) && this.#sameNode(gold.node, answer.node)
    );
  }

  /** The values for every whole number, whatever its name; where one side does not say that it is one, by the same name. */
  #sameFamily(gold: Answer, answer: Answer): boolean {
    if (gold.kind !== "family") return answer.kind === "family" && this.same(gold, answer.member);
    if (answer.kind !== "family") return this.same(gold.member, answer);
    if (gold.over !== answer.over) return false;
    return this.same(gold.member, renamed(answer.member, answer.parameter, gold.parameter));
  }

  /** A point or a column against a sum of unit vectors; undefined where the sides are not these two. */
  #sameVector(gold: Answer, answer: Answer): boolean | undefined {
    const [g, a] = [gold, answer].map((side) =>
      side.kind === "matrix" ? vectorOf(side) : side.kind === "tuple" && isClosedAlike(side) ? side.items : undefined,
    );
    if ((g === undefined) === (a === undefined)) return undefined;
    const units = unitVectorOf(g ? answer : gold, (g ?? a)!.length);
    if (!units || !this.#sameNode(units.linear, units.sum)) return undefined;
    return this.#sameInOrder(g ?? units.items, a ?? units.items);
  }

  #isAboveOne(node: Node): boolean {
    const value = exactValue(node, new Map(), this.#budget);
    return typeof value !== "string" && value.numerator > value.denominator;
  }

  #sameCongruence(gold: Answer, answer: Answer): boolean {
    if (gold.kind !== "congruence" || answer.kind !== "congruence" || gold.modulus !== answer.modulus) return false;
    if (this.same(gold.residue, answer.residue)) return true;
    const bothNamed = gold.residue.kind === "relation" && answer.residue.kind === "relation";
    if (bothNamed && targetsDiffer(gold.residue, answer.residue)) return false;
    const [g, a] = [gold.residue, answer.residue].map((residue) => {
      const stated = statedValue(residue);
      const value = stated?.kind === "expression" ? exactValue(stated.node, new Map(), this.#budget) : "undefined";
      return typeof value !== "string" && value.denominator === 1n ? value.numerator : undefined;
    });
    return g !== undefined && a !== undefined && (g - a) % gold.modulus === 0n;
  }

  #sameChoice(gold: Answer, answer: Answer): boolean {
    if (gold.kind === "choice" && answer.kind === "choice") {
      const valuesAgree = !gold.value || !answer.value || this.same(gold.value, answer.value);
      return gold.letter === answer.letter && valuesAgree;
    }
    if (gold.kind === "choice") {
      if (letterOf(answer)?.toUpperCase() === gold.letter) return true;
      return gold.value !== undefined && this.same(gold.value, answer);
    }
    if (answer.kind !== "choice") return false;
    if (letterOf(gold) === answer.letter) return true;
    return answer.value !== undefined && gold.kind !== "text" && this.same(gold, answer.value);
  }

  #sameRelation(gold: Answer, answer: Answer): boolean {
    if (gold.kind !== "relation" || answer.kind !== "relation") return false;
    // 0 < x < y is y > x > 0.
    for (const { relations, sides } of [answer, mirrored(answer)]) {
      const isSameShape = gold.relations.join() === relations.join() && gold.sides.length === sides.length;
      if (isSameShape && gold.sides.every((side, i) => this.same(side, sides[i]!))) return true;
    }
    const [g, a] = [ascending(gold), ascending(answer)];
    if (!g || !a || g.relation !== a.relation) return false;
    const sameness = proportional(g.difference, a.difference, g.relation !== "=" && g.relation !== "!=", this.#budget);
    if (sameness === "same") return true;
    return g.relation === "=" && solvesFor(gold.sides, answer.sides, this.#budget);
  }

  #sameCollection(gold: Answer, answer: Answer): boolean {
    const [goldRoots, roots] = [indexedRoots(gold), indexedRoots(answer)];
    if ((goldRoots === undefined) !== (roots === undefined) && this.same(goldRoots ?? gold, roots ?? answer))
      return true;
    const named = this.#sameByName(gold, answer);
    if (named !== undefined) return named;
    const single = onlyItem(gold) ?? gold;
    const singleAnswer = onlyItem(answer) ?? answer;
    if (single !== gold || singleAnswer !== answer) return this.same(single, singleAnswer);
    if (isRatio(gold) !== isRatio(answer)) return false;
    if ((gold.kind === "tuple" && areAlternatives(answer)) || (answer.kind === "tuple" && areAlternatives(gold)))
      return this.#sameSet(gold, answer);
    if (gold.kind === "tuple" && (answer.kind === "tuple" || answer.kind === "list")) {
      const sameBrackets =
        answer.kind === "list" ? isPoint(gold) : gold.open === answer.open && gold.close === answer.close;
      return (sameBrackets && this.#sameInOrder(gold.items, answer.items)) || this.#sameSet(gold, answer);
    }
    if (gold.kind === "list" && answer.kind === "tuple") {
      return (isPoint(answer) && this.#sameInOrder(gold.items, answer.items)) || this.#sameSet(gold, answer);
    }
    if (gold.kind === "matrix" && answer.kind === "tuple" && answer.items[0]?.kind === "tuple") {
      return this.#sameInOrder(rowsOf(gold), answer.items);
    }
    if (gold.kind === "tuple" && gold.items[0]?.kind === "tuple" && answer.kind === "matrix") {
      return this.#sameInOrder(gold.items, rowsOf(answer));
    }
    if (gold.kind === "tuple" && answer.kind === "matrix")
      return isClosedAlike(gold) && this.#sameInOrder(gold.items, vectorOf(answer) ?? []);
    if (gold.kind === "matrix" && answer.kind === "tuple")
      return isClosedAlike(answer) && this.#sameInOrder(vectorOf(gold) ?? [], answer.items);
    if (isBag(gold) && isBag(answer)) {
      const [g, a] = [conditionsOf(gold), conditionsOf(answer)];
      if (g && a) return this.#sameConditions(g, a);
      const arePoints = [...gold.items, ...answer.items].every(({ kind }) => kind === "tuple");
      const forgets = gold.kind === "set" || answer.kind === "set" || arePoints;
      return this.#sameInAnyOrder(gold.items, answer.items, forgets) || this.#sameSet(gold, answer);
    }
    return this.#sameSet(gold, answer);
  }

  /** Values by name, one point or several; undefined where neither side has names. */
  #sameByName(gold: Answer, answer: Answer): boolean | undefined {
    const [g, a] = [assignmentsOf(gold), assignmentsOf(answer)];
    if (g && a && this.#sameAssignments(g, a)) return true;
    const [goldGroups, groups] = [assignmentGroups(gold), assignmentGroups(answer)];
    if (goldGroups && groups) return this.#sameGroups(goldGroups, groups);
    if (g && a) return false;
    const points = (some: readonly Assignments[]): Answer => ({ kind: "list", items: some.map(pointOfValues) });
    if (goldGroups && this.same(points(goldGroups), answer)) return true;
    if (groups && this.same(gold, points(groups))) return true;
    if (!g && !a) return goldGroups || groups ? false : undefined;
    // `x = 1 or x = 2` is not a point; `x = 1, y = 2` is no list of two values of x.
    if (hasTargets(g ? answer : gold)) return false;
    return this.same(g ? pointOfValues(g) : asPoint(gold), a ? pointOfValues(a) : asPoint(answer));
  }

  #sameGroups(gold: readonly Assignments[], answer: readonly Assignments[]): boolean {
    const left = [...answer];
    return (
      gold.length === answer.length &&
      gold.every((group) => {
        const found = left.findIndex((candidate) => this.#sameAssignments(group, candidate));
        if (found >= 0) left.splice(found, 1);
        return found >= 0;
      })
    );
  }

  #sameAssignments(gold: Assignments, answer: Assignments): boolean {
    if (gold.size !== answer.size) return false;
    return [...gold].every(([name, value]) => answer.has(name) && this.same(value, answer.get(name)!));
  }

  #sameInOrder(gold: readonly Answer[], answer: readonly Answer[]): boolean {
    return gold.length > 0 && gold.length === answer.length && gold.every((item, i) => this.same(item, answer[i]!));
  }

  #sameInAnyOrder(gold: readonly Answer[], answer: readonly Answer[], forgets: boolean): boolean {
    const [wanted, given] = forgets ? [this.#distinct(gold), this.#distinct(answer)] : [gold, answer];
    if (wanted.length !== given.length) return false;
    const left = [...given];
    return wanted.every((item) => {
      const found = left.findIndex((candidate) => this.same(item, candidate));
      if (found >= 0) left.splice(found, 1);
      return found >= 0;
    });
  }

  #distinct(items: readonly Answer[]): Answer[] {
    const kept: Answer[] = [];
    for (const item of items) if (!kept.some((other) => this.same(other, item))) kept.push(item);
    return kept;
  }

  #sameMatrix(gold: Answer, answer: Answer): boolean {
    if (gold.kind !== "matrix" || answer.kind !== "matrix") return false;
    const isSameShape = gold.rows.length === answer.rows.length && gold.rows[0]!.length === answer.rows[0]!.length;
    return (
      isSameShape && gold.rows.every((row, i) => row.every((cell, j) => this.#sameNode(cell, answer.rows[i]![j]!)))
    );
  }

  /** The same set of real numbers, where one side says that it is a set. */
  #sameSet(gold: Answer, answer: Answer): boolean {
    if (!saysSet(gold) && !saysSet(answer)) return false;
    const [names, others] = [relatedSymbols(gold), relatedSymbols(answer)];
    if (names !== "" && others !== "" && names !== others) return false;
    return this.#sameIntervals(gold, answer) ?? this.#sameParts(gold, answer);
  }

  /** Undefined where one of the sides is no set of real numbers with known bounds. */
  #sameIntervals(gold: Answer, answer: Answer): boolean | undefined {
    const [g, a] = [realSetOf(gold, this.#budget), realSetOf(answer, this.#budget)];
    if (!g || !a) return undefined;
    return g.length === a.length && g.every((part, i) => this.#sameInterval(part, a[i]!));
  }

  /** Conditions, by the symbols that they are about: `x > 2, y > 5` says something else of x and of y. */
  #sameConditions(gold: Conditions, answer: Conditions): boolean {
    const [only] = [...answer.bySymbol.keys()];
    // The symbol of `{x | …}` may have any name.
    if (gold.bySymbol.size === 1 && answer.bySymbol.size === 1 && (only === "" || gold.bySymbol.has(""))) {
      const [g, a] = [gold, answer].map(
        ({ bySymbol, joint }): List => ({ kind: "list", items: [...bySymbol.values()][0]!, joint }),
      );
      return this.#sameIntervals(g!, a!) ?? false;
    }
    const names = [...gold.bySymbol.keys()];
    if (gold.bySymbol.size !== answer.bySymbol.size || names.some((name) => !answer.bySymbol.has(name))) return false;
    // "x > 2 or y > 5" is weaker than both.
    if (names.length > 1 && gold.joint !== answer.joint) return false;
    return names.every((name) => {
      const [g, a] = [gold, answer].map(({ bySymbol, joint }): Answer => {
        return { kind: "list", items: bySymbol.get(name)!, joint };
      }) as [List, List];
      const sameSet = name.includes(",") ? undefined : this.#sameIntervals(g, a);
      return sameSet ?? (gold.joint === answer.joint && this.#sameInAnyOrder(g.items, a.items, true));
    });
  }

  #sameInterval(gold: Interval, answer: Interval): boolean {
    if (gold.openLow !== answer.openLow || gold.openHigh !== answer.openHigh) return false;
    return (["low", "high"] as const).every((end) => {
      const [g, a] = [gold[end], answer[end]];
      if (!g.node || !a.node) return g.value === a.value;
      return this.#sameNode(g.node, a.node);
    });
  }

  /** Unions and differences whose bounds are not all known numbers: part by part. */
  #sameParts(gold: Answer, answer: Answer): boolean {
    if (gold.kind === "union" && answer.kind === "union") return this.#sameInAnyOrder(gold.parts, answer.parts, true);
    if (gold.kind === "difference" && answer.kind === "difference") {
      return this.same(gold.whole, answer.whole) && this.same(gold.without, answer.without);
    }
    return false;
  }
}

/** The answer with another name for a symbol. */
function renamed(answer: Answer, from: string, to: string): Answer {
  if (answer.kind === "list") return { ...answer, items: answer.items.map((item) => renamed(item, from, to)) };
  if (answer.kind === "relation") return { ...answer, sides: answer.sides.map((side) => renamed(side, from, to)) };
  if (answer.kind !== "expression" || (from !== to && symbolsOf(answer.node).includes(to))) return answer;
  const node = substituted(answer.node, (part) =>
    part.kind === "symbol" && part.name === from ? { kind: "symbol", name: to } : undefined,
  );
  return { ...answer, node };
}

const isCollection = (answer: Answer) => ["list", "set", "tuple"].includes(answer.kind);

/** "2 or 3", "x = 2 or x = 3": two values, no point. */
const areAlternatives = (answer: Answer): boolean =>
  hasTargets(answer) || (answer.kind === "list" && answer.joint === "or");

const isRatio = (answer: Answer): boolean => answer.kind === "tuple" && answer.isRatio === true;

/** `3:4`, which is no time of day. */
const isPlainRatio = (answer: Answer): boolean =>
  answer.kind === "expression" && answer.isRatio === true && answer.minutes === undefined;

/** `(1, 2)`: what a list may be compared with in its order; `(1, 2]` is an interval. */
const isPoint = ({ open, close }: Tuple): boolean => open === "(" && close === ")";

/** `(1, 2)` or `[1, 2]`: what a vector may be written as. */
const isClosedAlike = (tuple: Tuple): boolean => isPoint(tuple) || (tuple.open === "[" && tuple.close === "]");

/** The symbols that relations are about; empty where there are none. */
function relatedSymbols(answer: Answer): string {
  if (isBag(answer)) return [...new Set(answer.items.map(relatedSymbols))].sort().join();
  if (answer.kind !== "relation" || answer.bound !== undefined) return "";
  return symbolsOf(...answer.sides.flatMap((side) => (side.kind === "expression" ? [side.node] : []))).join();
}

/** The item of a collection of one, `{5}`; a tuple has several. */
function onlyItem(answer: Answer): Answer | undefined {
  return isBag(answer) && answer.items.length === 1 ? answer.items[0] : undefined;
}

const MIRROR: Readonly<Record<string, string>> = { "<": ">", "<=": ">=", ">": "<", ">=": "<=" };

/** The same relation from right to left. */
function mirrored({ relations, sides }: Relation): Pick<Relation, "relations" | "sides"> {
  const turned = [...relations].reverse().map((name) => (MIRROR[name] ?? name) as Relation["relations"][number]);
  return turned.includes("in") ? { relations: [], sides: [] } : { relations: turned, sides: [...sides].reverse() };
}

/** left − right, with `>` turned into `<`. */
function ascending({
  relations,
  sides,
}: Relation): { readonly relation: string; readonly difference: Node } | undefined {
  const [left, right] = sides;
  if (relations.length !== 1 || left?.kind !== "expression" || right?.kind !== "expression") return undefined;
  if (left.unit || right.unit || left.percent || right.percent) return undefined;
  const relation = relations[0]!;
  if (relation === "in" || relation === "approx") return undefined;
  if (!relation.startsWith(">")) return { relation, difference: zeroForm(left.node, right.node) };
  return { relation: relation.replace(">", "<"), difference: zeroForm(right.node, left.node) };
}

function sameWords(gold: string, answer: string): boolean {
  // The sign of f^{-1} and the point of 3.5 are no punctuation.
  const bare = (text: string) => text.replace(/(?!-\d|(?<=\d)\.\d)[\s\p{P}]/gu, "");
  return gold === answer || bare(gold) === bare(answer);
}
