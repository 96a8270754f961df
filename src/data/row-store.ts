/**
 * The rows of a data set, kept so that row i is at hand at once, whatever the size: as JSON text in memory up to a
 * budget, and what comes after in a file without a name that the operating system removes with the process. So any order
 * of rows is possible (a true permutation, not one of blocks) and a trainer's cursor is one integer, for a data set of
 * 40 KB and of 40 GB alike. Hugging Face's `datasets` does the same with its memory-mapped Arrow cache.
 */

import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { parseExactJson, stringifyExactJson } from "../exact-json.ts";
import { writeFailure } from "../files.ts";
import { type DataRow, placeOf } from "./row.ts";

/** Characters of JSON that are kept in memory, over all rows; a character is one byte or two. */
const MEMORY_CHARACTERS = 256 * 2 ** 20;

function asText(row: DataRow): string {
  try {
    return stringifyExactJson(row.fields);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DataError(`${placeOf(row)}: the row is nested too deeply. Leave it out.`);
  }
}

/** Rows by number, in the order in which they were added. */
export class RowStore {
  readonly #memoryCharacters: number;
  readonly #texts: string[] = [];
  #characters = 0;
  #spill: SpillFile | undefined;
  readonly #lines: number[] = [];
  /** Where the rows of each file begin. */
  readonly #files: { readonly start: number; readonly origin: Pick<DataRow, "file" | "unit"> }[] = [];

  /** `memoryCharacters`: how much stays in memory. */
  constructor(memoryCharacters = MEMORY_CHARACTERS) {
    this.#memoryCharacters = memoryCharacters;
  }

  get length(): number {
    return this.#lines.length;
  }

  /** Whether rows went to the disk. */
  get isSpilled(): boolean {
    return this.#spill !== undefined;
  }

  /** @throws DataError for a row that is nested too deeply; AhaError where the disk has no room for it. */
  add(row: DataRow): void {
    const { file, line, unit } = row;
    if (this.#files.at(-1)?.origin.file !== file) {
      this.#files.push({ start: this.length, origin: unit === undefined ? { file } : { file, unit } });
    }
    const text = asText(row);
    this.#lines.push(line);
    if (this.#spill === undefined && this.#characters + text.length <= this.#memoryCharacters) {
      this.#characters += text.length;
      this.#texts.push(text);
      return;
    }
    this.#spill ??= new SpillFile();
    this.#spill.add(text);
  }

  /** Row `index`, 0 … length − 1, read anew at each call. */
  at(index: number): DataRow {
    const line = this.#lines[index];
    if (line === undefined) throw new RangeError(`There is no row ${index} among ${this.length}.`);
    const text = this.#texts[index] ?? this.#spill!.read(index - this.#texts.length);
    const fields = parseExactJson(text) as Record<string, unknown>;
    return { fields, ...this.#originOf(index), line };
  }

  /**
   * Frees the memory of rows that are not needed any more; they must not be read afterwards. `isKept` is asked by row
   * number.
   */
  forget(isKept: (index: number) => boolean): void {
    for (let i = 0; i < this.#texts.length; i++) if (!isKept(i)) this.#texts[i] = "";
  }

  #originOf(index: number): Pick<DataRow, "file" | "unit"> {
    let [low, high] = [0, this.#files.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#files[middle]!.start <= index) low = middle;
      else high = middle - 1;
    }
    return this.#files[low]!.origin;
  }
}

/** Texts one after another in a file that has no name any more once it is open. */
class SpillFile {
  readonly #descriptor: number;
  /** Where each text begins, in bytes, and where the last ends. */
  readonly #offsets: number[] = [0];

  constructor() {
    try {
      const folder = mkdtempSync(join(tmpdir(), "aha-rows-"));
      try {
        this.#descriptor = openSync(join(folder, "rows"), "wx+");
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    } catch (error) {
      throw writeFailure(tmpdir(), error);
    }
    // The last reference to the store closes the file, and with it frees its space.
    closeWithOwner.register(this, this.#descriptor);
  }

  add(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    const start = this.#offsets.at(-1)!;
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#descriptor, bytes, done, bytes.length - done, start + done);
      }
    } catch (error) {
      throw writeFailure(`the rows that memory does not hold to ${tmpdir()} (set TMPDIR)`, error);
    }
    this.#offsets.push(start + bytes.length);
  }

  read(index: number): string {
    const [start, end] = [this.#offsets[index]!, this.#offsets[index + 1]!];
    const bytes = Buffer.alloc(end - start);
    for (let done = 0; done < bytes.length; ) {
      const count = readSync(this.#descriptor, bytes, done, bytes.length - done, start + done);
      if (count === 0) throw new DataError("The temporary file of rows became shorter. Is the disk full?");
      done += count;
    }
    return bytes.toString("utf8");
  }
}

const closeWithOwner = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));
