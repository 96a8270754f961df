import { readdir } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { compile } from "../../src/compute/program.ts";
import { gradients } from "../../src/graph/gradient.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { multiply } from "../../src/graph/ops/elementwise.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import { array, type NumberArray, randomArray } from "./arrays.ts";
import { dataOf, device, difference, evaluate, feed } from "./evaluate.ts";
import type { OperationCase } from "./operation-case.ts";
import { NOT_DIFFERENTIABLE, OPERATION_CASES, TESTED_APART } from "./operation-cases.ts";

/** f32 rounds at 6e-8; sums of a dozen terms stay well within. */
const FORWARD_TOLERANCE = 2e-6;
/** Half of the step of the central difference, and what its truncation and f32's rounding leave. */
const STEP = 1e-2;
const GRADIENT_TOLERANCE = 2e-3;

function buildCase({ operands, apply }: OperationCase): { graph: Graph; tensors: Record<string, Tensor>; y: Tensor } {
  const graph = new Graph();
  const tensors = Object.fromEntries(
    Object.entries(operands).map(([name, { values, shape, dtype }]) => [
      name,
      graph.input(name, dtype ?? "float32", shape ?? values.dims),
    ]),
  );
  return { graph, tensors, y: apply(tensors) };
}

const valuesOf = ({ operands }: OperationCase): Record<string, NumberArray> =>
  Object.fromEntries(Object.entries(operands).map(([name, { values }]) => [name, values]));

describe("operations compute what plain JavaScript computes", () => {
  it.each(OPERATION_CASES.map((c) => [`${c.operation}: ${c.title}`, c] as const))("%s", async (_, operationCase) => {
    const { graph, y } = buildCase(operationCase);
    const expected = operationCase.reference(valuesOf(operationCase));
    const result = await evaluate(graph, { y }, valuesOf(operationCase));
    expect(difference(result.y, expected)).toBeLessThan(FORWARD_TOLERANCE);
  });
});

describe("gradients agree with central finite differences", () => {
  it.each(OPERATION_CASES.map((c) => [`${c.operation}: ${c.title}`, c] as const))("%s", async (_, operationCase) => {
    const { graph, tensors, y } = buildCase(operationCase);
    const names = Object.keys(tensors).filter((name) => operationCase.operands[name]!.differentiable !== false);
    // A random projection makes a scalar whose gradient sees every element of y.
    const projection = randomArray(operationCase.reference(valuesOf(operationCase)).dims, 7);
    const loss = sum(multiply(y, graph.input("projection", "float32", y.shape)));
    const slopes = gradients(
      loss,
      names.map((name) => tensors[name]!),
    );
    const outputs = Object.fromEntries(names.map((name, i) => [`d ${name}`, slopes[i]!]));
    // With y, as in training: an operand of which the gradient needs only the shape is then still fed.
    const all: Record<string, Tensor> = { ...outputs, y };
    const analytic = await evaluate(graph, all, { ...valuesOf(operationCase), projection });

    const program = await compile(device, graph, { y });
    const feeds = new Map(
      Object.entries(operationCase.operands).map(([name, { values, dtype }]) => [name, feed(values, dtype)]),
    );
    const call = program.prepare(feeds);
    // Projected in double precision, so that the difference of two losses keeps y's own rounding only.
    const lossNow = async () => {
      await call.run();
      const data = dataOf(call.results.get("y")!);
      return projection.values.reduce((total, c, i) => total + c * (data[i] as number), 0);
    };
    for (const name of names) {
      const data = dataOf(feeds.get(name)!);
      const numeric: number[] = [];
      for (let i = 0; i < data.length; i++) {
        const original = data[i] as number;
        data[i] = original + STEP;
        const [above, high] = [await lossNow(), data[i] as number];
        data[i] = original - STEP;
        numeric.push((above - (await lossNow())) / (high - (data[i] as number)));
        data[i] = original;
      }
      const expected = array(operationCase.operands[name]!.values.dims, numeric);
      expect(difference(analytic[`d ${name}`]!, expected), `d ${name}`).toBeLessThan(GRADIENT_TOLERANCE);
    }
    call.dispose();
    program.dispose();
    for (const tensor of feeds.values()) tensor.dispose();
  });
});

describe("the list of cases", () => {
  it("has every exported operation, or says why it is not differentiable or where it is tested", async () => {
    const folder = new URL("../../src/graph/ops/", import.meta.url);
    const exported: string[] = [];
    for (const file of await readdir(folder)) {
      const module: Record<string, unknown> = await import(new URL(file, folder).href);
      exported.push(...Object.keys(module).filter((name) => typeof module[name] === "function"));
    }
    const listed = new Set([
      ...OPERATION_CASES.map(({ operation }) => operation),
      ...Object.keys(NOT_DIFFERENTIABLE),
      ...Object.keys(TESTED_APART),
    ]);
    expect([...listed].sort()).toEqual(exported.sort());
  });
});
