/**
 * How many tokens a text has at the least, told from its length: so that a text which is far too long can be refused
 * before it is tokenized, which takes a second for some 200,000 characters.
 *
 * Spaces are not counted, since normalizers and pre-tokenizers drop them, and tokens may stand for many. For the rest
 * the bound is the longest token, but only in tokenizers none of whose tokens stands for text of any length. One unknown
 * token may (a word of WordPiece, a run of unknown characters where these are fused), and what a normalizer deletes has
 * no token at all.
 */

import { z } from "zod";

const part: z.ZodType<Part> = z.looseObject({
  type: z.string(),
  normalizers: z.lazy(() => z.array(part)).optional(),
  pretokenizers: z.lazy(() => z.array(part)).optional(),
  behavior: z.string().optional(),
  pattern: z.looseObject({ String: z.string().optional() }).optional(),
  content: z.string().optional(),
});
interface Part {
  readonly type: string;
  readonly normalizers?: readonly Part[] | undefined;
  readonly pretokenizers?: readonly Part[] | undefined;
  readonly behavior?: string | undefined;
  readonly pattern?: { readonly String?: string | undefined } | undefined;
  readonly content?: string | undefined;
}

const tokenizerSchema = z.looseObject({
  normalizer: part.nullish(),
  pre_tokenizer: part.nullish(),
  model: z.looseObject({
    type: z.string().nullish(),
    fuse_unk: z.boolean().nullish(),
    byte_fallback: z.boolean().nullish(),
  }),
});

/** Characters of NFC or NFKC that one of them may come from: the longest canonical decomposition has four. */
const COMPOSED_FROM = 4;

/** What is not counted: white space, and the signs that vocabularies write it with, those of bytes among them or not. */
const UNCOUNTED = /[\s▁]/g;
const UNCOUNTED_BYTES = /[\sĠĊĉč]/g;

/**
 * The most characters that one token may stand for, white space not counted; undefined where there is no such bound.
 * `spellings`: the vocabulary, added tokens included.
 */
export function longestToken(tokenizerJson: unknown, spellings: Iterable<string | undefined>): number | undefined {
  const parsed = tokenizerSchema.safeParse(tokenizerJson);
  if (!parsed.success) return undefined;
  const { model, normalizer, pre_tokenizer } = parsed.data;
  const isBounded = (model.type ?? "BPE") === "BPE" && (model.fuse_unk !== true || model.byte_fallback === true);
  const factor = normalizerFactor(normalizer ?? undefined);
  if (!isBounded || factor === undefined || dropsText(pre_tokenizer ?? undefined)) return undefined;
  const uncounted = isByteLevel(pre_tokenizer ?? undefined) ? UNCOUNTED_BYTES : UNCOUNTED;
  let longest = 1;
  for (const spelling of spellings) {
    if (spelling === undefined || spelling.length <= longest) continue;
    longest = Math.max(longest, spelling.replace(uncounted, "").length);
  }
  return longest * factor;
}

/** Whether a text certainly has more than `most` tokens, if none stands for more than `longest` characters. */
export function hasMoreTokens(text: string, most: number, longest: number): boolean {
  const allowed = most * longest;
  if (text.length <= allowed) return false;
  let counted = 0;
  for (let i = 0; i < text.length && counted <= allowed; i++) if (!isSpace(text.charCodeAt(i))) counted++;
  return counted > allowed;
}

function isSpace(code: number): boolean {
  return code <= 0x20 || code === 0x2581 || (code >= 0x80 && /\s/.test(String.fromCharCode(code)));
}

/** By how much a normalizer may shorten a text; undefined where there is no limit. */
function normalizerFactor(normalizer: Part | undefined): number | undefined {
  if (normalizer === undefined) return 1;
  switch (normalizer.type) {
    case "Sequence": {
      let factor = 1;
      for (const each of normalizer.normalizers ?? []) {
        const own = normalizerFactor(each);
        if (own === undefined) return undefined;
        factor *= own;
      }
      return factor;
    }
    case "NFC":
    case "NFKC":
      return COMPOSED_FROM;
    case "NFD":
    case "NFKD":
    case "Prepend":
    case "Strip":
    case "ByteLevel":
      return 1;
    case "Replace": {
      const { pattern, content = "" } = normalizer;
      return pattern?.String !== undefined && pattern.String.length <= content.length ? 1 : undefined;
    }
    default:
      return undefined;
  }
}

function dropsText(preTokenizer: Part | undefined): boolean {
  if (preTokenizer === undefined) return false;
  return preTokenizer.behavior === "Removed" || (preTokenizer.pretokenizers ?? []).some(dropsText);
}

function isByteLevel(preTokenizer: Part | undefined): boolean {
  return preTokenizer?.type === "ByteLevel" || (preTokenizer?.pretokenizers ?? []).some(isByteLevel);
}
