/**
 * Text cut into what is counted: words, or characters where a script sets no spaces between words (Chinese, Japanese
 * kana, Thai, Lao, Khmer, Burmese).
 */

/** A character of a script without spaces, or what stands between white space and those. */
const UNIT =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]|[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]+/gu;

/** Words between white space, in lower case. */
export function words(text: string): string[] {
  return text.toLowerCase().match(/\S+/gu) ?? [];
}

/** Characters other than white space, in lower case. */
export function characters(text: string): string[] {
  return text.toLowerCase().match(/\S/gu) ?? [];
}

/** Words, and characters of scripts without spaces. */
export function wordsAndCharacters(text: string): string[] {
  return text.toLowerCase().match(UNIT) ?? [];
}
