/**
 * Formulas between delimiters in a text: `$…$`, `$$…$$`, `\(…\)`, `\[…\]`. A dollar sign may be an amount of money instead:
 * in "$5 on apples and $3 on pears" nothing is a formula. One pass over the text, whatever is in it.
 */

/** A formula's place with its delimiters, and what stands between them. */
export interface Formula {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A sign of this grammar, or a backslash with what it protects. */
const MARK = /\\[\s\S]|\$\$?/g;

/** The formulas of a text in order. */
export function formulasIn(text: string): readonly Formula[] {
  const marks = [...text.matchAll(MARK)].filter(([mark]) => mark[0] === "$" || /^\\[()[\]]$/.test(mark));
  const found: Formula[] = [];
  for (let i = 0; i < marks.length; i++) {
    const open = marks[i]!;
    const close = closingMark(marks, i);
    if (close === undefined) continue;
    const [start, end] = [open.index + open[0].length, marks[close]!.index];
    const content = text.slice(start, end);
    if (open[0] === "$" && !isFormula(content, text[end + 1])) continue;
    found.push({ start: open.index, end: end + marks[close]![0].length, text: content.trim() });
    i = close;
  }
  return found;
}

const CLOSES: Readonly<Record<string, string>> = { "\\(": "\\)", "\\[": "\\]" };
/** Other marks between two brackets; in a formula there are few. */
const MOST_BETWEEN = 40;

/** The index of the mark that closes the one at `open`. */
function closingMark(marks: readonly RegExpExecArray[], open: number): number | undefined {
  const [mark] = marks[open]!;
  if (mark[0] === "$") return marks[open + 1]?.[0] === mark ? open + 1 : undefined;
  const wanted = CLOSES[mark];
  if (wanted === undefined) return undefined;
  for (let i = open + 1; i < marks.length && i <= open + MOST_BETWEEN; i++) if (marks[i]![0] === wanted) return i;
  return undefined;
}

const TEXT_COMMAND = /\\(?:text|mathrm|mbox|textbf|textit|operatorname)\s*\{[^{}]*\}/g;
const FUNCTION_WORD = /^(?:sin|cos|tan|cot|sec|csc|log|ln|exp|mod|gcd|lcm|max|min|sqrt|pi|or|and)$/;

/** Whether what stands between two dollar signs is a formula rather than a text between two amounts of money. */
function isFormula(content: string, after: string | undefined): boolean {
  const bare = content.trim();
  if (bare === "" || /\n\s*\n/.test(content)) return false;
  const words =
    bare
      .replace(TEXT_COMMAND, " ")
      .replace(/\\(?:begin|end)\s*\{[^{}]*\}(?:\{[lcr| ]*\})?|\\[A-Za-z]+/g, " ")
      .match(/[A-Za-z]{2,}/g) ?? [];
  const hasWords = words.some((word) => !FUNCTION_WORD.test(word));
  const endsApart = /\s$/.test(content);
  if (!/^[\d.,]/.test(bare)) return /\\[A-Za-z]/.test(bare) || !(hasWords && endsApart && /^\s/.test(content));
  // An amount: what follows it is a text, a sum of amounts, a list of them.
  if (after !== undefined && /\d/.test(after)) return false;
  if (!isBalanced(bare) || /[-+*/=<>,;:(×÷−–]$|\\(?:times|cdot)$/.test(bare)) return false;
  return !(endsApart && words.length > 0);
}

/** As many brackets open as close. */
function isBalanced(content: string): boolean {
  const count = (pattern: RegExp) => content.match(pattern)?.length ?? 0;
  return count(/[([]/g) === count(/[)\]]/g);
}

/** The text with spaces for the delimiters of formulas, and `\dollar` for the dollar signs before amounts. */
export function withoutDelimiters(whole: string): string {
  const text = whole.replace(/(?<![A-Za-z])(?:USD?|AU|CA|HK|NZ)\s?\\?\$(?=\s?\d)/g, "\\dollar ");
  if (!text.includes("$") && !/\\[()[\]]/.test(text)) return text;
  const delimiters = new Set<number>();
  for (const { start, end } of formulasIn(text)) {
    delimiters.add(start);
    delimiters.add(text[end - 2] === "$" && text[start + 1] === "$" ? end - 2 : end - 1);
  }
  return text
    .replace(MARK, (mark, at: number) => {
      if (mark[0] === "$")
        return !delimiters.has(at) && mark === "$" && /^\s*[\d.]/.test(text.slice(at + 1, at + 20)) ? "\\dollar " : " ";
      return mark;
    })
    .replace(/\\[()]|\\[[\]](?!\s*\d*(?:pt|em|ex))/g, " ");
}
