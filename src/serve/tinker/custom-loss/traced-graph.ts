/**
 * The graph of a custom loss as the official SDK uploads it: what torch.fx traced, node by node, in order. It is data: a node
 * names a placeholder, a function or a method, and nothing of it is ever executed by name. Here it is read within limits, and
 * checked: every call is one that is known (`operations.ts`) with arguments that fit its parameters, every reference goes
 * back, and the result is a loss with metrics.
 */

import { z } from "zod";
import { CUSTOM_LOSS_INPUTS } from "../../../tinker/requests.ts";
import { RequestFailure } from "../refusal.ts";
import { bindArguments } from "./arguments.ts";
import type { LossOperation } from "./calls.ts";
import { LOSS_DTYPES, type LossDType } from "./loss-array.ts";
import { LOSS_FUNCTIONS, LOSS_METHODS } from "./operations.ts";

/** Most nodes of a graph. */
const MOST_NODES = 2000;
/** Most arguments of a node, and entries of a list. */
const MOST_ARGUMENTS = 256;
/** Most nesting of an argument. */
const DEEPEST_ARGUMENT = 8;
/** Most metrics. */
const MOST_METRICS = 64;

/** Metrics are told from the trainer's own by their beginning, and say how they combine by their end. */
const METRIC_KEY = /^custom\/[a-z0-9_./-]{1,64}:(?:sum|mean)$/;

const name = z.string().min(1).max(128);
const argument = z.json();
const nodeSchema = z.strictObject({
  op: z.enum(["placeholder", "get_attr", "call_function", "call_method", "call_module", "output"]),
  name,
  target: z.string().min(1).max(256),
  args: z.array(argument).max(MOST_ARGUMENTS).default([]),
  kwargs: z.record(name, argument).default({}),
});
const requestSchema = z.object({
  name: z.string().min(1).max(200),
  inputs: CUSTOM_LOSS_INPUTS,
  graph: z.object({ format: z.literal(1).default(1), nodes: z.array(nodeSchema).min(1).max(MOST_NODES) }),
});
type WireNode = z.output<typeof nodeSchema>;

/** An argument as it stands in a graph; a reference is the number of a node before. */
export type TracedValue =
  | { readonly kind: "reference"; readonly node: number }
  | { readonly kind: "number"; readonly value: number; readonly isFloat: boolean }
  | { readonly kind: "constant"; readonly value: boolean | string | null }
  | { readonly kind: "list"; readonly values: readonly TracedValue[] }
  | { readonly kind: "dict"; readonly entries: ReadonlyMap<string, TracedValue> }
  | { readonly kind: "slice"; readonly bounds: readonly [TracedValue, TracedValue, TracedValue] }
  | { readonly kind: "dtype"; readonly dtype: LossDType }
  | { readonly kind: "place"; readonly name: string }
  | { readonly kind: "ellipsis" };

/** A node that calls something. */
export interface TracedCall {
  /** How messages call it. */
  readonly what: string;
  readonly operation: LossOperation;
  readonly one: ReadonlyMap<string, TracedValue>;
  readonly rest: readonly TracedValue[];
}

/** An input of the loss, by its place. */
export interface TracedInput {
  readonly name: string;
  readonly rank: number;
}

/** A loss that was checked. Node n is input n, or call n − (number of inputs). */
export interface TracedLoss {
  readonly name: string;
  /** `logprobs` first. */
  readonly inputs: readonly TracedInput[];
  readonly calls: readonly TracedCall[];
  /** The node that is the loss. */
  readonly loss: number;
  /** By their keys, the nodes that are the metrics. */
  readonly metrics: ReadonlyMap<string, number>;
}

/**
 * The loss that the text of a request uploads.
 *
 * @throws RequestFailure that names the node, and what is wrong with it.
 */
export function readTracedLoss(text: string): TracedLoss {
  const { success, data, error } = requestSchema.safeParse(JSON.parse(withMarkedFloats(text)));
  if (!success)
    throw new RequestFailure(`The custom loss is not of the expected form: ${z.prettifyError(error).slice(0, 1000)}`);
  return new GraphReader(data.name, data.inputs).read(data.graph.nodes);
}

/**
 * The JSON with floats that are whole numbers, as 1.0, in the form `{"float": "1.0"}`: Python tells 1.0 from 1, and with it
 * PyTorch what dtype a result has, which JavaScript's numbers do not.
 */
function withMarkedFloats(text: string): string {
  return text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) =>
    /^"|^-?\d+$/.test(token) ? token : `{"float":"${token}"}`,
  );
}

class GraphReader {
  readonly #name: string;
  readonly #inputs: readonly TracedInput[];
  readonly #numbers = new Map<string, number>();
  readonly #calls: TracedCall[] = [];
  #placeholders = 0;

  constructor(name: string, inputs: readonly TracedInput[]) {
    this.#name = name;
    this.#inputs = inputs;
  }

  read(nodes: readonly WireNode[]): TracedLoss {
    const [first] = this.#inputs;
    if (first?.name !== "logprobs") this.#refuse("takes logprobs as its first input");
    if (first!.rank !== 1) this.#refuse("has logprobs of two dimensions; this server has one target for each position");
    if (new Set(this.#inputs.map((input) => input.name)).size < this.#inputs.length) {
      this.#refuse("has two inputs of one name");
    }
    for (const [i, node] of nodes.entries()) {
      if (this.#numbers.has(node.name)) this.#fail(node, "has the name of a node before it");
      if (node.op === "output") {
        if (i < nodes.length - 1) this.#fail(node, "is an output, and nodes follow it");
        return this.#output(node);
      }
      if (node.op === "placeholder") this.#placeholder(node);
      else this.#call(node);
      this.#numbers.set(node.name, this.#numbers.size);
    }
    return this.#refuse("has no output at its end");
  }

  #placeholder(node: WireNode): void {
    const expected = this.#inputs[this.#placeholders++];
    if (this.#calls.length > 0) this.#fail(node, "is an input that comes after calls");
    if (node.target !== expected?.name) {
      this.#fail(node, `is not the next input, which is ${expected?.name ?? "none: all are there"}`);
    }
    if (node.args.length > 0) this.#fail(node, "is an input with a default; every input comes with the data");
  }

  #call(node: WireNode): void {
    if (this.#placeholders < this.#inputs.length) this.#fail(node, "comes before all inputs are there");
    if (node.op !== "call_function" && node.op !== "call_method") {
      this.#fail(node, `is a ${node.op}; a loss calls functions and methods alone`);
    }
    const operation = (node.op === "call_function" ? LOSS_FUNCTIONS : LOSS_METHODS).get(node.target);
    if (operation === undefined) {
      this.#fail(
        node,
        "is not among the operations that this server has. Pass the function itself, not its handle, to " +
          "forward_backward_custom: then the client computes it",
      );
    }
    if (node.op === "call_method" && node.args.length === 0) this.#fail(node, "is a method of nothing");
    const places = node.args.map((value) => this.#value(node, value));
    const named = new Map(Object.entries(node.kwargs).map(([key, value]) => [key, this.#value(node, value)]));
    try {
      const bound = bindArguments(operation.parameters, places, named, isUnsaid);
      this.#calls.push({ what: describeNode(node), operation, ...bound });
    } catch (error) {
      if (error instanceof RequestFailure) this.#fail(node, error.message.replace(/\.$/, ""));
      throw error;
    }
  }

  #output(node: WireNode): TracedLoss {
    if (this.#placeholders < this.#inputs.length) this.#fail(node, "comes before all inputs are there");
    const result = node.args.length === 1 ? this.#value(node, node.args[0]!) : undefined;
    const [loss, metrics] = result?.kind === "list" && result.values.length === 2 ? result.values : [];
    if (loss?.kind !== "reference" || metrics?.kind !== "dict") this.#fail(node, "is not (loss, metrics)");
    if (metrics.entries.size > MOST_METRICS) this.#fail(node, `has more than ${MOST_METRICS} metrics`);
    const nodes = new Map<string, number>();
    for (const [key, value] of metrics.entries) {
      if (!METRIC_KEY.test(key)) {
        this.#fail(node, `has the metric ${JSON.stringify(key)}; names are custom/<name>:sum or custom/<name>:mean`);
      }
      if (value.kind !== "reference") this.#fail(node, `has the metric ${key}, which no node computes`);
      nodes.set(key, value.node);
    }
    return { name: this.#name, inputs: this.#inputs, calls: this.#calls, loss: loss.node, metrics: nodes };
  }

  #value(node: WireNode, value: z.output<typeof argument>, depth = 0): TracedValue {
    if (depth > DEEPEST_ARGUMENT) this.#fail(node, `has arguments that are nested more than ${DEEPEST_ARGUMENT} deep`);
    const inner = (own: z.output<typeof argument>) => this.#value(node, own, depth + 1);
    const list = (own: readonly z.output<typeof argument>[]): TracedValue => {
      if (own.length > MOST_ARGUMENTS) this.#fail(node, `has a list of more than ${MOST_ARGUMENTS} elements`);
      return { kind: "list", values: own.map(inner) };
    };
    if (typeof value === "number") return { kind: "number", value, isFloat: !Number.isInteger(value) };
    if (value === null || typeof value !== "object") return { kind: "constant", value };
    if (Array.isArray(value)) return list(value);
    const [[form, content] = [], ...more] = Object.entries(value);
    if (form === undefined || more.length > 0) this.#fail(node, "has an argument that is no object of one key");
    switch (form) {
      case "ref":
        if (typeof content === "string" && this.#numbers.has(content)) {
          return { kind: "reference", node: this.#numbers.get(content)! };
        }
        return this.#fail(node, `refers to ${JSON.stringify(content)?.slice(0, 100)}, which no node before it is`);
      case "tuple":
        if (Array.isArray(content)) return list(content);
        break;
      case "dict":
        if (typeof content === "object" && content !== null && !Array.isArray(content)) {
          const entries = Object.entries(content).map(([key, own]) => [key, inner(own)] as const);
          return { kind: "dict", entries: new Map(entries) };
        }
        break;
      case "slice":
        if (Array.isArray(content) && content.length === 3) {
          return { kind: "slice", bounds: content.map(inner) as [TracedValue, TracedValue, TracedValue] };
        }
        break;
      case "ellipsis":
        return { kind: "ellipsis" };
      case "float": {
        const number = floatOf(content);
        if (number !== undefined) return { kind: "number", value: number, isFloat: true };
        break;
      }
      case "dtype": {
        const dtype = LOSS_DTYPES.find((own) => own === content);
        if (dtype) return { kind: "dtype", dtype };
        return this.#fail(node, `asks for the dtype ${JSON.stringify(content)}; known: ${LOSS_DTYPES.join(", ")}`);
      }
      case "device":
      case "layout":
      case "memory_format":
        if (typeof content === "string") return { kind: "place", name: content };
        break;
      default:
    }
    return this.#fail(node, `has an argument of the form ${JSON.stringify(form.slice(0, 50))}, which is not known`);
  }

  #fail(node: WireNode, problem: string): never {
    return this.#refuse(`cannot be taken: node ${describeNode(node)} ${problem}`);
  }

  #refuse(problem: string): never {
    throw new RequestFailure(`The custom loss ${JSON.stringify(this.#name)} ${problem}.`);
  }
}

const describeNode = ({ name: own, target, op }: WireNode) =>
  `${JSON.stringify(own)} (${op === "call_method" ? `the method ${target}` : target})`;

/** Whether an argument says nothing. */
const isUnsaid = (value: TracedValue) => value.kind === "constant" && (value.value === null || value.value === false);

function floatOf(content: unknown): number | undefined {
  if (typeof content !== "string") return undefined;
  if (content === "inf" || content === "-inf")
    return content === "inf" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  if (content === "nan") return Number.NaN;
  return /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(content) ? Number(content) : undefined;
}
