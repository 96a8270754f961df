/**
 * Text that a model wrote, made harmless to look at: characters that are not seen, that move the cursor, or that turn the
 * direction of what stands around them (Unicode Technical Report 36, §2.9) are written out as their names, `⟨U+202E⟩`.
 * Line feeds and tabs stay.
 */
export function visibleText(text: string): string {
  return text.replace(UNSEEN, (character) => {
    return `⟨U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** C0 and C1 controls, zero-width characters (but for the joiners that emoji and Indic scripts need), directions, tags. */
const UNSEEN = new RegExp(
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b\\u200e\\u200f\\u2028\\u2029\\u202a-\\u202e" +
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}]",
  "gu",
);
