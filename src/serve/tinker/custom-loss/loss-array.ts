/**
 * The numbers of a custom loss: small arrays with PyTorch's dtypes, and reverse-mode differentiation over what was computed
 * with them.
 *
 * A loss is evaluated for one datum at a time, and every datum has a length of its own. So nothing is compiled, as it is for
 * a model's graph (`graph/`): operations compute at once, a `Tape` notes how the gradient goes back through each of them
 * (Griewank & Walther, "Evaluating Derivatives", ch. 3), and shapes may depend on numbers, as those of `x[mask]` do. All
 * numbers are held in double precision; an array's dtype decides which operations it takes and what dtype results have.
 */

import { RequestFailure } from "../refusal.ts";

/** PyTorch's dtypes that a custom loss may have, from the lowest to the highest. */
export const LOSS_DTYPES = ["bool", "int32", "int64", "float32", "float64"] as const;
export type LossDType = (typeof LOSS_DTYPES)[number];

/** Most elements of all arrays of one datum's evaluation, those that say where elements come from among them. */
const MOST_ELEMENTS = 2 ** 24;

/**
 * Most elements of all data of one request: 4096 data of 2000 positions have room for 500 arrays each, and what takes this
 * much is computed within minutes.
 */
const MOST_REQUEST_ELEMENTS = 2 ** 32;

/** What an array takes beside its elements, in elements: its objects, its shape, and the way back through it. */
const ARRAY_OVERHEAD = 64;

/** Most dimensions of an array. */
const MOST_DIMENSIONS = 8;

/** An array, row by row. */
export class LossArray {
  readonly dtype: LossDType;
  readonly shape: readonly number[];
  readonly values: Float64Array;
  /** Whether a gradient flows back through it. */
  readonly isTracked: boolean;
  /** It stands for a number of Python, whose dtype gives way to that of arrays. */
  readonly isPython: boolean;

  constructor(
    dtype: LossDType,
    shape: readonly number[],
    values: Float64Array,
    { isTracked = false, isPython = false } = {},
  ) {
    this.dtype = dtype;
    this.shape = shape;
    this.values = values;
    this.isTracked = isTracked;
    this.isPython = isPython;
  }

  get isFloat(): boolean {
    return dtypeKind(this.dtype) === FLOAT_KIND;
  }
}

/**
 * Carries the gradient of a result back: `gradient` has one number for each of its elements, and what flows to operand i is
 * added to `into[i]`, which is undefined where nobody asks for it.
 */
export type PullBack = (gradient: Float64Array, into: readonly (Float64Array | undefined)[]) => void;

interface Step {
  readonly output: LossArray;
  readonly inputs: readonly LossArray[];
  readonly pullBack: PullBack;
}

/** What one request may take, of all its data. */
export class RequestBudget {
  #left: number;

  constructor(elements = MOST_REQUEST_ELEMENTS) {
    this.#left = elements;
  }

  /** Throws RequestFailure where the request takes more than there is for one. */
  spend(elements: number): void {
    this.#left -= elements;
    if (this.#left >= 0) return;
    throw new RequestFailure("needs more arrays than one request may have: send fewer data at once.");
  }
}

/** One evaluation: what was computed, and how gradients go back through it. */
export class Tape {
  readonly #steps: Step[] = [];
  readonly #budget: RequestBudget;
  #left = MOST_ELEMENTS;

  constructor(budget: RequestBudget) {
    this.#budget = budget;
  }

  /** An array that no gradient flows through. */
  constant(dtype: LossDType, shape: readonly number[], values: Float64Array): LossArray {
    this.#take(dtype, values);
    return new LossArray(dtype, shape, values);
  }

  /** An array by which the gradient is asked for. */
  variable(shape: readonly number[], values: Float64Array): LossArray {
    return new LossArray("float32", shape, values, { isTracked: true });
  }

  /** The result of an operation, with the way back to its operands. Only floats have one. */
  record(
    dtype: LossDType,
    shape: readonly number[],
    values: Float64Array,
    inputs: readonly LossArray[],
    pullBack: PullBack,
  ): LossArray {
    this.#take(dtype, values);
    const isTracked = dtypeKind(dtype) === FLOAT_KIND && inputs.some((input) => input.isTracked);
    const output = new LossArray(dtype, shape, values, { isTracked });
    if (isTracked) this.#steps.push({ output, inputs, pullBack });
    return output;
  }

  /** d of / d by, for an `of` of one element; undefined where no gradient flows. `pause` is awaited between two steps. */
  async gradient(of: LossArray, by: LossArray, pause: () => Promise<void>): Promise<Float64Array | undefined> {
    const adjoints = new Map<LossArray, Float64Array>([[of, Float64Array.of(1)]]);
    for (const { output, inputs, pullBack } of [...this.#steps].reverse()) {
      const gradient = adjoints.get(output);
      if (gradient === undefined) continue;
      await pause();
      // Whatever uses the output came later, so nothing is added to it any more.
      adjoints.delete(output);
      const into = inputs.map((input) => {
        if (!input.isTracked) return undefined;
        const known = adjoints.get(input) ?? new Float64Array(input.values.length);
        adjoints.set(input, known);
        return known;
      });
      pullBack(gradient, into);
    }
    return of.isTracked ? adjoints.get(by) : undefined;
  }

  /**
   * Throws RequestFailure where a datum takes more memory, or time, than there is for one. To be called before it is taken;
   * what takes longer than an element of a sum spends more.
   */
  spend(elements: number): void {
    this.#left -= elements;
    if (this.#left < 0 || Number.isNaN(this.#left)) {
      throw new RequestFailure(`makes arrays of more than ${MOST_ELEMENTS} elements for one datum; that is the most.`);
    }
    this.#budget.spend(elements);
  }

  /** Throws RequestFailure where there is no room for one more array, or where one of whole numbers has another number. */
  #take(dtype: LossDType, values: Float64Array): void {
    this.spend(ARRAY_OVERHEAD);
    if (dtypeKind(dtype) !== WHOLE_KIND) return;
    const bad = values.find((value) => !Number.isInteger(value));
    if (bad === undefined) return;
    throw new RequestFailure(`comes to ${bad}, which ${dtype} does not have: convert with .float().`);
  }
}

const WHOLE_KIND = 1;
const FLOAT_KIND = 2;
/** Whether a dtype is of bools (0), whole numbers (1) or floats (2). */
export function dtypeKind(dtype: LossDType): number {
  return dtype === "bool" ? 0 : dtype.startsWith("int") ? 1 : FLOAT_KIND;
}

/** The dtype in which a float operation computes on this one. */
export const floatOf = (dtype: LossDType): LossDType => (dtypeKind(dtype) === FLOAT_KIND ? dtype : "float32");

/** The dtype of sums: whole numbers are added up in int64. */
export const sumDTypeOf = (dtype: LossDType): LossDType => (dtypeKind(dtype) === FLOAT_KIND ? dtype : "int64");

/**
 * The dtype that arrays have together, by PyTorch's rule: that of those with dimensions, unless a scalar, or after them a
 * number of Python, is of a higher kind.
 */
export function promoted(...arrays: readonly LossArray[]): LossDType {
  const groups = [
    arrays.filter(({ shape }) => shape.length > 0),
    arrays.filter(({ shape, isPython }) => shape.length === 0 && !isPython),
    arrays.filter(({ isPython }) => isPython),
  ];
  let result: LossDType | undefined;
  for (const group of groups) {
    const places = group.map(({ dtype }) => LOSS_DTYPES.indexOf(dtype));
    if (places.length === 0) continue;
    const own = LOSS_DTYPES[Math.max(...places)]!;
    if (result === undefined || dtypeKind(own) > dtypeKind(result)) result = own;
  }
  return result ?? "float32";
}

/** Elements of a shape. */
export const sizeOfShape = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** How far apart the elements along each axis are, row by row. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** For each element of a shape, row by row: `offset` + Σ index · stride. */
export function placesOf(shape: readonly number[], strides: readonly number[], offset = 0): Int32Array {
  // Not even the larger axes of an empty array take memory.
  if (sizeOfShape(shape) === 0) return new Int32Array(0);
  let places = Int32Array.of(offset);
  shape.forEach((size, axis) => {
    const next = new Int32Array(places.length * size);
    const stride = strides[axis]!;
    let at = 0;
    for (const place of places) for (let i = 0; i < size; i++) next[at++] = place + i * stride;
    places = next;
  });
  return places;
}

/** The shape that arrays are broadcast to. Throws RequestFailure where they do not fit. */
export function broadcastShape(...arrays: readonly LossArray[]): number[] {
  const rank = Math.max(...arrays.map(({ shape }) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let size = 1;
    for (const { shape } of arrays) {
      const own = shape[axis - rank + shape.length] ?? 1;
      if (own === 1 || own === size) continue;
      if (size !== 1) {
        const shapes = arrays.map((array) => shapeText(array.shape)).join(" and ");
        throw new RequestFailure(`takes shapes that broadcast, not ${shapes}.`);
      }
      size = own;
    }
    return size;
  });
}

/** Where in `x` each element of the shape that it is broadcast to lies; undefined where it has that shape. */
export function broadcastPlaces(tape: Tape, x: LossArray, shape: readonly number[]): Int32Array | undefined {
  if (shapesAgree(x.shape, shape)) return undefined;
  const strides = stridesOf(x.shape);
  const lead = shape.length - x.shape.length;
  tape.spend(sizeOfShape(shape));
  return placesOf(
    shape,
    shape.map((_, axis) => (axis < lead || x.shape[axis - lead] === 1 ? 0 : strides[axis - lead]!)),
  );
}

/** Whether two shapes are the same. */
const shapesAgree = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis]);

/** A shape as messages have it. */
export const shapeText = (shape: readonly number[]): string => `[${shape.join(", ")}]`;

/** Elements of `x` by their places, in another shape; `fill` where the place is −1. Its gradient adds up at the places. */
export function take(tape: Tape, x: LossArray, shape: readonly number[], places: Int32Array, fill = 0): LossArray {
  requireDimensions(shape);
  tape.spend(places.length);
  const values = new Float64Array(places.length);
  for (let i = 0; i < places.length; i++) values[i] = places[i]! < 0 ? fill : x.values[places[i]!]!;
  return tape.record(x.dtype, shape, values, [x], (gradient, [into]) => {
    for (let i = 0; i < places.length; i++) if (places[i]! >= 0) into![places[i]!]! += gradient[i]!;
  });
}

/** The same elements in another shape of as many. */
export function inShape(tape: Tape, x: LossArray, shape: readonly number[]): LossArray {
  requireDimensions(shape);
  tape.spend(x.values.length);
  return tape.record(x.dtype, shape, x.values, [x], (gradient, [into]) => {
    for (let i = 0; i < gradient.length; i++) into![i]! += gradient[i]!;
  });
}

function requireDimensions(shape: readonly number[]): void {
  if (shape.length <= MOST_DIMENSIONS) return;
  throw new RequestFailure(`makes an array of ${shape.length} dimensions; ${MOST_DIMENSIONS} are the most.`);
}

/** The number of the axis, which may be counted from the end. Throws RequestFailure where there is none of it. */
export function axisNumber(axis: number, rank: number): number {
  const own = axis < 0 ? axis + Math.max(rank, 1) : axis;
  if (own >= 0 && own < Math.max(rank, 1)) return own;
  throw new RequestFailure(`has the dimension ${axis}, but its array has ${rank}.`);
}
