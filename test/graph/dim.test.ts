import { describe, expect, it } from "vitest";
import { GraphError } from "../../src/errors.ts";
import {
  broadcastShapes,
  type Dim,
  dimAdd,
  dimMultiply,
  evaluateDim,
  isSizeName,
  sameShape,
  shapeSize,
  showShape,
} from "../../src/graph/dim.ts";

const sizes = new Map([
  ["B", 2],
  ["P", 5],
  ["R", 3],
]);

describe("dimensions", () => {
  it.each<[Dim, Dim, Dim, Dim]>([
    [2, 3, 5, 6],
    ["B", 0, "B", 0],
    ["B", 1, "1+B", "B"],
    ["B", "B", "2*B", "B*B"],
    ["R", "P", "P+R", "P*R"],
    ["P*R", "R*P", "2*P*R", "P*P*R*R"],
    ["1+B", "2+P", "3+B+P", "2+2*B+B*P+P"],
    ["2*B", 3, "3+2*B", "6*B"],
  ])("%s and %s: the sum is %s, the product %s", (a, b, sum, product) => {
    expect([dimAdd(a, b), dimAdd(b, a)]).toEqual([sum, sum]);
    expect([dimMultiply(a, b), dimMultiply(b, a)]).toEqual([product, product]);
  });

  it("make a ring: products distribute over sums, for polynomials that cancel nothing", () => {
    const dims: Dim[] = [0, 1, 4, "B", "P*R", "1+B", "B+P*R"];
    for (const a of dims) {
      for (const b of dims) {
        for (const c of dims) {
          expect(dimMultiply(a, dimAdd(b, c))).toBe(dimAdd(dimMultiply(a, b), dimMultiply(a, c)));
          expect(dimAdd(dimAdd(a, b), c)).toBe(dimAdd(a, dimAdd(b, c)));
        }
      }
    }
  });

  it("evaluate as their polynomials do", () => {
    expect(evaluateDim(7, sizes)).toBe(7);
    expect(evaluateDim("B", sizes)).toBe(2);
    expect(evaluateDim("2+2*B+B*P+P", sizes)).toBe(2 + 4 + 10 + 5);
    expect(evaluateDim(dimMultiply(dimAdd("P", "R"), dimAdd("P", "R")), sizes)).toBe(64);
  });

  it("cannot be evaluated while a size is not bound, and say which", () => {
    expect(() => evaluateDim("B*Q", sizes)).toThrow(new GraphError("the size Q is bound by no input"));
  });

  it.each(["B-1", "B/2", "", "2.5", "B P", "B**2", "-1"])("%j is none: GraphError", (dim) => {
    expect(() => dimAdd(dim, 1)).toThrow(GraphError);
  });

  it("are names only where they are one name", () => {
    expect(["B", "B*P", "B+1", "2*B", 4].map((dim) => isSizeName(dim))).toEqual([true, false, false, false, false]);
  });
});

describe("shapes", () => {
  it("have a size and a way to be shown", () => {
    expect(shapeSize([])).toBe(1);
    expect(shapeSize(["B", 3, "P", 2])).toBe("6*B*P");
    expect(shapeSize(["B", 0])).toBe(0);
    expect(showShape(["B", 3])).toBe("[B, 3]");
  });

  it("are the same only where that is certain", () => {
    expect(sameShape(["B", 3], ["B", 3])).toBe(true);
    expect(sameShape(["B", 3], ["P", 3])).toBe(false);
    expect(sameShape(["B"], ["B", 1])).toBe(false);
  });

  it.each([
    [[], [2, 3], [2, 3]],
    [
      ["B", 1, 4],
      ["P", 1],
      ["B", "P", 4],
    ],
    [[5], ["B", 5], ["B", 5]],
    [[1], ["B"], ["B"]],
  ] as Dim[][][])("%j and %j broadcast to %j", (a, b, result) => {
    expect(broadcastShapes(a!, b!)).toEqual(result);
    expect(broadcastShapes(b!, a!)).toEqual(result);
  });

  it.each([
    [[2], [3]],
    [["B"], ["P"]],
    [["B"], [2]],
  ] as Dim[][][])("%j and %j do not broadcast: GraphError", (a, b) => {
    expect(() => broadcastShapes(a!, b!)).toThrow(GraphError);
  });
});
