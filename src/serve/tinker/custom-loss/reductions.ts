/** Operations of custom losses that bring many elements together: sums and what is made of them, extremes, running sums. */

import { RequestFailure } from "../refusal.ts";
import {
  ARITHMETIC,
  asDType,
  detach,
  FLOAT_FUNCTIONS,
  floatUnary,
  inPairs,
  KEEPING_FUNCTIONS,
  unary,
} from "./elementwise.ts";
import { inShape, LossArray, placesOf, sizeOfShape, stridesOf, sumDTypeOf, type Tape, take } from "./loss-array.ts";

/** Which axes go, and whether they stay with size 1. */
export interface Reduced {
  readonly axes: readonly number[];
  readonly keeps: boolean;
}

/** Where each element of an array comes to lie when axes go. */
interface Groups {
  readonly shape: readonly number[];
  /** For each element its group. */
  readonly places: Int32Array;
  readonly count: number;
  /** Elements of each. */
  readonly size: number;
}

function groupsOf(tape: Tape, { shape, values }: LossArray, { axes, keeps }: Reduced): Groups {
  const kept = shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const strides = stridesOf(kept).map((stride, axis) => (axes.includes(axis) ? 0 : stride));
  const count = sizeOfShape(kept);
  tape.spend(values.length + count);
  return {
    shape: keeps ? kept : shape.filter((_, axis) => !axes.includes(axis)),
    places: placesOf(shape, strides),
    count,
    size: axes.reduce((product, axis) => product * shape[axis]!, 1),
  };
}

/** The axes of all dimensions. */
export const allAxes = ({ shape }: LossArray): Reduced => ({ axes: shape.map((_, axis) => axis), keeps: false });

/** Sums of the elements that come together. */
export function sumOver(tape: Tape, x: LossArray, reduced: Reduced, dtype = sumDTypeOf(x.dtype)): LossArray {
  const { shape, places, count } = groupsOf(tape, x, reduced);
  const values = new Float64Array(count);
  for (let i = 0; i < places.length; i++) values[places[i]!]! += x.values[i]!;
  return tape.record(dtype, shape, values, [x], (gradient, [into]) => {
    for (let i = 0; i < places.length; i++) into![i]! += gradient[places[i]!]!;
  });
}

/** Means of them. Throws RequestFailure for what is no float. */
export function meanOver(tape: Tape, x: LossArray, reduced: Reduced): LossArray {
  if (!x.isFloat) throw new RequestFailure(`takes floats, not ${x.dtype}: convert with .float().`);
  const { size } = groupsOf(tape, x, reduced);
  return scaled(tape, sumOver(tape, x, reduced), 1 / size);
}

/** Products of them. */
export function product(tape: Tape, x: LossArray, reduced: Reduced): LossArray {
  const { shape, places, count } = groupsOf(tape, x, reduced);
  // Without the zeros, which are counted, so that each factor's slope is the product of the others.
  const others = new Float64Array(count).fill(1);
  const zeros = new Float64Array(count);
  for (let i = 0; i < places.length; i++) {
    if (x.values[i] === 0) zeros[places[i]!]!++;
    else others[places[i]!]! *= x.values[i]!;
  }
  const values = others.map((value, group) => (zeros[group] === 0 ? value : 0));
  return tape.record(sumDTypeOf(x.dtype), shape, values, [x], (gradient, [into]) => {
    for (let i = 0; i < places.length; i++) {
      const group = places[i]!;
      const own = x.values[i] === 0 ? 1 : 0;
      if (zeros[group] !== own) continue;
      into![i]! += (gradient[group]! * others[group]!) / (own ? 1 : x.values[i]!);
    }
  });
}

/** The largest or smallest elements. Equal ones share the gradient. */
export function extreme(tape: Tape, x: LossArray, reduced: Reduced, which: "max" | "min"): LossArray {
  const { shape, places, count } = groupsOf(tape, x, reduced);
  requireElements(x, count, places);
  const isBetter = betterOf(which);
  const values = new Float64Array(count).fill(which === "max" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY);
  for (let i = 0; i < places.length; i++) {
    if (isBetter(x.values[i]!, values[places[i]!]!)) values[places[i]!] = x.values[i]!;
  }
  return tape.record(x.dtype, shape, values, [x], (gradient, [into]) => {
    const ties = new Float64Array(count);
    for (let i = 0; i < places.length; i++) if (x.values[i] === values[places[i]!]) ties[places[i]!]!++;
    for (let i = 0; i < places.length; i++) {
      if (x.values[i] === values[places[i]!]) into![i]! += gradient[places[i]!]! / ties[places[i]!]!;
    }
  });
}

/** Where the first of the largest or smallest elements is along an axis, and these elements. */
export function extremeAlong(
  tape: Tape,
  x: LossArray,
  axis: number,
  keeps: boolean,
  which: "max" | "min",
): { readonly values: LossArray; readonly indices: LossArray } {
  const { shape, places, count } = groupsOf(tape, x, { axes: [axis], keeps });
  requireElements(x, count, places);
  const isBetter = betterOf(which);
  const best = new Int32Array(count).fill(-1);
  for (let i = 0; i < places.length; i++) {
    const group = places[i]!;
    if (best[group]! < 0 || isBetter(x.values[i]!, x.values[best[group]!]!)) best[group] = i;
  }
  const [stride, size] = [stridesOf(x.shape)[axis] ?? 1, x.shape[axis] ?? 1];
  const indices = Float64Array.from(best, (place) => Math.floor(place / stride) % size);
  return { values: take(tape, x, shape, best), indices: tape.constant("int64", shape, indices) };
}

/** Where the first of the largest or smallest of all elements is. */
export function extremePlace(tape: Tape, x: LossArray, which: "max" | "min"): LossArray {
  return extremeAlong(tape, inShape(tape, x, [x.values.length]), 0, false, which).indices;
}

/** How many elements are not 0. */
export function countNonzero(tape: Tape, x: LossArray, reduced: Reduced): LossArray {
  return sumOver(tape, asDType(tape, x, "bool"), reduced);
}

/** Whether any is not 0, or all are. */
export function anyOrAll(tape: Tape, x: LossArray, reduced: Reduced, which: "any" | "all"): LossArray {
  const { size } = groupsOf(tape, x, reduced);
  const { shape, values } = countNonzero(tape, x, reduced);
  const holds = (count: number) => (which === "any" ? count > 0 : count === size);
  return tape.constant(
    "bool",
    shape,
    values.map((count) => (holds(count) ? 1 : 0)),
  );
}

/** Σ(x − mean)² / (n − correction). */
export function variance(tape: Tape, x: LossArray, reduced: Reduced, correction: number): LossArray {
  const { size } = groupsOf(tape, x, reduced);
  const centred = inPairs(tape, x, meanOver(tape, x, { ...reduced, keeps: true }), ARITHMETIC.sub!);
  const squares = sumOver(tape, unary(tape, centred, KEEPING_FUNCTIONS.square!), reduced);
  return scaled(tape, squares, 1 / Math.max(size - correction, 0));
}

/** √x whose slope is 0 at 0, as that of standard deviations and norms. */
export function squareRootOfSum(tape: Tape, x: LossArray): LossArray {
  return floatUnary(tape, x, { value: Math.sqrt, slope: (_, y) => (y === 0 ? 0 : 0.5 / y) });
}

/** (Σ|x|ᵖ)^(1/p). Throws RequestFailure for a p other than 1, 2 and infinity. */
export function norm(tape: Tape, x: LossArray, reduced: Reduced, p: number): LossArray {
  const floats = asDType(tape, x, x.isFloat ? x.dtype : "float32");
  if (p === 2) return squareRootOfSum(tape, sumOver(tape, unary(tape, floats, KEEPING_FUNCTIONS.square!), reduced));
  const sizes = unary(tape, floats, KEEPING_FUNCTIONS.abs!);
  if (p === 1) return sumOver(tape, sizes, reduced);
  if (p === Number.POSITIVE_INFINITY) return extreme(tape, sizes, reduced, "max");
  throw new RequestFailure(`has norms of 1, 2 and infinity, not of ${p}.`);
}

/** ln Σ eˣ, the largest element taken out first. */
export function logSumExpOver(tape: Tape, x: LossArray, reduced: Reduced): LossArray {
  const floats = asDType(tape, x, x.isFloat ? x.dtype : "float32");
  const kept = { ...reduced, keeps: true };
  const largest = detach(extreme(tape, floats, kept, "max"), tape);
  const shift = new LossArray(
    largest.dtype,
    largest.shape,
    largest.values.map((value) => (Number.isFinite(value) ? value : 0)),
  );
  const powers = unary(tape, inPairs(tape, floats, shift, ARITHMETIC.sub!), FLOAT_FUNCTIONS.exp!);
  const logs = unary(tape, sumOver(tape, powers, kept), FLOAT_FUNCTIONS.log!);
  const all = inPairs(tape, logs, shift, ARITHMETIC.add!);
  return reduced.keeps
    ? all
    : inShape(
        tape,
        all,
        x.shape.filter((_, axis) => !reduced.axes.includes(axis)),
      );
}

/** x − ln Σ eˣ along an axis. */
export function logSoftmax(tape: Tape, x: LossArray, axis: number): LossArray {
  return inPairs(tape, x, logSumExpOver(tape, x, { axes: [axis], keeps: true }), ARITHMETIC.sub!);
}

/** Sums of the elements up to each, along an axis. */
export function runningSum(tape: Tape, x: LossArray, axis: number): LossArray {
  const [size, stride] = [x.shape[axis] ?? 1, stridesOf(x.shape)[axis] ?? 1];
  const isFirst = (i: number) => Math.floor(i / stride) % size === 0;
  tape.spend(x.values.length);
  const values = Float64Array.from(x.values);
  for (let i = 0; i < values.length; i++) if (!isFirst(i)) values[i]! += values[i - stride]!;
  return tape.record(sumDTypeOf(x.dtype), x.shape, values, [x], (gradient, [into]) => {
    const later = Float64Array.from(gradient);
    for (let i = later.length - 1; i >= 0; i--) {
      into![i]! += later[i]!;
      if (!isFirst(i)) later[i - stride]! += later[i]!;
    }
  });
}

/** Elements along an axis by size, and where each was; equal ones in their order. */
export function sortedAlong(
  tape: Tape,
  x: LossArray,
  axis: number,
  { descending, most }: { readonly descending: boolean; readonly most?: number },
): { readonly values: LossArray; readonly indices: LossArray } {
  const [size, stride] = [x.shape[axis] ?? 1, stridesOf(x.shape)[axis] ?? 1];
  const count = most ?? size;
  if (count < 0 || count > size) throw new RequestFailure(`asks for ${count} of ${size} elements.`);
  const shape = x.shape.length === 0 ? [] : x.shape.map((own, i) => (i === axis ? count : own));
  const strides = stridesOf(shape);
  // The larger the lines, the longer it takes to sort each element in.
  tape.spend((4 + 4 * Math.ceil(Math.log2(size + 1))) * x.values.length);
  const places = new Int32Array(sizeOfShape(shape));
  const indices = new Float64Array(places.length);
  const sign = descending ? -1 : 1;
  // The first element of each line, in the array and in the result.
  const lines = (all: readonly number[], by: readonly number[]) =>
    placesOf(
      all.map((own, i) => (i === axis ? Math.min(own, 1) : own)),
      by,
    );
  const starts = lines(x.shape, stridesOf(x.shape));
  lines(shape, strides).forEach((target, line) => {
    const start = starts[line]!;
    const valueAt = (i: number) => x.values[start + i * stride]!;
    const order = Array.from({ length: size }, (_, i) => i).sort((i, j) => sign * (valueAt(i) - valueAt(j)) || i - j);
    for (let i = 0; i < count; i++) {
      const at = target + i * (strides[axis] ?? 1);
      indices[at] = order[i]!;
      places[at] = start + order[i]! * stride;
    }
  });
  return { values: take(tape, x, shape, places), indices: tape.constant("int64", shape, indices) };
}

function scaled(tape: Tape, x: LossArray, factor: number): LossArray {
  return unary(tape, x, { value: (own) => own * factor, slope: () => factor });
}

/** NaN is larger and smaller than everything, as in PyTorch. */
function betterOf(which: "max" | "min"): (a: number, b: number) => boolean {
  const isBeyond = which === "max" ? (a: number, b: number) => a > b : (a: number, b: number) => a < b;
  return (a, b) => isBeyond(a, b) || (Number.isNaN(a) && !Number.isNaN(b));
}

function requireElements(x: LossArray, count: number, places: Int32Array): void {
  if (places.length > 0 || count === 0) return;
  throw new RequestFailure(`takes at least one element, not an array of [${x.shape.join(", ")}].`);
}
