/**
 * What is done to a text before it is cut: tokenizer.json's `normalizer`, as the Rust package `tokenizers` does it. Hugging
 * Face's JavaScript package does most kinds; those in which JavaScript's white space or lower case differ from Rust's are
 * here.
 */

import { z } from "zod";
import { SequenceNormalizer } from "./library.ts";

export type Normalizer = (text: string) => string;

const schema = z.looseObject({
  type: z.string(),
  normalizers: z.array(z.unknown()).optional(),
  prepend: z.string().optional(),
  strip_left: z.boolean().optional(),
  strip_right: z.boolean().optional(),
});

/** The normalizer of a configuration; undefined for none. Throws Error with the reason where it is not supported. */
export function createNormalizer(config: unknown): Normalizer | undefined {
  if (config === null || config === undefined) return undefined;
  const { type, normalizers = [], prepend = "", strip_left, strip_right } = schema.parse(config);
  switch (type) {
    case "Sequence": {
      const all = normalizers.flatMap((one) => createNormalizer(one) ?? []);
      return (text) => all.reduce((changed, one) => one(changed), text);
    }
    case "Prepend":
      return (text) => (text === "" ? text : prepend + text);
    case "Strip":
      return (text) => {
        const left = strip_left ? text.replace(/^\p{White_Space}+/u, "") : text;
        return strip_right ? withoutSpaceAtEnd(left) : left;
      };
    case "Lowercase":
      // Character by character: a sigma at the end of a word becomes σ, not ς.
      return (text) => Array.from(text, (character) => character.toLowerCase()).join("");
  }
  const library = new SequenceNormalizer({ type: "Sequence", normalizers: [config] });
  return (text) => library.normalize(text);
}

/** From the end, since a pattern `…+$` would search from every space of the text. */
function withoutSpaceAtEnd(text: string): string {
  let end = text.length;
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}
