/** What the nodes of a traced loss come to besides arrays: Python's numbers, texts, lists and slices, and dtypes. */

import { RequestFailure } from "../refusal.ts";
import { LossArray, type LossDType } from "./loss-array.ts";

/** An int or a float of Python; 1.0 is another number than 1. */
export class PythonNumber {
  readonly value: number;
  readonly isFloat: boolean;

  /** Throws RequestFailure for an int that is none, as 10**400 is where all numbers are held in double precision. */
  constructor(value: number, isFloat: boolean) {
    if (!isFloat && !Number.isInteger(value)) throw new RequestFailure(`comes to ${value}, not to a whole number.`);
    this.value = value;
    this.isFloat = isFloat;
  }
}

/** `start:stop:step`. */
export class PythonSlice {
  readonly start: LossValue;
  readonly stop: LossValue;
  readonly step: LossValue;

  constructor(start: LossValue, stop: LossValue, step: LossValue) {
    this.start = start;
    this.stop = stop;
    this.step = step;
  }
}

/** A dtype as a value. */
export class TorchDType {
  readonly name: LossDType;

  constructor(name: LossDType) {
    this.name = name;
  }
}

/** A device, a layout or a memory format: there is one of each here, so they are passed over. */
export class TorchPlace {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** `...` in an index. */
export class PythonEllipsis {}

/** Whatever a node comes to. */
export type LossValue =
  | LossArray
  | PythonNumber
  | PythonSlice
  | TorchDType
  | TorchPlace
  | PythonEllipsis
  | boolean
  | string
  | null
  | readonly LossValue[]
  | ReadonlyMap<string, LossValue>;

/** An int of Python. */
export const pythonInt = (value: number): PythonNumber => new PythonNumber(value, false);

/** What a value is, for messages. */
export function describeValue(value: LossValue): string {
  if (value instanceof LossArray) return `an array of ${value.dtype} [${value.shape.join(", ")}]`;
  if (value instanceof PythonNumber) return `the number ${value.value}`;
  if (value instanceof PythonSlice) return "a slice";
  if (value instanceof TorchDType) return `torch.${value.name}`;
  if (value instanceof TorchPlace) return value.name;
  if (value instanceof PythonEllipsis) return "...";
  if (value === null) return "None";
  if (typeof value === "string") return JSON.stringify(value.slice(0, 50));
  if (typeof value === "boolean") return value ? "True" : "False";
  return value instanceof Map ? "a dict" : "a list";
}

/** The int that a value is. Throws RequestFailure. */
export function integerOf(value: LossValue, what: string): number {
  if (value instanceof PythonNumber && Number.isInteger(value.value) && !value.isFloat) return value.value;
  if (value instanceof LossArray && value.values.length === 1 && value.dtype.startsWith("int")) return value.values[0]!;
  if (typeof value === "boolean") return value ? 1 : 0;
  throw new RequestFailure(`takes a whole number as ${what}, not ${describeValue(value)}.`);
}

/** The number that a value is. Throws RequestFailure. */
export function numberOf(value: LossValue, what: string): PythonNumber {
  if (value instanceof PythonNumber) return value;
  if (typeof value === "boolean") return pythonInt(value ? 1 : 0);
  if (value instanceof LossArray && value.values.length === 1) return new PythonNumber(value.values[0]!, value.isFloat);
  throw new RequestFailure(`takes a number as ${what}, not ${describeValue(value)}.`);
}

/** An array; a number is one without dimensions. Throws RequestFailure for anything else. */
export function arrayOf(value: LossValue, what: string): LossArray {
  if (value instanceof LossArray) return value;
  const isPython = { isPython: true };
  if (typeof value === "boolean") return new LossArray("bool", [], Float64Array.of(value ? 1 : 0), isPython);
  if (value instanceof PythonNumber) {
    return new LossArray(value.isFloat ? "float32" : "int64", [], Float64Array.of(value.value), isPython);
  }
  throw new RequestFailure(`takes an array as ${what}, not ${describeValue(value)}.`);
}
