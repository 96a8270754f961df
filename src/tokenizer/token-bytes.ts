/**
 * What a token adds to a text, in bytes: what log-probabilities are shown beside.
 *
 * To decode a token alone does not tell it. Byte-level tokenizers have tokens that are a part of a character, which
 * decode to U+FFFD whatever their bytes are, and SentencePiece's decoders take the space away that a text begins with,
 * so that " the" alone decodes to "the". Here the steps of the `decoder` in tokenizer.json are applied to one token as
 * they would be in the middle of a text. For decoders that cannot be applied in this way (regular expressions, CTC) the
 * result is `undefined`.
 */

import { z } from "zod";

const step = z.looseObject({
  type: z.string(),
  pattern: z.looseObject({ String: z.string().optional() }).optional(),
  content: z.string().optional(),
  replacement: z.string().optional(),
  prefix: z.string().optional(),
  suffix: z.string().optional(),
});
const decoderSchema = z.union([
  step.extend({ type: z.literal("Sequence"), decoders: z.array(step) }).transform(({ decoders }) => decoders),
  step.transform((only) => [only]),
]);

type DecoderStep = z.output<typeof step>;

const utf8 = new TextEncoder();

/**
 * From a vocabulary's spelling of a token to its bytes, by the `decoder` of a tokenizer.json; undefined for a decoder
 * whose effect on a token is not known. Added tokens are not spelled: their bytes are those of their text.
 */
export function tokenBytesBy(decoder: unknown): ((spelling: string) => Uint8Array) | undefined {
  if (decoder === null || decoder === undefined) return (spelling) => utf8.encode(spelling);
  const parsed = decoderSchema.safeParse(decoder);
  if (!parsed.success) return undefined;
  if (
    !parsed.data.every(({ type, pattern }) => KNOWN.has(type) && (type !== "Replace" || pattern?.String !== undefined))
  )
    return undefined;
  return (spelling) => {
    let text = spelling;
    for (const decoderStep of parsed.data) {
      const bytes = rawBytes(decoderStep, text);
      if (bytes) return bytes;
      text = applied(decoderStep, text);
    }
    return utf8.encode(text);
  };
}

/** `Strip` and `Fuse` are about the ends of a text, of which a token in its middle has none. */
const KNOWN = new Set([
  "ByteLevel",
  "ByteFallback",
  "Replace",
  "Metaspace",
  "WordPiece",
  "BPEDecoder",
  "Fuse",
  "Strip",
]);

/** Bytes of a token that stands for bytes and not for text. */
function rawBytes({ type }: DecoderStep, text: string): Uint8Array | undefined {
  if (type === "ByteFallback") {
    const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1];
    return hex === undefined ? undefined : Uint8Array.of(Number.parseInt(hex, 16));
  }
  if (type !== "ByteLevel") return undefined;
  const bytes = Array.from(text, (character) => BYTE_OF_CHARACTER.get(character));
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[]);
}

function applied(
  { type, pattern, content = "", replacement = "▁", prefix = "##", suffix = "</w>" }: DecoderStep,
  text: string,
): string {
  switch (type) {
    case "Replace":
      return text.replaceAll(pattern!.String!, content);
    case "Metaspace":
      return text.replaceAll(replacement, " ");
    case "WordPiece":
      return text.startsWith(prefix) ? text.slice(prefix.length) : ` ${text}`;
    case "BPEDecoder":
      return text.replaceAll(suffix, " ");
    default:
      return text;
  }
}

/** GPT-2's alphabet: printable bytes are their own character, the others are moved to U+0100 and on, in order. */
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = (() => {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  const characters = new Map<string, number>();
  let moved = 0;
  for (let byte = 0; byte < 256; byte++) {
    characters.set(String.fromCharCode(isPrintable(byte) ? byte : 0x100 + moved++), byte);
  }
  return characters;
})();
