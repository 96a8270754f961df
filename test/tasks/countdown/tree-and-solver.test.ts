import { describe, expect, test } from "vitest";
import { parseExpression } from "../../../src/expression/parse.ts";
import { formatRational, type Rational, ratio, whole } from "../../../src/expression/rational.ts";
import { solve } from "../../../src/tasks/countdown/solver.ts";
import {
  commutedKey,
  drawTree,
  evaluateTree,
  formatSteps,
  formatTree,
  type Tree,
  treeOfPostfix,
} from "../../../src/tasks/countdown/tree.ts";
import { Draws } from "../../../src/tasks/draws.ts";

function treeOf(text: string): Tree {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return treeOfPostfix(parsed.postfix);
}

function show(value: Rational | undefined): string {
  return value === undefined ? "none" : formatRational(value);
}

describe("trees", () => {
  test("formatting keeps a parsed tree's value and form", () => {
    for (const text of ["(6*3)+3", "3*(6*3)", "((1+2)-3)/(4*5)", "8-(2-1)", "(8-2)-1"]) {
      expect(formatTree(treeOf(text))).toBe(text);
    }
    expect(formatTree(treeOf("8-2-1*3"))).toBe("(8-2)-(1*3)");
  });

  test("every drawn tree uses every number once, and text and tree have the same value", () => {
    const draws = new Draws(1, "test", 0);
    for (let i = 0; i < 500; i++) {
      const tree = drawTree([7, 8, 9, 2, 2].slice(0, draws.between(2, 5)), draws);
      const parsed = parseExpression(formatTree(tree));
      const value = evaluateTree(tree);
      if (parsed.ok) expect(show(value)).toBe(formatRational(parsed.value));
      else expect([parsed.reason, value]).toEqual(["divides by zero", undefined]);
    }
  });

  test("steps carry out one innermost operation at a time, left to right", () => {
    expect(formatSteps(treeOf("(6*3)+3"))).toBe("(6*3)+3=18+3=21");
    expect(formatSteps(treeOf("3*(6*3)"))).toBe("3*(6*3)=3*18=54");
    expect(formatSteps(treeOf("(8/2)*(9-7)"))).toBe("(8/2)*(9-7)=4*(9-7)=4*2=8");
    expect(() => formatSteps(treeOf("3-5"))).toThrow("3-5 = -2 has no place in a trace");
    expect(() => formatSteps(treeOf("3/5"))).toThrow("3/5 = 3/5 has no place in a trace");
  });

  test.each([
    ["(6*3)+3", { min: 0, max: 99, integersOnly: true }, "21"],
    ["(60*3)/30", { min: 0, max: 99, integersOnly: true }, "none"],
    ["(3-6)+9", { min: 0, max: 99, integersOnly: true }, "none"],
    ["(3/6)*4", { min: 0, max: 99, integersOnly: true }, "none"],
    ["(3/6)*4", { integersOnly: false }, "2"],
    ["(3-6)+9", { integersOnly: true }, "6"],
  ])("the rule holds on the way: %s under %j is %s", (text, rule, value) => {
    expect(show(evaluateTree(treeOf(text), rule))).toBe(value);
  });

  test("a division by zero has no value, with a rule or without", () => {
    const tree: Tree = { operator: "/", left: 5, right: { operator: "-", left: 3, right: 3 } };
    expect(evaluateTree(tree)).toBeUndefined();
    expect(evaluateTree(tree, { integersOnly: false })).toBeUndefined();
  });

  test("commutedKey is equal where only operands of + and * are swapped", () => {
    expect(commutedKey(treeOf("3*(6+2)"))).toBe(commutedKey(treeOf("(2+6)*3")));
    expect(commutedKey(treeOf("3-(6+2)"))).not.toBe(commutedKey(treeOf("(6+2)-3")));
    expect(commutedKey(treeOf("(1+2)+3"))).not.toBe(commutedKey(treeOf("1+(2+3)")));
  });
});

describe("solver", () => {
  test("finds all solutions of a small game, each once", () => {
    expect(solve([6, 3, 3], whole(54)).map(formatTree).sort()).toEqual(["3*(6*3)", "6*(3*3)"]);
    expect(solve([1, 1], whole(1)).map(formatTree).sort()).toEqual(["1*1", "1/1"]);
    expect(solve([5], whole(5))).toEqual([5]);
    expect(solve([], whole(5))).toEqual([]);
  });

  test("is exact with fractions on the way: 8 / (3 − 8/3) = 24", () => {
    const solutions = solve([3, 3, 8, 8], whole(24));
    expect(new Set(solutions.map(formatTree))).toEqual(new Set(["8/(3-(8/3))"]));
    expect(solve([3, 3, 8, 8], whole(24), { rule: { integersOnly: true } })).toEqual([]);
    expect(solve([1, 3], ratio(1n, 3n)).map(formatTree)).toEqual(["1/3"]);
  });

  test("says so where there is none, and stops at the limit", () => {
    expect(solve([1, 1, 1], whole(50))).toEqual([]);
    expect(solve([4, 3, 2, 1], whole(10), { limit: 2 })).toHaveLength(2);
  });

  test("agrees with trying every drawn expression: what a draw reaches has a solution", () => {
    const draws = new Draws(5, "test", 1);
    for (let i = 0; i < 200; i++) {
      const numbers = [draws.between(1, 30), draws.between(1, 30), draws.between(1, 30)];
      const target = evaluateTree(drawTree(numbers, draws));
      if (target === undefined) continue;
      const solutions = solve(numbers, target);
      expect(solutions.length).toBeGreaterThan(0);
      for (const solution of solutions) expect(show(evaluateTree(solution))).toBe(formatRational(target));
    }
  });
});
