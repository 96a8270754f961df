/** Archives as servers hand out adapters: what is read of them, and what is refused. */

import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { filesOfArchive } from "../../src/engine/tinker/archive.ts";
import { EngineError } from "../../src/errors.ts";

/** A ustar entry. */
function entry(name: string, content: Buffer, type = "0"): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(content.length.toString(8).padStart(11, "0"), 124);
  header.write(type, 156);
  header.write("ustar", 257);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

const END = Buffer.alloc(1024);
const WANTED = ["adapter_model.safetensors", "adapter_config.json"];
const weights = Buffer.from(Array.from({ length: 700 }, (_, i) => i % 251));
const whole = [
  entry("./", Buffer.alloc(0), "5"),
  entry("README.md", Buffer.from("other")),
  entry("./adapter_model.safetensors", weights),
  entry("adapter_config.json", Buffer.from("{}")),
  END,
];

describe("an archive", () => {
  it("gives the files that are wanted, wherever they stand in it", async () => {
    const files = await filesOfArchive(gzipSync(Buffer.concat(whole)), WANTED, 10_000);
    expect([...files.keys()].sort()).toEqual([...WANTED].sort());
    expect(Buffer.from(files.get(WANTED[0]!)!).equals(weights)).toBe(true);
  });

  it.each<[string, Buffer, number, RegExp]>([
    ["without a file", Buffer.concat([whole[2]!, END]), 10_000, /no adapter_config\.json/],
    ["that is cut", Buffer.concat(whole).subarray(0, 2500), 10_000, /ends within a file/],
    ["that is none", Buffer.alloc(1024, 120), 10_000, /no tar archive/],
    ["that is larger than it may be", Buffer.concat(whole), 1000, /more than 1000 bytes/],
    [
      "that is a link to a file",
      Buffer.concat([entry(WANTED[0]!, Buffer.alloc(0), "2"), END]),
      10_000,
      /no adapter_model/,
    ],
  ])("%s is refused", async (_, bytes, most, message) => {
    const read = filesOfArchive(gzipSync(bytes), WANTED, most);
    await expect(read).rejects.toThrow(EngineError);
    await expect(filesOfArchive(gzipSync(bytes), WANTED, most)).rejects.toThrow(message);
  });

  it("that is not gzipped is refused", async () => {
    await expect(filesOfArchive(Buffer.concat(whole), WANTED, 10_000)).rejects.toThrow(/cannot be unpacked/);
  });
});
