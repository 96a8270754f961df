/**
 * Answers that are marked as such: in `<answer>` tags, in boxes, behind `####`. The last mark counts; one that was begun
 * and never closed says that the answer was cut off.
 */

/** Only so much of a list of boxes is read. */
const MAX_LISTED_CHARACTERS = 4000;
const ANSWER_OPEN = "<answer>";
const ANSWER_CLOSE = "</answer>";

/** A marked answer: where its mark begins and ends. */
export interface Marked {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** What stands between the last closed tags. */
export function lastTagged(text: string): Marked | undefined {
  const close = text.lastIndexOf(ANSWER_CLOSE);
  if (close < 0) return undefined;
  const open = text.lastIndexOf(ANSWER_OPEN, close);
  return open < 0 ? undefined : { text: text.slice(open + ANSWER_OPEN.length, close), start: open, end: close };
}

interface Box extends Marked {
  /** The last item, where several boxes are one answer. */
  readonly last?: string;
}

/** The boxes of a text: the last one whose braces close, and where one begins that is cut off. */
export interface Boxes {
  readonly last?: Marked;
  /** Where a box begins after the last closed one and never closes. */
  readonly cutAt?: number;
}

/** A command that the end of the text has cut: `\box`. */
const CUT_COMMAND = /\\(?:b|bo|box|boxe|boxed|f|fb|fbo|fbox)\s*$/;

/** The last box, with those right before it; one inside another belongs to the outer one. */
export function boxesIn(text: string): Boxes {
  const pattern = /\\(?:boxed|fbox|framebox)\s*/g;
  let found: Box | undefined;
  let cutAt: number | undefined;
  // Where each brace closes, found once for all boxes.
  const closing = closingBraces(text, pattern.test(text));
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const start = pattern.lastIndex;
    if (text[start] !== "{") {
      const word = /^(-?[A-Za-z0-9.]+)/.exec(text.slice(start, start + 40));
      if (word) found = { text: word[1]!, start: match.index, end: start + word[1]!.length };
      continue;
    }
    const end = closing.get(start);
    if (end === undefined) {
      cutAt = match.index;
      continue;
    }
    const close = closesSet(text, start + 1, end) ? end + 1 : end;
    const box: Box = { text: withoutBox(text.slice(start + 1, close)), start: match.index, end: close + 1 };
    found = found && standTogether(text.slice(found.end, box.start)) ? listed(found, box) : box;
    pattern.lastIndex = close;
  }
  const cut = CUT_COMMAND.exec(text.slice(-20));
  if (cut) cutAt = Math.max(0, text.length - 20) + cut.index;
  if (cutAt !== undefined && found !== undefined && cutAt < found.start) cutAt = undefined;
  return { ...(found && { last: found }), ...(cutAt !== undefined && { cutAt }) };
}

/** The start of the last tag that is opened and not closed. */
export function openTagAt(text: string): number | undefined {
  const open = text.lastIndexOf(ANSWER_OPEN);
  return open > text.lastIndexOf(ANSWER_CLOSE) ? open : undefined;
}

/** `\boxed{ℝ\{1,2}}`: the first brace closes the set, the second the box. */
const closesSet = (text: string, start: number, end: number): boolean =>
  text[end + 1] === "}" && end - start < 200 && /\\\{[^{}\\]*$/.test(text.slice(start, end));

/** Between two boxes of one answer: "\boxed{1} papers and \boxed{2} bins", "\boxed{1} for part (a) and \boxed{2}". */
const JOINT =
  /^[\s$,;&]*(?:(?!(?:no|not|is|was|wrong)\b)(?:for (?:part|question|case) )?(?:[A-Za-z]{2,20}|\(?[A-Za-z\d]\)?)\s+(?=and\b))?(?:(?:and|or|和|或)[\s$,;]*)?(?:[A-Za-z](?:_\{?\d\}?)?\s*=\s*)?$/;

/** Whether two boxes are one answer: between them only spaces, commas, `and`, `or`, `x =`. */
function standTogether(between: string): boolean {
  if (between.length > 60 || /\n\s*\n/.test(between)) return false;
  // Two formulas with nothing to join them: the second one replaces the first.
  if (/^\s*(?:\${1,2}|\\[)\]])\s*(?:\${1,2}|\\[([])?\s*$/.test(between)) return false;
  const bare = between.replace(/\\(?:text|mathrm)\s*\{([^{}]*)\}|\\q?quad(?![A-Za-z])|\\[,;:!()[\] ]/g, " $1 ");
  return JOINT.test(bare);
}

function listed(first: Box, second: Box): Box {
  const isRepeated = first.last === second.text || first.text === second.text;
  if (isRepeated || first.text.length > MAX_LISTED_CHARACTERS)
    return { ...second, text: isRepeated ? first.text : second.text };
  return { text: `${first.text}, ${second.text}`, last: second.text, start: first.start, end: second.end };
}

function withoutBox(text: string): string {
  const inner = /^\s*\\(?:boxed|fbox)\s*\{([\s\S]*)\}\s*$/.exec(text);
  return (inner ? inner[1]! : text).trim();
}

function closingBraces(text: string, wanted: boolean): ReadonlyMap<number, number> {
  const closing = new Map<number, number>();
  if (!wanted) return closing;
  const open: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\" && /[{}\\]/.test(text[i + 1] ?? "")) i++;
    else if (text[i] === "{") open.push(i);
    else if (text[i] === "}") {
      const start = open.pop();
      if (start !== undefined) closing.set(start, i);
    }
  }
  return closing;
}

/** The rest of the last line that begins with `####`. */
export function lastLineMark(text: string): string | undefined {
  const start = `\n${text}`.lastIndexOf("\n####");
  if (start < 0) return undefined;
  return text
    .slice(start + 4)
    .split("\n", 1)[0]!
    .trim();
}
