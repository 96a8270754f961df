/**
 * Files out of a gzipped tar archive (POSIX ustar: headers of 512 bytes, contents padded to 512), as servers hand out adapters.
 * Regular files are read by the last part of their names; everything else is passed over.
 */

import { EngineError } from "../../errors.ts";

const BLOCK = 512;

/**
 * The files of the archive that are `wanted`, by name.
 *
 * @throws EngineError for bytes that are no such archive, that come to more than `maxBytes`, or that lack one of the files.
 */
export async function filesOfArchive(
  archive: Uint8Array,
  wanted: readonly string[],
  maxBytes: number,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const bytes = await gunzip(archive, maxBytes);
  const found = new Map<string, Uint8Array>();
  for (let place = 0; place + BLOCK <= bytes.length; ) {
    const header = bytes.subarray(place, place + BLOCK);
    // Blocks of zeros are the end.
    if (header.every((byte) => byte === 0)) break;
    const size = sizeOf(header);
    const start = place + BLOCK;
    if (start + size > bytes.length) throw new EngineError("The archive of the Tinker server ends within a file.");
    const name = textOf(header.subarray(0, 100)).split("/").at(-1)!;
    const type = header[156]!;
    const isFile = type === 0 || type === 0x30;
    if (isFile && wanted.includes(name)) found.set(name, bytes.subarray(start, start + size));
    place = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  const missing = wanted.filter((name) => !found.has(name));
  if (missing.length === 0) return found;
  throw new EngineError(`The archive of the Tinker server has no ${missing.join(" and no ")}.`);
}

/** The size in a header, as octal digits. */
function sizeOf(header: Uint8Array): number {
  const text = textOf(header.subarray(124, 136)).trim();
  if (/^[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  throw new EngineError("The archive of the Tinker server is no tar archive.");
}

/** Text up to the first zero. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder("latin1").decode(end < 0 ? field : field.subarray(0, end));
}

async function gunzip(archive: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const stream = new Blob([archive.slice()]).stream().pipeThrough(new DecompressionStream("gzip"));
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > maxBytes) throw new EngineError(`The archive of the Tinker server has more than ${maxBytes} bytes.`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError(`The archive of the Tinker server cannot be unpacked: ${(error as Error).message}`);
  }
  const bytes = new Uint8Array(length);
  let place = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, place);
    place += chunk.length;
  }
  return bytes;
}
