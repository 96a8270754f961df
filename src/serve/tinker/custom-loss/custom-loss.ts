/** A custom loss that is evaluated: for one datum after another, with its slope by each log-probability, and its metrics. */

import { DTYPE, tensorNumbers, type WireDatum } from "../../../tinker/messages.ts";
import { RequestFailure } from "../refusal.ts";
import { CallArguments } from "./arguments.ts";
import { LossArray, RequestBudget, shapeText, Tape } from "./loss-array.ts";
import {
  describeValue,
  type LossValue,
  numberOf,
  PythonEllipsis,
  PythonNumber,
  PythonSlice,
  TorchDType,
  TorchPlace,
} from "./python-values.ts";
import { SharedLoop } from "./shared-loop.ts";
import type { TracedInput, TracedLoss, TracedValue } from "./traced-graph.ts";

/** What a loss came to, of all data. */
export interface CustomLossResult {
  readonly loss: number;
  /** By datum: d loss / d logprobs; nothing where no gradient was asked for. */
  readonly slopes: readonly Float32Array[];
  readonly metrics: ReadonlyMap<string, number>;
}

/**
 * Evaluates a loss for each datum and adds up. `logprobs` has one number for each position of each datum. Between two nodes
 * others get their turn, and the evaluation ends where the signal is aborted.
 *
 * @throws the signal's reason, and RequestFailure for inputs that are missing or of another rank, for a node that cannot be computed, and for a loss that
 * is no finite number, or not a scalar, or has slopes that are not finite.
 */
export async function evaluateCustomLoss(
  loss: TracedLoss,
  data: readonly WireDatum[],
  logprobs: readonly ArrayLike<number>[],
  wantsGradient: boolean,
  { signal, budget = new RequestBudget() }: { readonly signal?: AbortSignal; readonly budget?: RequestBudget } = {},
): Promise<CustomLossResult> {
  const { pause } = new SharedLoop(signal);
  let total = 0;
  const slopes: Float32Array[] = [];
  const sums = new Map<string, number>([...loss.metrics.keys()].map((key) => [key, 0]));
  for (const [i, datum] of data.entries()) {
    await pause();
    const one = { datum, logprobs: logprobs[i]!, what: `Datum ${i}` };
    const own = await evaluateDatum(loss, one, wantsGradient, new Tape(budget), pause);
    total += own.loss;
    if (own.slopes) slopes.push(own.slopes);
    for (const [key, value] of own.metrics) sums.set(key, sums.get(key)! + value);
  }
  const metrics = [...sums].map(([key, sum]) => [key, key.endsWith(":mean") ? sum / data.length : sum] as const);
  return { loss: total, slopes, metrics: new Map(metrics) };
}

interface DatumResult {
  readonly loss: number;
  readonly slopes: Float32Array | undefined;
  readonly metrics: ReadonlyMap<string, number>;
}

interface EvaluatedDatum {
  readonly datum: WireDatum;
  readonly logprobs: ArrayLike<number>;
  /** How messages call it. */
  readonly what: string;
}

async function evaluateDatum(
  { name, inputs, calls, loss, metrics }: TracedLoss,
  { datum, logprobs, what }: EvaluatedDatum,
  wantsGradient: boolean,
  tape: Tape,
  pause: () => Promise<void>,
): Promise<DatumResult> {
  const variable = tape.variable([logprobs.length], Float64Array.from(logprobs));
  const values: LossValue[] = [variable, ...inputs.slice(1).map((input) => inputOf(tape, datum, input, what))];
  const refuse = (problem: string): never => {
    throw new RequestFailure(`${what}: the custom loss ${JSON.stringify(name)} ${problem}`);
  };
  for (const call of calls) {
    await pause();
    const one = new Map([...call.one].map(([key, value]) => [key, evaluatedArgument(value, values)]));
    const rest = call.rest.map((value) => evaluatedArgument(value, values));
    try {
      values.push(call.operation.run(new CallArguments(tape, { one, rest })));
    } catch (error) {
      if (error instanceof RequestFailure) refuse(`cannot be computed: its node ${call.what} ${error.message}`);
      throw error;
    }
  }
  const result = scalarLoss(values[loss]!, refuse);
  return {
    loss: result.values[0]!,
    slopes: wantsGradient ? slopesOf(await tape.gradient(result, variable, pause), refuse) : undefined,
    metrics: new Map([...metrics].map(([key, node]) => [key, metricOf(values[node]!, key, refuse)])),
  };
}

function slopesOf(gradient: Float64Array | undefined, refuse: (problem: string) => never): Float32Array {
  if (gradient === undefined) return refuse("does not depend on logprobs, so it has no gradient.");
  const slopes = Float32Array.from(gradient);
  const bad = slopes.findIndex((slope) => !Number.isFinite(slope));
  if (bad < 0) return slopes;
  return refuse(`has the slope ${slopes[bad]} at position ${bad}; limit what goes into exp, log and divisions.`);
}

function scalarLoss(value: LossValue, refuse: (problem: string) => never): LossArray {
  if (!(value instanceof LossArray)) return refuse(`comes to ${describeValue(value)}, not to an array.`);
  if (value.shape.length > 0) return refuse(`comes to the shape ${shapeText(value.shape)}; a loss is a scalar.`);
  if (!value.isFloat) return refuse(`comes to a number of ${value.dtype}; a loss is a float.`);
  if (!Number.isFinite(value.values[0]!)) return refuse(`comes to ${value.values[0]}; a loss is a finite number.`);
  return value;
}

function metricOf(value: LossValue, key: string, refuse: (problem: string) => never): number {
  try {
    return numberOf(value, "a metric").value;
  } catch {
    return refuse(`has the metric ${key} as ${describeValue(value)}; a metric is a scalar.`);
  }
}

/** What the datum has under the name of an input. */
function inputOf(tape: Tape, datum: WireDatum, { name, rank }: TracedInput, what: string): LossArray {
  const tensor = datum.lossFnInputs.get(name);
  if (tensor === undefined) {
    const found = [...datum.lossFnInputs.keys()].join(", ") || "nothing";
    throw new RequestFailure(
      `${what} has no ${name} in its loss_fn_inputs, which the custom loss takes, but ${found}.`,
    );
  }
  const { values, shape } = tensorNumbers(tensor, `${name} of ${what}`);
  // Neither a scalar nor a tensor whose shape was not said has dimensions on the wire.
  const isUnsaid = tensor.shape.length === 0;
  const own = isUnsaid && rank === 0 && values.length === 1 ? [] : shape;
  if (own.length !== rank) {
    throw new RequestFailure(
      `${name} of ${what} has the shape ${shapeText(own)}; the custom loss takes ${rank} dimensions of it.`,
    );
  }
  const dtype = tensor.dtype === DTYPE.int64 ? "int64" : tensor.dtype === DTYPE.int32 ? "int32" : "float32";
  tape.spend(values.length);
  return tape.constant(dtype, own, Float64Array.from(values));
}

/** An argument with its references made out. */
function evaluatedArgument(argument: TracedValue, nodes: readonly LossValue[]): LossValue {
  switch (argument.kind) {
    case "reference":
      return nodes[argument.node]!;
    case "number":
      return new PythonNumber(argument.value, argument.isFloat);
    case "constant":
      return argument.value;
    case "list":
      return argument.values.map((value) => evaluatedArgument(value, nodes));
    case "dict":
      return new Map([...argument.entries].map(([key, value]) => [key, evaluatedArgument(value, nodes)]));
    case "slice": {
      const [start, stop, step] = argument.bounds.map((bound) => evaluatedArgument(bound, nodes));
      return new PythonSlice(start!, stop!, step!);
    }
    case "dtype":
      return new TorchDType(argument.dtype);
    case "place":
      return new TorchPlace(argument.name);
    case "ellipsis":
      return new PythonEllipsis();
    default:
      return argument satisfies never;
  }
}
