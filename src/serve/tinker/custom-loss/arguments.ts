/** The arguments of a call in a traced loss: told apart by the operation's parameters, and read as what they have to be. */

import { RequestFailure } from "../refusal.ts";
import { axisNumber, type LossArray, type LossDType, type Tape } from "./loss-array.ts";
import { arrayOf, describeValue, integerOf, type LossValue, numberOf, TorchDType } from "./python-values.ts";
import { allAxes, type Reduced } from "./reductions.ts";

/** The parameters of an operation. */
export interface Parameters {
  /** Those with a place, in this order. */
  readonly names: readonly string[];
  readonly required: number;
  /** Takes the arguments in the places behind the others. */
  readonly rest: string | undefined;
  /** Those that are given by name alone. */
  readonly keywords: readonly string[];
}

/** PyTorch takes NumPy's names too. */
const OTHER_NAMES: Readonly<Record<string, string>> = { axis: "dim", keepdims: "keepdim" };

/** Arguments without an effect here, where there is one device and one layout. */
const PASSED_OVER = ["_stacklevel", "device", "layout", "memory_format", "non_blocking", "copy", "pin_memory"];
/** Arguments that may be there if they say nothing. */
const TO_BE_UNSAID = ["out", "inplace", "size_average", "reduce", "weight", "pos_weight", "requires_grad"];

/** The parameters of a text such as "input, dim?, *sizes, dtype?": "?" for what may be absent. */
export function parametersOf(text: string): Parameters {
  const all = text.split(", ");
  const star = all.findIndex((name) => name.startsWith("*"));
  const places = star < 0 ? all : all.slice(0, star);
  const plain = (name: string) => name.replace("?", "");
  return {
    names: places.map(plain),
    required: places.filter((name) => !name.endsWith("?")).length,
    rest: star < 0 ? undefined : all[star]!.slice(1),
    keywords: star < 0 ? [] : all.slice(star + 1).map(plain),
  };
}

/** Which parameter each argument is for; `isUnsaid` is whether one says nothing. Throws RequestFailure for one too many, or too few. */
export function bindArguments<T>(
  { names, required, rest, keywords }: Parameters,
  places: readonly T[],
  named: ReadonlyMap<string, T>,
  isUnsaid: (value: T) => boolean,
): { readonly one: ReadonlyMap<string, T>; readonly rest: readonly T[] } {
  if (places.length > names.length && rest === undefined) {
    throw new RequestFailure(`takes ${names.length} arguments (${names.join(", ")}), not ${places.length}.`);
  }
  const one = new Map<string, T>();
  names.forEach((name, i) => {
    if (i < places.length) one.set(name, places[i]!);
  });
  let others = places.slice(names.length);
  for (const [given, value] of named) {
    const known = [...names, ...keywords];
    const name = known.includes(given) ? given : (OTHER_NAMES[given] ?? given);
    if (name === rest && others.length === 0) others = [value];
    else if (known.includes(name) && !one.has(name)) one.set(name, value);
    else if (PASSED_OVER.includes(given)) continue;
    else if (!TO_BE_UNSAID.includes(given) || !isUnsaid(value)) {
      throw new RequestFailure(`has no argument ${given} here, or it was given twice.`);
    }
  }
  const missing = names.slice(0, required).find((name) => !one.has(name));
  if (missing !== undefined) throw new RequestFailure(`has no argument ${missing}, which it needs.`);
  return { one, rest: others };
}

/** The arguments of one call as they were evaluated. */
export class CallArguments {
  readonly tape: Tape;
  /** Those behind the named ones; a list that stands alone there is these itself. */
  readonly rest: readonly LossValue[];
  readonly #one: ReadonlyMap<string, LossValue>;

  constructor(
    tape: Tape,
    { one, rest }: { readonly one: ReadonlyMap<string, LossValue>; readonly rest: readonly LossValue[] },
  ) {
    this.tape = tape;
    this.#one = one;
    this.rest = rest.length === 1 && Array.isArray(rest[0]) ? (rest[0] as readonly LossValue[]) : rest;
  }

  /** What was given; null where nothing was. */
  value(name: string): LossValue {
    return this.#one.get(name) ?? null;
  }

  has(name: string): boolean {
    return this.value(name) !== null;
  }

  /** An array; a number is one without dimensions. */
  array(name: string): LossArray {
    return arrayOf(this.value(name), name);
  }

  arrays(name: string): LossArray[] {
    const list = this.value(name);
    if (Array.isArray(list))
      return (list as readonly LossValue[]).map((value) => arrayOf(value, `an element of ${name}`));
    throw new RequestFailure(`takes a list of arrays as ${name}, not ${describeValue(list)}.`);
  }

  number(name: string, fallback?: number): number {
    return fallback !== undefined && !this.has(name) ? fallback : numberOf(this.value(name), name).value;
  }

  integer(name: string, fallback?: number): number {
    return fallback !== undefined && !this.has(name) ? fallback : integerOf(this.value(name), name);
  }

  flag(name: string, fallback = false): boolean {
    const value = this.value(name);
    if (value === null) return fallback;
    if (typeof value === "boolean") return value;
    throw new RequestFailure(`takes True or False as ${name}, not ${describeValue(value)}.`);
  }

  text(name: string, fallback: string): string {
    const value = this.value(name);
    if (value === null) return fallback;
    if (typeof value === "string") return value;
    throw new RequestFailure(`takes a text as ${name}, not ${describeValue(value)}.`);
  }

  /** Undefined where none was given. */
  dtype(name = "dtype"): LossDType | undefined {
    const value = this.value(name);
    if (value === null) return undefined;
    if (value instanceof TorchDType) return value.name;
    throw new RequestFailure(`takes a dtype as ${name}, not ${describeValue(value)}.`);
  }

  /** Whole numbers, one or a list of them. */
  integers(name: string): number[] {
    const value = this.value(name);
    return (Array.isArray(value) ? value : [value]).map((one: LossValue) => integerOf(one, name));
  }

  /** Whole numbers in the places behind the others. */
  restIntegers(what: string): number[] {
    return this.rest.map((value) => integerOf(value, what));
  }

  /** One axis of the array. */
  axis({ shape }: LossArray, fallback?: number, name = "dim"): number {
    return axisNumber(this.integer(name, fallback), shape.length);
  }

  /** The axes that go; all where none is named. */
  reduced(x: LossArray): Reduced {
    const named = this.value("dim");
    const keeps = this.flag("keepdim");
    if (named === null || (Array.isArray(named) && named.length === 0)) return { ...allAxes(x), keeps };
    const axes = this.integers("dim").map((axis) => axisNumber(axis, x.shape.length));
    if (new Set(axes).size < axes.length) throw new RequestFailure("names a dimension twice.");
    return { axes: x.shape.length === 0 ? [] : axes, keeps };
  }
}
