/**
 * Arithmetic modulo 2⁶⁴, for what counts its random numbers instead of drawing them (`ops/dropout.ts`,
 * `ops/uniform-noise.ts`). A word is a pair of int32, low half first. Where a device computes with all 64 bits of an int64 it
 * is made one; where it does not, it is four limbs of 16 bits in uint32, whose products and sums are exact.
 */

import { GraphError } from "../errors.ts";
import type { Emitter } from "./emitter.ts";

/** TensorProto.DataType of what a device computes words in; uint32 no tensor of ours has. */
const FLOAT32 = 1n;
const INT32 = 6n;
const INT64 = 7n;
const UINT32 = 12n;

const LIMB = 2 ** 16;

/** The names of int64 [N, 1] from int32 [N, 2]: the words as numbers. */
export function int64Words(emit: Emitter, pairs: string): string {
  const [low, high] = halves(emit, pairs);
  // By uint32, for the lower half has no sign.
  const lower = cast(emit, cast(emit, low, UINT32), INT64);
  const upper = emit.node("Mul", [cast(emit, high, INT64), emit.constant(BigInt64Array.of(2n ** 32n), [])])[0]!;
  return emit.node("Add", [upper, lower])[0]!;
}

function halves(emit: Emitter, pairs: string): [string, string] {
  const sizes = emit.constant(BigInt64Array.of(1n, 1n), [2]);
  return emit.node("Split", [pairs, sizes], { outputs: 2, attributes: { axis: 1n } }) as [string, string];
}

function cast(emit: Emitter, x: string, to: bigint): string {
  return emit.node("Cast", [x], { attributes: { to } })[0]!;
}

/** Words as limbs: Σ limbs[k] · 2¹⁶ᵏ, each limb below 2¹⁶. */
type Limbs = readonly [string, string, string, string];

/** Words in limbs, for devices without 64-bit integers. Shapes broadcast. */
export class LimbArithmetic {
  readonly #emit: Emitter;

  constructor(emit: Emitter) {
    this.#emit = emit;
  }

  /** Limbs [N, 1] of words [N, 2]. */
  fromPairs(pairs: string): Limbs {
    const [low, high] = halves(this.#emit, pairs).map((half) => this.#cut(cast(this.#emit, half, UINT32)));
    return [low![0], low![1], high![0], high![1]];
  }

  /** x · i for i = 0 … width − 1: [N, 1] → [N, width]. */
  timesColumns(x: Limbs, width: number): Limbs {
    if (width > LIMB)
      throw new GraphError(`rows of ${width} elements are too long for words in limbs: at most ${LIMB}`);
    const numbers = Int32Array.from({ length: width }, (_, i) => i);
    const columns = cast(this.#emit, this.#emit.constant(numbers, [1, width]), UINT32);
    return this.#carried(x.map((limb) => this.#node("Mul", limb, columns)));
  }

  add(x: Limbs, y: Limbs): Limbs {
    return this.#carried(x.map((limb, k) => this.#node("Add", limb, y[k]!)));
  }

  /** x · factor. */
  times(x: Limbs, factor: bigint): Limbs {
    const sums: (string | undefined)[] = [undefined, undefined, undefined, undefined];
    const addTo = (k: number, term: string) => {
      if (k < sums.length) sums[k] = sums[k] === undefined ? term : this.#node("Add", sums[k]!, term);
    };
    for (let j = 0; j < 4; j++) {
      const limb = Number((BigInt.asUintN(64, factor) >> BigInt(16 * j)) & 0xffffn);
      for (let i = 0; i + j < 4; i++) {
        const [low, high] = this.#cut(this.#node("Mul", x[i]!, this.#number(limb)));
        addTo(i + j, low);
        addTo(i + j + 1, high);
      }
    }
    return this.#carried(sums as string[]);
  }

  /** x with its upper half, exclusively or-ed, on its lower one: x ^ (x >> 32). */
  foldUpperHalf([a, b, c, d]: Limbs): Limbs {
    return [this.#xor(a, c), this.#xor(b, d), c, d];
  }

  /** The upper half as an int32. */
  upperHalf([, , c, d]: Limbs): string {
    return cast(this.#emit, this.#joined(c, d), INT32);
  }

  /** The words as signed numbers, rounded to float32. */
  toFloat(x: Limbs): string {
    const upper = cast(this.#emit, this.upperHalf(x), FLOAT32);
    const lower = cast(this.#emit, this.#joined(x[0], x[1]), FLOAT32);
    return this.#node("Add", this.#node("Mul", upper, this.#emit.constant(Float32Array.of(2 ** 32), [])), lower);
  }

  #joined(low: string, high: string): string {
    return this.#node("Add", this.#node("Mul", high, this.#number(LIMB)), low);
  }

  /** Columns, each below 2³² with what is carried into it, as limbs. */
  #carried(columns: readonly string[]): Limbs {
    let carry: string | undefined;
    const limbs = columns.map((column) => {
      const [limb, next] = this.#cut(carry === undefined ? column : this.#node("Add", column, carry));
      carry = next;
      return limb;
    });
    return limbs as unknown as Limbs;
  }

  /** The lower 16 bits of a uint32, and what is above them. */
  #cut(x: string, size = LIMB): [string, string] {
    const above = this.#node("Div", x, this.#number(size));
    return [this.#node("Sub", x, this.#node("Mul", above, this.#number(size))), above];
  }

  /** By a table of 4 bits with 4 bits: WebGPU has no bitwise kernel for uint32. */
  #xor(x: string, y: string): string {
    const table = Int32Array.from({ length: 256 }, (_, i) => (i >> 4) ^ (i & 15));
    const entries = cast(this.#emit, this.#emit.constant(table, [256]), UINT32);
    let [left, right] = [x, y];
    let result: string | undefined;
    for (let digit = 0; digit < 4; digit++) {
      const [ownLeft, restLeft] = this.#cut(left, 16);
      const [ownRight, restRight] = this.#cut(right, 16);
      [left, right] = [restLeft, restRight];
      const index = cast(this.#emit, this.#joinedDigits(ownLeft, ownRight), INT32);
      const entry = this.#emit.node("Gather", [entries, index], { attributes: { axis: 0n } })[0]!;
      const place = this.#node("Mul", entry, this.#number(16 ** digit));
      result = result === undefined ? place : this.#node("Add", result, place);
    }
    return result!;
  }

  #joinedDigits(upper: string, lower: string): string {
    return this.#node("Add", this.#node("Mul", upper, this.#number(16)), lower);
  }

  #number(value: number): string {
    return cast(this.#emit, this.#emit.constant(Int32Array.of(value), []), UINT32);
  }

  #node(type: string, ...inputs: string[]): string {
    return this.#emit.node(type, inputs)[0]!;
  }
}
