/** A column of numbers that grows: a typed array that is made anew, twice as large, where it is full. */

type Typed = Float64Array | Int32Array | Uint8Array;

/** Of 64-bit floats, 32-bit integers or bytes, as the array that it is made with. */
export class GrowingColumn {
  private array: Typed;
  private used = 0;

  constructor(array: Typed) {
    this.array = array;
  }

  get length(): number {
    return this.used;
  }

  push(value: number): void {
    if (this.used === this.array.length) {
      const Kind = this.array.constructor as new (length: number) => Typed;
      const larger = new Kind(Math.max(1024, 2 * this.used));
      larger.set(this.array as never);
      this.array = larger;
    }
    this.array[this.used++] = value;
  }

  at(index: number): number {
    return this.array[index]!;
  }

  /** The values; valid until the next `push`. */
  get values(): ArrayLike<number> {
    return this.array.subarray(0, this.used);
  }

  truncate(length: number): void {
    this.used = Math.min(length, this.used);
  }
}
