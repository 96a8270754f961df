/** The calls of custom losses that arrange elements, or make arrays of constants. */

import { RequestFailure } from "../refusal.ts";
import type { CallArguments } from "./arguments.ts";
import {
  broadcastTo,
  concatenate,
  elementsAt,
  flip,
  gather,
  indexSelect,
  inNewShape,
  pad,
  permute,
  select,
  slice,
  squeeze,
  stack,
  unsqueeze,
} from "./arrangement.ts";
import type { CallDefinition } from "./calls.ts";
import { ARITHMETIC, asDType, inPairs } from "./elementwise.ts";
import {
  axisNumber,
  broadcastShape,
  dtypeKind,
  type LossArray,
  type LossDType,
  sizeOfShape,
  type Tape,
} from "./loss-array.ts";
import { describeValue, type LossValue, numberOf, pythonInt } from "./python-values.ts";

/** Most arrays that one is cut into. */
const MOST_PARTS = 4096;

export const SHAPE_CALLS: readonly CallDefinition[] = [
  [".view", "input, *shape", (given) => inNewShape(given.tape, given.array("input"), given.restIntegers("a size"))],
  ["reshape", "input, *shape", (given) => inNewShape(given.tape, given.array("input"), given.restIntegers("a size"))],
  ["flatten ravel", "input, start_dim?, end_dim?", flattened],
  [
    "squeeze",
    "input, dim?",
    (given) => {
      return squeeze(given.tape, given.array("input"), given.has("dim") ? given.integers("dim") : undefined);
    },
  ],
  ["unsqueeze", "input, dim", (given) => unsqueeze(given.tape, given.array("input"), given.integer("dim"))],
  [".expand", "input, *sizes", (given) => broadcastTo(given.tape, given.array("input"), given.restIntegers("a size"))],
  ["broadcast_to", "input, size", (given) => broadcastTo(given.tape, given.array("input"), given.integers("size"))],
  [".expand_as", "input, other", (given) => broadcastTo(given.tape, given.array("input"), given.array("other").shape)],
  [
    ".view_as .reshape_as",
    "input, other",
    (given) => {
      return inNewShape(given.tape, given.array("input"), given.array("other").shape);
    },
  ],
  ["transpose swapaxes", "input, dim0, dim1", transposed],
  [
    "t",
    "input",
    (given) => {
      const x = given.array("input");
      return x.shape.length < 2 ? x : permute(given.tape, x, [1, 0]);
    },
  ],
  [".permute", "input, *dims", (given) => permute(given.tape, given.array("input"), given.restIntegers("a dimension"))],
  ["torch.permute", "input, dims", (given) => permute(given.tape, given.array("input"), given.integers("dims"))],
  ["flip", "input, *dims", (given) => flip(given.tape, given.array("input"), given.restIntegers("a dimension"))],
  [
    "torch.cat torch.concat torch.concatenate",
    "tensors, dim?",
    (given) => {
      return concatenate(given.tape, given.arrays("tensors"), given.integer("dim", 0));
    },
  ],
  ["torch.stack", "tensors, dim?", (given) => stack(given.tape, given.arrays("tensors"), given.integer("dim", 0))],
  [
    "select",
    "input, dim, index",
    (given) => {
      const x = given.array("input");
      return select(given.tape, x, given.axis(x), given.integer("index"));
    },
  ],
  ["narrow", "input, dim, start, length", narrowed],
  ["index_select", "input, dim, index", alongAxis("index", indexSelect)],
  ["gather", "input, dim, index", alongAxis("index", gather)],
  ["take_along_dim", "input, indices, dim", alongAxis("indices", gather)],
  [
    "masked_select",
    "input, mask",
    (given) => {
      const [x, mask] = [given.array("input"), given.array("mask")];
      const shape = broadcastShape(x, mask);
      return elementsAt(given.tape, broadcastTo(given.tape, x, shape), [broadcastTo(given.tape, mask, shape)]);
    },
  ],
  [
    "unbind",
    "input, dim?",
    (given) => {
      const x = given.array("input");
      const axis = given.axis(x, 0);
      const count = x.shape[axis] ?? 0;
      requireParts(count);
      return Array.from({ length: count }, (_, i) => select(given.tape, x, axis, i));
    },
  ],
  [".split torch.functional.split", "input, split_size, dim?", divided],
  ["chunk", "input, chunks, dim?", chunked],
  ["roll", "input, shifts, dims?", rolled],
  ["diff", "input, n?, dim?", differences],
  [".repeat", "input, *sizes", repeated],
  ["F.pad", "input, pad, mode?, value?", padded],
  ["numel .nelement", "input", (given) => pythonInt(given.array("input").values.length)],
  [".dim .ndimension", "input", (given) => pythonInt(given.array("input").shape.length)],
  [
    ".size",
    "input, dim?",
    (given) => {
      const x = given.array("input");
      return given.has("dim") ? pythonInt(x.shape[given.axis(x)] ?? 1) : x.shape.map(pythonInt);
    },
  ],
  ["torch.zeros_like", "input, dtype?", (given) => like(given, 0)],
  ["torch.ones_like", "input, dtype?", (given) => like(given, 1)],
  ["torch.full_like", "input, fill_value, dtype?", (given) => like(given, given.number("fill_value"))],
  [".new_zeros", "input, *size, dtype?", (given) => made(given, given.restIntegers("a size"), 0)],
  [".new_ones", "input, *size, dtype?", (given) => made(given, given.restIntegers("a size"), 1)],
  [
    ".new_full",
    "input, size, fill_value, dtype?",
    (given) => {
      return made(given, given.integers("size"), given.number("fill_value"));
    },
  ],
  ["torch.zeros", "*size, dtype?", (given) => made(given, given.restIntegers("a size"), 0)],
  ["torch.ones", "*size, dtype?", (given) => made(given, given.restIntegers("a size"), 1)],
  [
    "torch.full",
    "size, fill_value, dtype?",
    (given) => {
      return made(given, given.integers("size"), given.number("fill_value"));
    },
  ],
  ["torch.arange", "start, end?, step?, dtype?", progression],
];

/** An operation on the axis `dim` of `input`, by the places that the array `places` has. */
function alongAxis(
  places: string,
  run: (tape: Tape, x: LossArray, axis: number, places: LossArray) => LossArray,
): CallDefinition[2] {
  return (given) => {
    const x = given.array("input");
    return run(given.tape, x, given.axis(x), given.array(places));
  };
}

function flattened(given: CallArguments): LossValue {
  const x = given.array("input");
  const [from, to] = [given.axis(x, 0, "start_dim"), given.axis(x, -1, "end_dim")];
  const middle = sizeOfShape(x.shape.slice(from, to + 1));
  return inNewShape(given.tape, x, [...x.shape.slice(0, from), middle, ...x.shape.slice(to + 1)]);
}

function transposed(given: CallArguments): LossValue {
  const x = given.array("input");
  const [first, second] = [given.axis(x, undefined, "dim0"), given.axis(x, undefined, "dim1")];
  const order = x.shape.map((_, axis) => (axis === first ? second : axis === second ? first : axis));
  return permute(given.tape, x, order);
}

function narrowed(given: CallArguments): LossValue {
  const x = given.array("input");
  const axis = given.axis(x);
  const size = x.shape[axis] ?? 0;
  const [start, length] = [given.integer("start"), given.integer("length")];
  const from = start < 0 ? start + size : start;
  if (from < 0 || length < 0 || from + length > size) {
    throw new RequestFailure(`asks for ${length} elements from ${start} on; there are ${size}.`);
  }
  return slice(given.tape, x, axis, from, from + length);
}

/** Cut into parts of one size, or of the sizes in a list. */
function divided(given: CallArguments): LossValue {
  const x = given.array("input");
  const axis = given.axis(x, 0);
  const size = x.shape[axis] ?? 0;
  if (Array.isArray(given.value("split_size"))) {
    const sizes = given.integers("split_size");
    if (sizes.some((own) => own < 0) || sizes.reduce((sum, own) => sum + own, 0) !== size) {
      throw new RequestFailure(`has parts that do not add up to ${size}.`);
    }
    requireParts(sizes.length);
    let from = 0;
    return sizes.map((own) => {
      from += own;
      return slice(given.tape, x, axis, from - own, from);
    });
  }
  return inParts(given.tape, x, axis, given.integer("split_size"));
}

function chunked(given: CallArguments): LossValue {
  const x = given.array("input");
  const axis = given.axis(x, 0);
  const count = given.integer("chunks");
  if (count < 1) throw new RequestFailure(`takes at least one chunk, not ${count}.`);
  return inParts(given.tape, x, axis, Math.max(1, Math.ceil((x.shape[axis] ?? 0) / count)));
}

function inParts(tape: Tape, x: LossArray, axis: number, size: number): LossArray[] {
  const all = x.shape[axis] ?? 0;
  if (size < 1) throw new RequestFailure(`takes parts of at least one element, not of ${size}.`);
  const count = Math.ceil(all / size);
  requireParts(count);
  return Array.from({ length: count }, (_, i) => slice(tape, x, axis, i * size, Math.min(all, (i + 1) * size)));
}

/** A list of arrays takes more memory than its elements do. */
function requireParts(count: number): void {
  if (count <= MOST_PARTS) return;
  throw new RequestFailure(`makes ${count} arrays of one; ${MOST_PARTS} are the most.`);
}

function rolled(given: CallArguments): LossValue {
  const { tape } = given;
  const whole = given.array("input");
  const isFlat = !given.has("dims");
  let x = isFlat ? inNewShape(tape, whole, [whole.values.length]) : whole;
  const shifts = given.integers("shifts");
  const axes = isFlat ? [0] : given.integers("dims").map((axis) => axisNumber(axis, x.shape.length));
  if (shifts.length !== axes.length) throw new RequestFailure("takes as many shifts as dimensions.");
  axes.forEach((axis, i) => {
    const size = x.shape[axis] ?? 0;
    if (size === 0) return;
    const by = ((shifts[i]! % size) + size) % size;
    x = concatenate(tape, [slice(tape, x, axis, size - by, size), slice(tape, x, axis, 0, size - by)], axis);
  });
  return isFlat ? inNewShape(tape, x, whole.shape) : x;
}

/** x[1:] − x[:−1], n times. */
function differences(given: CallArguments): LossValue {
  const { tape } = given;
  let x = given.array("input");
  const axis = given.axis(x, -1);
  const times = given.integer("n", 1);
  if (times < 0 || times > 16) throw new RequestFailure(`takes differences up to 16 times, not ${times} times.`);
  for (let i = 0; i < times; i++) {
    const size = x.shape[axis] ?? 0;
    const [later, earlier] = [slice(tape, x, axis, 1, size), slice(tape, x, axis, 0, Math.max(size - 1, 0))];
    x = inPairs(tape, later, earlier, ARITHMETIC.sub!);
  }
  return x;
}

function repeated(given: CallArguments): LossValue {
  const x = given.array("input");
  const times = given.restIntegers("a number of repetitions");
  if (times.length < x.shape.length || times.some((own) => own < 0)) {
    throw new RequestFailure(`takes a number for each dimension of [${x.shape.join(", ")}].`);
  }
  const own = [...times.slice(x.shape.length).map(() => 1), ...x.shape];
  const apart = own.flatMap((size) => [1, size]);
  const wide = own.flatMap((size, axis) => [times[axis]!, size]);
  const { tape } = given;
  return inNewShape(
    tape,
    broadcastTo(tape, inNewShape(tape, x, apart), wide),
    own.map((size, axis) => size * times[axis]!),
  );
}

function padded(given: CallArguments): LossValue {
  const mode = given.text("mode", "constant");
  if (mode !== "constant") throw new RequestFailure(`pads with a constant, not by ${describeValue(mode)}.`);
  return pad(given.tape, given.array("input"), given.integers("pad"), given.number("value", 0));
}

function like(given: CallArguments, fill: number): LossArray {
  const x = given.array("input");
  return constant(given.tape, given.dtype() ?? x.dtype, x.shape, fill);
}

/** Of a shape: in the dtype that is named, in that of the array whose method it is, or as numbers are made. */
function made(given: CallArguments, shape: readonly number[], fill: number): LossArray {
  if (shape.some((size) => size < 0)) throw new RequestFailure(`takes sizes of at least 0, not [${shape.join(", ")}].`);
  const own = given.has("input") ? given.array("input").dtype : undefined;
  const ofFill = given.has("fill_value") && !numberOf(given.value("fill_value"), "fill_value").isFloat;
  return constant(given.tape, given.dtype() ?? own ?? (ofFill ? "int64" : "float32"), shape, fill);
}

function constant(tape: Tape, dtype: LossDType, shape: readonly number[], fill: number): LossArray {
  tape.spend(sizeOfShape(shape));
  const own = dtype === "bool" ? Number(fill !== 0) : dtype.startsWith("int") ? Math.trunc(fill) : fill;
  return tape.constant(dtype, shape, new Float64Array(sizeOfShape(shape)).fill(own));
}

function progression(given: CallArguments): LossArray {
  const hasEnd = given.has("end");
  const [start, end] = hasEnd ? [given.number("start"), given.number("end")] : [0, given.number("start")];
  const step = given.number("step", 1);
  const count = Math.max(0, Math.ceil((end - start) / step));
  if (!Number.isFinite(count)) throw new RequestFailure("takes a step that leads to its end.");
  const isFloat = ["start", "end", "step"].some((name) => given.has(name) && numberOf(given.value(name), name).isFloat);
  const dtype = given.dtype() ?? (isFloat ? "float32" : "int64");
  if (dtypeKind(dtype) !== dtypeKind("float32") && !(Number.isInteger(start) && Number.isInteger(step))) {
    throw new RequestFailure(`takes a whole start and a whole step for ${dtype}, not ${start} and ${step}.`);
  }
  given.tape.spend(count);
  const values = Float64Array.from({ length: count }, (_, i) => start + i * step);
  return asDType(given.tape, given.tape.constant(isFloat ? "float32" : "int64", [count], values), dtype);
}
