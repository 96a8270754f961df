/**
 * Symbolic tensors. A `Tensor` is a value in a computation that has not run: a dtype, a shape, and the node that makes
 * it. Operations (`ops/`) make nodes; `gradient.ts` walks them backwards; `onnx.ts` writes them as an ONNX model.
 *
 * What it is not: an eager array library. Nothing here holds numbers except small constants.
 */

import { GraphError } from "../errors.ts";
import { type Shape, sameShape, showShape } from "./dim.ts";
import type { Emitter } from "./emitter.ts";
import { type ConstantData, type DType, type FloatDType, isHalf, type TensorType } from "./tensor-type.ts";

export interface Tensor extends TensorType {
  readonly graph: Graph;
  /** Unique in the graph and rising: a node's inputs have lower ids than its outputs. */
  readonly id: number;
  readonly node: GraphNode;
}

/**
 * An operation, all of it in one place: its shape rule is in the function that calls `graph.apply`, its gradient and its
 * ONNX lowering are here.
 */
export interface Operation {
  readonly name: string;
  /**
   * Its outputs consist of elements of its first operand (and of others), so that nothing is rounded: a tensor that is
   * held in 16 bits stays so.
   */
  readonly movesOnly?: true;
  /** It reads operands of 16 bits as they are held, where others read them widened (`target.ts`, `emulates`). */
  readonly readsHeld?: true;
  /**
   * Adds ONNX nodes for `node` and returns the names of its outputs; the name of an output that nothing reads
   * (`isRead`, one entry per output) may be empty.
   */
  readonly lower: (
    emit: Emitter,
    inputs: readonly string[],
    node: GraphNode,
    isRead: readonly boolean[],
  ) => readonly string[];
  /**
   * Given dL/d(output i) (undefined: zero), returns dL/d(input i) (undefined: none flows). Absent: not differentiable,
   * and asking for a gradient through it is an error. `wants[i]` is false where the gradient of input i is not needed.
   */
  readonly gradient?: (
    node: GraphNode,
    outputGradients: readonly (Tensor | undefined)[],
    wants: readonly boolean[],
  ) => readonly (Tensor | undefined)[];
}

export interface GraphNode {
  readonly operation: Operation;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

export interface GraphInput extends TensorType {
  readonly name: string;
  readonly tensor: Tensor;
}

/** The nodes of one computation and its named inputs. */
export class Graph {
  readonly inputs: GraphInput[] = [];
  readonly #constants = new Map<string, Tensor>();
  #nextId = 0;

  /** A named input, fed when the graph runs. A shape's bare names (`"B"`) are bound to the sizes of what is fed. */
  input(name: string, dtype: DType, shape: Shape): Tensor {
    if (this.inputs.some((input) => input.name === name)) throw new GraphError(`two inputs are named ${name}`);
    const [tensor] = this.apply(
      { name: `input ${name}`, movesOnly: true, lower: () => [name] },
      [],
      [{ dtype, shape }],
    );
    this.inputs.push({ name, dtype, shape, tensor: tensor! });
    return tensor!;
  }

  /** A float32 scalar. The same value twice is one tensor. */
  scalar(value: number): Tensor {
    return this.constant(Float32Array.of(value), []);
  }

  /** A small constant; its dtype follows from the array's kind. */
  constant(data: ConstantData, shape: readonly number[]): Tensor {
    const dtype: DType = data instanceof Float32Array ? "float32" : data instanceof Int32Array ? "int32" : "int64";
    const key = `${dtype} ${showShape(shape)} ${data.join(",")}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const operation: Operation = {
      name: "constant",
      lower: (emit) => [emit.constant(data, shape)],
      gradient: () => [],
    };
    const [tensor] = this.apply(operation, [], [{ dtype, shape }]);
    this.#constants.set(key, tensor!);
    return tensor!;
  }

  /** Records a node. Called by operations, which have checked shapes and dtypes. */
  apply(operation: Operation, inputs: readonly Tensor[], outputs: readonly TensorType[]): Tensor[] {
    for (const input of inputs) {
      if (input.graph !== this) throw new GraphError(`${operation.name}: an operand belongs to another graph`);
    }
    const tensors: Tensor[] = [];
    const node: GraphNode = { operation, inputs, outputs: tensors };
    for (const { dtype, shape } of outputs) tensors.push({ graph: this, id: this.#nextId++, dtype, shape, node });
    return tensors;
  }
}

/** Throws GraphError unless the tensors are float32. */
export function requireFloat(name: string, ...tensors: readonly Tensor[]): void {
  for (const { dtype, shape } of tensors) {
    if (dtype !== "float32") throw new GraphError(`${name} takes float32, not ${dtype} ${showShape(shape)}`);
  }
}

/** The one float dtype that all tensors have. Throws GraphError where they have none, or several. */
export function floatDTypeOf(name: string, ...tensors: readonly Tensor[]): FloatDType {
  const [first] = tensors;
  for (const { dtype, shape } of tensors) {
    if (dtype === first!.dtype && (dtype === "float32" || isHalf(dtype))) continue;
    const expected = isHalf(first!.dtype) ? first!.dtype : "float32";
    throw new GraphError(`${name} takes ${expected}, not ${dtype} ${showShape(shape)}`);
  }
  return first!.dtype as FloatDType;
}

/** Throws GraphError unless the two tensors have one shape. */
export function requireOneShape(name: string, a: Tensor, b: Tensor): void {
  if (sameShape(a.shape, b.shape)) return;
  throw new GraphError(`${name} takes two tensors of one shape, not ${showShape(a.shape)} and ${showShape(b.shape)}`);
}

/** Every node that the tensors depend on, operands before their users. */
export function nodesUpTo(...tensors: readonly Tensor[]): GraphNode[] {
  const seen = new Set<GraphNode>();
  const pending = tensors.map((tensor) => tensor.node);
  while (pending.length > 0) {
    const node = pending.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) pending.push(input.node);
  }
  return [...seen].sort((a, b) => a.outputs[0]!.id - b.outputs[0]!.id);
}
