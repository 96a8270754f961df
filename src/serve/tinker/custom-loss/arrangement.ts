/** Operations of custom losses that view, pick or reorder elements and compute nothing. */

import { RequestFailure } from "../refusal.ts";
import {
  axisNumber,
  broadcastShape,
  inShape,
  LossArray,
  placesOf,
  promoted,
  shapeText,
  sizeOfShape,
  stridesOf,
  type Tape,
  take,
} from "./loss-array.ts";
import { describeValue, integerOf, type LossValue, PythonEllipsis, PythonSlice } from "./python-values.ts";

/** The shape with its −1, if it has one, made out. Throws RequestFailure where it does not fit. */
export function inNewShape(tape: Tape, x: LossArray, shape: readonly number[]): LossArray {
  const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const open = shape.filter((size) => size === -1).length;
  const own = open === 1 && known > 0 ? shape.map((size) => (size === -1 ? x.values.length / known : size)) : shape;
  if (open > 1 || own.some((size) => !Number.isInteger(size) || size < 0) || sizeOfShape(own) !== x.values.length) {
    throw new RequestFailure(`cannot make ${shapeText(x.shape)} into ${shapeText(shape)}.`);
  }
  return inShape(tape, x, own);
}

/** Axis i of the result is axis order[i] of x. */
export function permute(tape: Tape, x: LossArray, order: readonly number[]): LossArray {
  const axes = order.map((axis) => axisNumber(axis, x.shape.length));
  if (new Set(axes).size !== x.shape.length || axes.length !== x.shape.length) {
    throw new RequestFailure(`has ${shapeText(order)}, which is no order of the dimensions of ${shapeText(x.shape)}.`);
  }
  const strides = stridesOf(x.shape);
  const shape = axes.map((axis) => x.shape[axis]!);
  return view(
    tape,
    x,
    shape,
    axes.map((axis) => strides[axis]!),
  );
}

/** Broadcast to a shape, in which −1 leaves a size as it is. */
export function broadcastTo(tape: Tape, x: LossArray, sizes: readonly number[]): LossArray {
  const lead = sizes.length - x.shape.length;
  const shape = sizes.map((size, axis) => (size === -1 && axis >= lead ? x.shape[axis - lead]! : size));
  const fits = x.shape.every((size, axis) => size === 1 || size === shape[axis + lead]);
  if (lead < 0 || shape.some((size) => size < 0) || !fits) {
    throw new RequestFailure(`cannot broadcast ${shapeText(x.shape)} to ${shapeText(sizes)}.`);
  }
  const strides = stridesOf(x.shape);
  return view(
    tape,
    x,
    shape,
    shape.map((_, axis) => (axis < lead || x.shape[axis - lead] === 1 ? 0 : strides[axis - lead]!)),
  );
}

/** Without axes of size 1: those that are named, or all. */
export function squeeze(tape: Tape, x: LossArray, axes: readonly number[] | undefined): LossArray {
  const named = axes?.map((axis) => axisNumber(axis, x.shape.length));
  return inShape(
    tape,
    x,
    x.shape.filter((size, axis) => size !== 1 || named?.includes(axis) === false),
  );
}

/** With one more axis, of size 1. */
export function unsqueeze(tape: Tape, x: LossArray, axis: number): LossArray {
  const at = axisNumber(axis, x.shape.length + 1);
  return inShape(tape, x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** In the opposite order along axes. */
export function flip(tape: Tape, x: LossArray, axes: readonly number[]): LossArray {
  const flipped = axes.map((axis) => axisNumber(axis, x.shape.length));
  const strides = stridesOf(x.shape);
  const offset = flipped.reduce((sum, axis) => sum + strides[axis]! * ((x.shape[axis] ?? 1) - 1), 0);
  return view(
    tape,
    x,
    x.shape,
    strides.map((stride, axis) => (flipped.includes(axis) ? -stride : stride)),
    offset,
  );
}

/** Elements start, start + step, … before stop, along an axis. */
export function slice(tape: Tape, x: LossArray, axis: number, start: number, stop: number, step = 1): LossArray {
  const strides = stridesOf(x.shape);
  const size = Math.max(0, Math.ceil((stop - start) / step));
  return view(
    tape,
    x,
    x.shape.map((own, i) => (i === axis ? size : own)),
    strides.map((stride, i) => (i === axis ? stride * step : stride)),
    size === 0 ? 0 : start * strides[axis]!,
  );
}

/** One index along an axis, which goes. */
export function select(tape: Tape, x: LossArray, axis: number, index: number): LossArray {
  const at = indexIn(index, x.shape[axis] ?? 0);
  return inShape(
    tape,
    slice(tape, x, axis, at, at + 1),
    x.shape.filter((_, i) => i !== axis),
  );
}

/** Arrays one behind the other along an axis. Throws RequestFailure where the other sizes differ. */
export function concatenate(tape: Tape, arrays: readonly LossArray[], axis: number): LossArray {
  const [first] = arrays;
  if (first === undefined) throw new RequestFailure("takes at least one array.");
  const at = axisNumber(axis, first.shape.length);
  const fits = ({ shape }: LossArray) =>
    shape.length > 0 &&
    shape.length === first.shape.length &&
    shape.every((size, i) => i === at || size === first.shape[i]);
  if (!arrays.every(fits)) {
    throw new RequestFailure(
      `takes arrays that differ along one dimension alone, not ${arrays.map(({ shape }) => shapeText(shape)).join(", ")}.`,
    );
  }
  const all = joined(tape, arrays);
  const shape = first.shape.map((size, i) => (i === at ? arrays.reduce((sum, own) => sum + own.shape[at]!, 0) : size));
  if (at === 0 || all.values.length === 0) return inShape(tape, all, shape);
  // Where in the joined elements the rows of each array are.
  const outer = sizeOfShape(shape.slice(0, at));
  // Arrays without elements take their time in each row too.
  tape.spend(all.values.length + outer * arrays.length);
  const places = new Int32Array(all.values.length);
  let to = 0;
  for (let row = 0; row < outer; row++) {
    let offset = 0;
    for (const { values } of arrays) {
      const width = values.length / outer;
      for (let i = 0; i < width; i++) places[to++] = offset + row * width + i;
      offset += values.length;
    }
  }
  return take(tape, all, shape, places);
}

/** Arrays of one shape along a new axis. */
export function stack(tape: Tape, arrays: readonly LossArray[], axis: number): LossArray {
  return concatenate(
    tape,
    arrays.map((array) => unsqueeze(tape, array, axis)),
    axis,
  );
}

/** Rows along an axis by their numbers. */
export function indexSelect(tape: Tape, x: LossArray, axis: number, index: LossArray): LossArray {
  const at: LossValue[] = Array.from({ length: axis }, () => new PythonSlice(null, null, null));
  return elementsAt(tape, x, [...at, index]);
}

/** Along an axis the element that `index`, in the shape of the result, names. */
export function gather(tape: Tape, x: LossArray, axis: number, index: LossArray): LossArray {
  const fits = index.shape.every((size, i) => i === axis || size <= x.shape[i]!);
  if (index.shape.length !== x.shape.length || !fits) {
    throw new RequestFailure(`takes an index within ${shapeText(x.shape)}, not ${shapeText(index.shape)}.`);
  }
  requireWhole(index);
  const strides = stridesOf(x.shape);
  tape.spend(index.values.length);
  const places = placesOf(
    index.shape,
    strides.map((stride, i) => (i === axis ? 0 : stride)),
  );
  for (let i = 0; i < places.length; i++) {
    places[i]! += indexIn(index.values[i]!, x.shape[axis] ?? 1) * (strides[axis] ?? 1);
  }
  return take(tape, x, index.shape, places);
}

/** A constant around, by the widths before and behind, the last dimension first. */
export function pad(tape: Tape, x: LossArray, widths: readonly number[], fill: number): LossArray {
  if (widths.length % 2 !== 0 || widths.length > 2 * x.shape.length) {
    throw new RequestFailure(`takes two widths for each dimension of ${shapeText(x.shape)}, not ${widths.length}.`);
  }
  const before = x.shape.map((_, axis) => widths[2 * (x.shape.length - 1 - axis)] ?? 0);
  const behind = x.shape.map((_, axis) => widths[2 * (x.shape.length - 1 - axis) + 1] ?? 0);
  const shape = x.shape.map((size, axis) => size + before[axis]! + behind[axis]!);
  if (shape.some((size) => size < 0)) throw new RequestFailure(`leaves nothing of ${shapeText(x.shape)}.`);
  const strides = stridesOf(x.shape);
  const [steps, size] = [stridesOf(shape), sizeOfShape(shape)];
  tape.spend(size);
  const places = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    let place = 0;
    for (let axis = 0; axis < shape.length && place >= 0; axis++) {
      const at = (Math.floor(i / steps[axis]!) % shape[axis]!) - before[axis]!;
      place = at < 0 || at >= x.shape[axis]! ? -1 : place + at * strides[axis]!;
    }
    places[i] = place;
  }
  return take(tape, x, shape, places, fill);
}

/** x[…]: by ints, slices, None, …, masks, and arrays of ints that stand side by side. */
export function elementsAt(tape: Tape, x: LossArray, index: readonly LossValue[]): LossArray {
  let result = x;
  let axis = 0;
  /** Arrays, with the axes that each is an index of. */
  const arrays: { readonly index: LossArray; readonly axis: number }[] = [];
  const taken = index.reduce<number>((sum, at) => sum + axesTakenBy(at), 0);
  for (const at of index) {
    if (at === null) result = unsqueeze(tape, result, axis++);
    else if (at instanceof PythonEllipsis) axis += x.shape.length - taken;
    else if (axis >= result.shape.length) {
      throw new RequestFailure(`has ${taken} indices; its array has the shape ${shapeText(x.shape)}.`);
    } else if (at instanceof PythonSlice) {
      const [start, stop, step] = boundsOf(at, result.shape[axis]!);
      result = slice(tape, result, axis++, start, stop, step);
    } else if (at instanceof LossArray && at.dtype === "bool") {
      const merged = merge(tape, result, axis, at);
      result = merged.array;
      arrays.push({ index: merged.index, axis: axis++ });
    } else if (at instanceof LossArray && at.shape.length > 0) {
      requireWhole(at);
      arrays.push({ index: at, axis: axis++ });
    } else result = select(tape, result, axis, integerOf(at, "an index"));
  }
  return arrays.length === 0 ? result : atArrays(tape, result, arrays);
}

function axesTakenBy(at: LossValue): number {
  if (at === null || at instanceof PythonEllipsis) return 0;
  return at instanceof LossArray && at.dtype === "bool" ? at.shape.length : 1;
}

/** The axes that a mask is over as one, and the places in it where the mask holds. */
function merge(tape: Tape, x: LossArray, axis: number, mask: LossArray) {
  const covered = x.shape.slice(axis, axis + mask.shape.length);
  if (mask.shape.length === 0 || mask.shape.some((size, i) => size !== covered[i])) {
    throw new RequestFailure(`has a mask of ${shapeText(mask.shape)} for ${shapeText(covered)}.`);
  }
  const rest = x.shape.slice(axis + mask.shape.length);
  const array = inShape(tape, x, [...x.shape.slice(0, axis), mask.values.length, ...rest]);
  tape.spend(mask.values.length);
  const places = [...mask.values.keys()].filter((i) => mask.values[i] !== 0);
  return { array, index: tape.constant("int64", [places.length], Float64Array.from(places)) };
}

function atArrays(
  tape: Tape,
  x: LossArray,
  arrays: readonly { readonly index: LossArray; readonly axis: number }[],
): LossArray {
  const first = arrays[0]!.axis;
  if (arrays.some(({ axis }, i) => axis !== first + i)) {
    throw new RequestFailure("has arrays as indices of dimensions that are not side by side.");
  }
  const indices = arrays.map(({ index }) => index);
  const [before, behind] = [x.shape.slice(0, first), x.shape.slice(first + arrays.length)];
  const strides = stridesOf(x.shape);
  const shape = broadcastShape(...indices);
  const wide = indices.map((index) => broadcastTo(tape, index, shape));
  const offsets = new Int32Array(sizeOfShape(shape));
  wide.forEach(({ values }, i) => {
    for (let j = 0; j < offsets.length; j++) {
      offsets[j]! += indexIn(values[j]!, x.shape[first + i]!) * strides[first + i]!;
    }
  });
  // Even where nothing is picked there are the places around it.
  tape.spend(sizeOfShape(before) + sizeOfShape(behind));
  const outer = placesOf(before, strides.slice(0, first));
  const inner = placesOf(behind, strides.slice(first + arrays.length));
  tape.spend(outer.length * offsets.length * inner.length);
  const places = new Int32Array(outer.length * offsets.length * inner.length);
  let to = 0;
  for (const own of outer) for (const offset of offsets) for (const last of inner) places[to++] = own + offset + last;
  return take(tape, x, [...before, ...shape, ...behind], places);
}

/** The bounds of a slice of so many elements, as Python makes them out. */
function boundsOf({ start, stop, step }: PythonSlice, size: number): readonly [number, number, number] {
  const by = step === null ? 1 : integerOf(step, "the step of a slice");
  if (by < 1) throw new RequestFailure(`has a slice with the step ${by}; PyTorch takes steps above 0.`);
  const bound = (value: LossValue, fallback: number) => {
    if (value === null) return fallback;
    const at = integerOf(value, "the bound of a slice");
    return Math.min(Math.max(at < 0 ? at + size : at, 0), size);
  };
  return [bound(start, 0), bound(stop, size), by];
}

/** An index, which may be counted from the end. Throws RequestFailure for one that is not there. */
function indexIn(index: number, size: number): number {
  const at = index < 0 ? index + size : index;
  if (Number.isInteger(at) && at >= 0 && at < size) return at;
  throw new RequestFailure(`has the index ${index}; there are ${size} elements.`);
}

function requireWhole(index: LossArray): void {
  if (index.dtype.startsWith("int")) return;
  throw new RequestFailure(`takes whole numbers as indices, not ${describeValue(index)}.`);
}

function joined(tape: Tape, arrays: readonly LossArray[]): LossArray {
  if (arrays.length === 1) return arrays[0]!;
  const size = arrays.reduce((sum, own) => sum + own.values.length, 0);
  tape.spend(size + arrays.length);
  const values = new Float64Array(size);
  let place = 0;
  for (const own of arrays) {
    values.set(own.values, place);
    place += own.values.length;
  }
  return tape.record(promoted(...arrays), [size], values, arrays, (gradient, into) => {
    let from = 0;
    arrays.forEach(({ values: own }, i) => {
      const target = into[i];
      if (target) for (let j = 0; j < own.length; j++) target[j]! += gradient[from + j]!;
      from += own.length;
    });
  });
}

/** The elements in a shape, by how far apart they are along each of its axes. */
function view(tape: Tape, x: LossArray, shape: readonly number[], strides: readonly number[], offset = 0): LossArray {
  tape.spend(sizeOfShape(shape));
  return take(tape, x, shape, placesOf(shape, strides, offset));
}
