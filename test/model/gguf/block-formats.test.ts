import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { BLOCK_FORMATS, UNREAD_FORMATS } from "../../../src/model/gguf/block-formats.ts";

interface Golden {
  readonly formats: Readonly<
    Record<string, { readonly type: number; readonly bytes: string; readonly values: string }>
  >;
}

const golden = JSON.parse(readFileSync(new URL("../../golden/gguf-blocks.json", import.meta.url), "utf8")) as Golden;

describe("quantised blocks of GGUF", () => {
  it.each(Object.entries(golden.formats))("of %s are decoded to the bits of the Python package gguf", (name, one) => {
    const format = BLOCK_FORMATS.get(one.type)!;
    const bytes = new Uint8Array(Buffer.from(one.bytes, "hex"));
    const decoded = new Float32Array((bytes.length / format.blockBytes) * format.blockElements);
    format.decode(bytes, decoded);
    const bits = [...new Uint32Array(decoded.buffer)].map((word) => word.toString(16).padStart(8, "0"));
    expect(format.name).toBe(name);
    expect(bits).toEqual(one.values.match(/.{8}/g));
  });

  it("of plain numbers are those numbers, wherever the bytes begin", () => {
    const bytes = new Uint8Array(13);
    bytes.set([0, 0x3c, 0, 0xc0], 1); // f16 1, −2
    const decoded = new Float32Array(2);
    BLOCK_FORMATS.get(1)!.decode(bytes.subarray(1, 5), decoded);
    expect([...decoded]).toEqual([1, -2]);
    bytes.set([0x80, 0x3f, 0, 0xc0], 1); // bf16 1, −2
    BLOCK_FORMATS.get(30)!.decode(bytes.subarray(1, 5), decoded);
    expect([...decoded]).toEqual([1, -2]);
    bytes.set([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], 5);
    BLOCK_FORMATS.get(0)!.decode(bytes.subarray(5), decoded);
    expect([...decoded]).toEqual([1, -2]);
  });

  it("that are not read have a name, and no format is both", () => {
    for (const type of UNREAD_FORMATS.keys()) expect(BLOCK_FORMATS.has(type)).toBe(false);
    expect(UNREAD_FORMATS.get(20)).toBe("IQ4_NL");
  });
});
