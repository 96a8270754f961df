import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFile } from "../../src/disk-folder.ts";
import { CheckpointError } from "../../src/errors.ts";
import { SafetensorsFile, writeSafetensors } from "../../src/model/safetensors.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-safetensors-"));
});
afterAll(() => rm(scratch, { recursive: true }));

/** A file with this header and so many data bytes. */
async function fileOf(header: unknown, data: Uint8Array | number, claimedBytes?: number): Promise<string> {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(claimedBytes ?? text.length));
  const path = join(await mkdtemp(join(scratch, "file-")), "x.safetensors");
  await writeFile(path, Buffer.concat([length, text, typeof data === "number" ? Buffer.alloc(data) : data]));
  return path;
}

async function readAll(path: string, name: string, elements: number): Promise<Float32Array> {
  const file = await SafetensorsFile.open(...diskFile(path));
  try {
    const destination = new Float32Array(elements);
    await file.readInto(name, destination);
    return destination;
  } finally {
    await file.close();
  }
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("safetensors", () => {
  it("gives back what was written, bit for bit, views into larger memory and empty tensors included", async () => {
    const path = join(scratch, "round.safetensors");
    const memory = Float32Array.from({ length: 100 }, (_, i) => Math.fround(Math.sin(i) * 10 ** (i - 50)));
    memory.set([Number.NaN, Number.NEGATIVE_INFINITY, -0, 1.401298464324817e-45], 20);
    await writeSafetensors(...diskFile(path), [
      { name: "a", shape: [3, 5], data: memory.subarray(0, 15) },
      { name: "none", shape: [0, 7], data: new Float32Array(0) },
      { name: "b.ü", shape: [85], data: memory.subarray(15) },
      { name: "scalar", shape: [], data: memory.subarray(7, 8) },
    ]);
    expect(await readAll(path, "a", 15)).toEqual(memory.slice(0, 15));
    expect(await readAll(path, "b.ü", 85)).toEqual(memory.slice(15));
    expect(await readAll(path, "scalar", 1)).toEqual(memory.slice(7, 8));
    expect(await readAll(path, "none", 0)).toEqual(new Float32Array(0));
    const file = await SafetensorsFile.open(...diskFile(path));
    expect([...file.entries.values()].map(({ name, shape }) => [name, shape])).toEqual([
      ["a", [3, 5]],
      ["none", [0, 7]],
      ["b.ü", [85]],
      ["scalar", []],
    ]);
    await file.close();
  });

  it("writes the header that transformers expects: format pt, data at a multiple of eight", async () => {
    const path = join(scratch, "header.safetensors");
    await writeSafetensors(...diskFile(path), [{ name: "w", shape: [1], data: Float32Array.of(1.5) }]);
    const bytes = await readFile(path);
    const headerBytes = Number(bytes.readBigUInt64LE(0));
    expect(headerBytes % 8).toBe(0);
    expect(JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes))).toEqual({
      __metadata__: { format: "pt" },
      w: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
    });
    expect(bytes.readFloatLE(8 + headerBytes)).toBe(1.5);
    expect(bytes.length).toBe(8 + headerBytes + 4);
  });

  it("reads BF16 and F16 exactly, across the borders of its read buffer", async () => {
    const bf16 = Uint16Array.of(0x3f80, 0xc049, 0x0001, 0x7f80, 0x8000);
    const bfPath = await fileOf(
      { x: { dtype: "BF16", shape: [5], data_offsets: [0, 10] } },
      new Uint8Array(bf16.buffer),
    );
    expect([...(await readAll(bfPath, "x", 5))]).toEqual([1, -3.140625, 2 ** -133, Number.POSITIVE_INFINITY, -0]);
    const f16 = Uint16Array.of(0x3c00, 0xc248, 0x0001, 0x03ff, 0x7bff, 0xfc00, 0x8000, 0x7e00);
    const hPath = await fileOf(
      { x: { dtype: "F16", shape: [2, 4], data_offsets: [0, 16] } },
      new Uint8Array(f16.buffer),
    );
    expect([...(await readAll(hPath, "x", 8))]).toEqual([
      1,
      -3.140625,
      2 ** -24,
      1023 * 2 ** -24,
      65504,
      Number.NEGATIVE_INFINITY,
      -0,
      Number.NaN,
    ]);
    const many = Uint16Array.from({ length: 5_000_001 }, (_, i) => i & 0x7f7f);
    const long = await fileOf(
      { x: { dtype: "BF16", shape: [many.length], data_offsets: [0, many.byteLength] } },
      new Uint8Array(many.buffer),
    );
    const read = new Uint32Array((await readAll(long, "x", many.length)).buffer);
    expect(read.every((bits, i) => bits === many[i]! * 0x10000)).toBe(true);
  });

  it.each<[string, unknown, number, RegExp, number?]>([
    ["a header that is not JSON", "{nonsense", 0, /not JSON/],
    ["a header that is no object", "[1]", 0, /not a JSON object/],
    ["a header longer than the file", {}, 0, /claims 1000 bytes/, 1000],
    ["a header of an exabyte", {}, 0, /claims/, 2 ** 60],
    ["an entry that is no object", { x: 5 }, 0, /not described by an object/],
    ["an entry that is null", { x: null }, 0, /not described by an object/],
    ["half a byte", { x: { dtype: "F4", shape: [1], data_offsets: [0, 1] } }, 1, /F4 \[1\] needs 0\.5 bytes, it has 1/],
    [
      "a dtype named after a method",
      { x: { dtype: "toString", shape: [1], data_offsets: [0, 4] } },
      4,
      /dtype "toString"/,
    ],
    ["a negative size", { x: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, 4, /no valid shape/],
    ["a fractional size", { x: { dtype: "F32", shape: [1.5], data_offsets: [0, 6] } }, 6, /no valid shape/],
    ["a shape that overflows", { x: { dtype: "F32", shape: [2 ** 40, 2 ** 40], data_offsets: [0, 4] } }, 4, /needs/],
    ["negative offsets", { x: { dtype: "F32", shape: [1], data_offsets: [-4, 0] } }, 4, /no valid data_offsets/],
    ["offsets the wrong way round", { x: { dtype: "F32", shape: [1], data_offsets: [4, 0] } }, 4, /lies at 4 … 0/],
    ["offsets beyond the file", { x: f32(0, 400) }, 4, /lies at 0 … 400 of 4/],
    ["a length that is not the shape's", { x: f32(0, 8, [1]) }, 8, /needs 4 bytes, it has 8/],
    ["overlapping tensors", { x: f32(0, 8), y: f32(4, 12) }, 12, /"y" overlaps/],
    ["the same bytes twice", { x: f32(0, 4), y: f32(0, 4) }, 4, /overlaps/],
    ["a gap", { x: f32(0, 4), y: f32(8, 12) }, 12, /gap before tensor "y"/],
    ["bytes after the last tensor", { x: f32(0, 4) }, 8, /end 4 bytes before/],
  ])("refuses %s", async (_, header, dataBytes, message, claimed) => {
    const path = await fileOf(header, dataBytes, claimed);
    await expect(SafetensorsFile.open(...diskFile(path))).rejects.toThrow(CheckpointError);
    await expect(SafetensorsFile.open(...diskFile(path))).rejects.toThrow(message);
  });

  it("rounds F64 to f32 as torch does, across the borders of its read buffer", async () => {
    const numbers = Float64Array.of(1, 0.1, 1 + 2 ** -24, 1 + 2 ** -24 + 2 ** -52, -1e-46, 1e39, Number.NaN);
    const path = await fileOf(
      { x: { dtype: "F64", shape: [7], data_offsets: [0, 56] } },
      new Uint8Array(numbers.buffer),
    );
    expect([...(await readAll(path, "x", 7))]).toEqual([
      ...[1, 0.10000000149011612, 1, 1 + 2 ** -23, -0, Number.POSITIVE_INFINITY, Number.NaN],
    ]);
    const many = Float64Array.from({ length: 1_200_001 }, (_, i) => i / 3);
    const long = await fileOf(
      { x: { dtype: "F64", shape: [many.length], data_offsets: [0, many.byteLength] } },
      new Uint8Array(many.buffer),
    );
    expect(await readAll(long, "x", many.length)).toEqual(Float32Array.from(many));
  });

  it.each(["F8_E4M3", "F8_E5M2", "I64", "U8", "BOOL"])(
    "opens a file with %s in it, and reads the others",
    async (dtype) => {
      const bytes = dtype === "I64" ? 8 : 1;
      const other = { dtype, shape: [1], data_offsets: [0, bytes] };
      const path = await fileOf({ odd: other, x: f32(bytes, bytes + 4) }, bytes + 4);
      expect([...(await readAll(path, "x", 1))]).toEqual([0]);
      await expect(readAll(path, "odd", 1)).rejects.toThrow(
        `odd has dtype "${dtype}". Weights are read from F32, F64, F16, BF16: convert the checkpoint`,
      );
    },
  );

  it("names a Git LFS pointer as such", async () => {
    const path = join(await mkdtemp(join(scratch, "pointer-")), "model.safetensors");
    await writeFile(path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n");
    await expect(SafetensorsFile.open(...diskFile(path))).rejects.toThrow(CheckpointError);
    await expect(SafetensorsFile.open(...diskFile(path))).rejects.toThrow(
      /is a Git LFS pointer.*Run "git lfs pull" in .*pointer-/,
    );
  });

  it("refuses a file that is too short for a header, or not there", async () => {
    const short = join(scratch, "short.safetensors");
    await writeFile(short, "abc");
    await expect(SafetensorsFile.open(...diskFile(short))).rejects.toThrow(/3 bytes/);
    await expect(SafetensorsFile.open(...diskFile(join(scratch, "absent")))).rejects.toThrow(/does not exist/);
  });

  it("takes a tensor called __proto__ for a tensor like any other", async () => {
    const path = await fileOf(`{"__proto__": ${JSON.stringify(f32(0, 4))}}`, new Uint8Array(Float32Array.of(7).buffer));
    expect([...(await readAll(path, "__proto__", 1))]).toEqual([7]);
  });

  it("refuses a destination of another size, and a name that is not there", async () => {
    const path = await fileOf({ x: f32(0, 8) }, 8);
    await expect(readAll(path, "x", 3)).rejects.toThrow(/2 elements, the destination 3/);
    await expect(readAll(path, "y", 2)).rejects.toThrow(/no tensor "y"/);
  });

  it("writes nothing where the tensors are not sound", async () => {
    const directory = await mkdtemp(join(scratch, "unsound-"));
    const path = join(directory, "x.safetensors");
    const one = { name: "a", shape: [1], data: new Float32Array(1) };
    await expect(writeSafetensors(...diskFile(path), [one, one])).rejects.toThrow(/Two tensors are named "a"/);
    await expect(writeSafetensors(...diskFile(path), [{ ...one, shape: [2] }])).rejects.toThrow(
      /does not have 1 elements/,
    );
    expect(await readdir(directory)).toEqual([]);
  });
});
