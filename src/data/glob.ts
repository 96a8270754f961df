/**
 * File patterns as data-set cards write them (`data/train-*.parquet`, `**`): `*` and `?` within a name, `**` across
 * folders, `[…]` one character of several, `{a,b}` alternatives. Matched by dynamic programming and not by a regular
 * expression, so that no pattern from a downloaded card can take exponential time.
 */

/** Most alternatives that the braces of one pattern may make. */
const MAX_ALTERNATIVES = 256;

/** Whether `path` (folders apart by `/`, relative) is meant by `pattern`. */
export function matchesPattern(path: string, pattern: string): boolean {
  const names = path.split("/");
  return expandBraces(pattern).some((plain) => matchesFolders(names, plain.replace(/^\.\//, "").split("/")));
}

/** `{a,b}` written out; a pattern with more alternatives than allowed is taken as it stands. */
function expandBraces(pattern: string): string[] {
  let expanded = [pattern];
  for (;;) {
    const next = expanded.flatMap((text) => {
      const braces = /\{([^{}]*,[^{}]*)\}/.exec(text);
      if (braces === null) return [text];
      const [before, after] = [text.slice(0, braces.index), text.slice(braces.index + braces[0].length)];
      return braces[1]!.split(",").map((choice) => before + choice + after);
    });
    if (next.length > MAX_ALTERNATIVES) return [pattern];
    if (next.length === expanded.length) return next;
    expanded = next;
  }
}

function matchesFolders(names: readonly string[], patterns: readonly string[]): boolean {
  return matchSequence(names, patterns, {
    isStar: (pattern) => pattern === "**",
    matches: (name, pattern) => matchesName(name, pattern),
  });
}

function matchesName(name: string, pattern: string): boolean {
  const parts = pattern.match(/\[[^\]]+\]|[\s\S]/g) ?? [];
  return matchSequence([...name], parts, {
    isStar: (part) => part === "*" || part === "**",
    matches: (character, part) => part === "?" || part === character || isInClass(character, part),
  });
}

/** `[abc]`, `[0-9]`, `[!abc]`. */
function isInClass(character: string, part: string): boolean {
  if (part.length < 3 || !part.startsWith("[")) return false;
  const negated = part[1] === "!" || part[1] === "^";
  const members = part.slice(negated ? 2 : 1, -1);
  let isMember = false;
  for (let i = 0; i < members.length; i++) {
    const isRange = members[i + 1] === "-" && i + 2 < members.length;
    const [low, high] = [members[i]!, members[isRange ? i + 2 : i]!];
    isMember ||= character >= low && character <= high;
    if (isRange) i += 2;
  }
  return isMember !== negated;
}

/** Whether items match a pattern in which a star stands for any number of them: O(items · parts). */
function matchSequence(
  items: readonly string[],
  parts: readonly string[],
  { isStar, matches }: { isStar: (part: string) => boolean; matches: (item: string, part: string) => boolean },
): boolean {
  // reached[i]: the parts so far match the first i items.
  let reached = [true, ...items.map(() => false)];
  for (const part of parts) {
    const next = reached.map(() => false);
    for (let i = 0; i <= items.length; i++) {
      if (isStar(part)) next[i] = reached[i]! || (i > 0 && next[i - 1]!);
      else if (i > 0) next[i] = reached[i - 1]! && matches(items[i - 1]!, part);
    }
    reached = next;
  }
  return reached[items.length]!;
}
