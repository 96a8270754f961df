/** What operations write their ONNX nodes to. */

import type { Shape } from "./dim.ts";
import type { LoweringTarget } from "./target.ts";
import type { ConstantData, TensorType } from "./tensor-type.ts";

type NamedType = TensorType & { readonly name: string };

/** A value of a node's attribute. */
export type Attribute = number | bigint | string | readonly number[] | Subgraph;

/** The body of a control-flow node: made by `Emitter.subgraph`, and an attribute of the node that runs it. */
export interface Subgraph {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly NamedType[];
  readonly outputs: readonly NamedType[];
}

/** One node of an ONNX model. */
export interface OnnxNode {
  readonly type: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** A number is a float attribute, a bigint an integer, a list of numbers a list of integers, a subgraph a graph. */
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** What operations write their ONNX nodes to. */
export interface Emitter {
  /** What is lowered for. */
  readonly target: LoweringTarget;
  /** Adds a node and returns the names of its outputs; an empty input name is an absent optional input. */
  node(
    type: string,
    inputs: readonly string[],
    options?: { outputs?: number; microsoft?: boolean; attributes?: Readonly<Record<string, Attribute>> },
  ): string[];
  /** The name of an initializer with these values; equal constants share one. */
  constant(data: ConstantData, shape: readonly number[]): string;
  /** The name of a one-dimensional int64 tensor with the value of each dimension. */
  shape(dims: Shape): string;
  /**
   * A body with inputs of these types: `build` gets an emitter of the body's nodes and the names of the inputs, and
   * returns what the body results in, by name. A body's nodes may read every name of the graph around it.
   */
  subgraph(
    inputs: readonly TensorType[],
    build: (body: Emitter, inputs: readonly string[]) => readonly (TensorType & { readonly name: string })[],
  ): Subgraph;
}
