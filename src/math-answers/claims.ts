/**
 * What running text claims: the value of its last sentence that has one. In a sentence that is the last value behind a verb
 * or sign that states it ("there are 12 ways for these 3 numbers" says 12), else its last formula or number. What a sentence
 * denies, doubts or only bounds is no claim: "it is not 42", "more than 42", "is it 42?".
 */

import { type Formula, formulasIn } from "./formulas.ts";
import { endsInNumber, type PlainValue, plainValues } from "./plain-values.ts";

/** A claimed value, and whether it stands between delimiters of formulas. */
export interface Claim {
  readonly text: string;
  readonly from: "formula" | "number";
  readonly start: number;
  /** A verb or sign states it. */
  readonly isStated: boolean;
  /** Its sentence has no other value. */
  readonly isOnly: boolean;
  /** It is the only one, or the last one and the only one that is stated. */
  readonly isClear: boolean;
  /** Its sentence draws a conclusion: "therefore", "in total". */
  readonly isConclusion: boolean;
}

interface Candidate extends PlainValue {
  readonly from: Claim["from"];
}

/** The value that a text claims last. */
export function lastClaim(text: string): Claim | undefined {
  const formulas = formulasIn(text);
  const plain = plainValues(text, formulas);
  const candidates: Candidate[] = [
    ...formulas.filter(hasValue).map((formula) => ({
      ...formula,
      from: "formula" as const,
      isResult: endsInNumber(formula.text),
    })),
    ...plain.map((value) => ({ ...value, from: "number" as const })),
  ].sort((a, b) => a.start - b.start);
  // Names alone are what is said where nothing else is: "$E$".
  if (candidates.length === 0) return formulas.length === 0 ? undefined : alone(formulas.at(-1)!);
  const sentences = sentencesOf(text, formulas);
  for (let s = sentences.length - 1, i = candidates.length - 1; s >= 0 && i >= 0; s--) {
    const [from, to] = sentences[s]!;
    const inside: Candidate[] = [];
    for (; i >= 0 && candidates[i]!.start >= from; i--) inside.unshift(candidates[i]!);
    const claim = inside.length > 0 ? claimOf(text, from, to, inside) : undefined;
    if (claim) return claim;
  }
  return undefined;
}

const alone = ({ text, start }: Formula): Claim => {
  return { text, start, from: "formula", isStated: false, isOnly: true, isClear: false, isConclusion: false };
};

/** A formula that is more than a name, `$x$`. */
const hasValue = ({ text }: Formula): boolean =>
  !/^\\?[A-Za-z]+(?:_\{?\w+\}?)?$/.test(text) || /\\(?:pi|infty|emptyset|varnothing)/.test(text);

/** Where sentences begin and end; a full stop in a formula ends none. */
function sentencesOf(text: string, formulas: readonly Formula[]): readonly (readonly [number, number])[] {
  const ends: number[] = [];
  let next = 0;
  for (const { text: formula, end } of formulas) if (/[.。]$/.test(formula)) ends.push(end);
  for (const { index, 0: mark } of text.matchAll(/[.!?](?=["'”’)\]]?(?:\s|$))|[。！？]|\n/g)) {
    while (next < formulas.length && formulas[next]!.end <= index) next++;
    if (!formulas[next] || index < formulas[next]!.start) ends.push(index + mark.length);
  }
  ends.sort((a, b) => a - b);
  return [0, ...ends].map((start, i) => [start, ends[i] ?? text.length]);
}

function claimOf(text: string, from: number, to: number, candidates: readonly Candidate[]): Claim | undefined {
  const sentence = text.slice(from, to);
  if (isQuestion(sentence)) return undefined;
  const open = candidates.filter((candidate) => !isDenied(text, from, candidate));
  const groups = joined(text, open);
  const stated = groups.filter((group) => isStated(text, from, group[0]!));
  const chosen = stated.at(-1) ?? groups.at(-1);
  if (!chosen) return undefined;
  const [first] = chosen as [Candidate, ...Candidate[]];
  const isPlain = chosen.every((one) => one.from === "number");
  return {
    text: chosen
      .map((one) => one.text)
      .join(/\b(?:or|oder|ou)\b|或/i.test(text.slice(first.end, chosen.at(-1)!.start)) ? " or " : ", "),
    from: isPlain ? "number" : "formula",
    start: first.start,
    isStated: stated.length > 0,
    isOnly: candidates.length === 1,
    isClear: candidates.length === 1 || (chosen.at(-1) === candidates.at(-1) && concludes(text, stated, chosen)),
    isConclusion: CONCLUDES.test(sentence),
  };
}

/** Whether a group is the only one that is stated, or a conclusion from the others. */
function concludes(text: string, stated: readonly Candidate[][], chosen: readonly Candidate[]): boolean {
  const before = stated[stated.indexOf(chosen as Candidate[]) - 1]?.at(-1);
  if (stated.at(-1) !== chosen) return false;
  return before === undefined || CONCLUDES.test(text.slice(before.end, chosen[0]!.start));
}

const CONCLUDES = /\b(?:so|thus|therefore|hence|total|altogether|in all|finally|conclude|answer)\b|∴|所以|因此|故|共/i;

const isQuestion = (sentence: string): boolean =>
  /[?？]\s*$/.test(sentence) &&
  /^\W*(?:is|are|was|could|can|does|do|would|should|what|which|how|why|or|maybe|so is)\b|^[^A-Za-z]*[?？]/i.test(
    sentence.trimStart(),
  );

/** Values with nothing but "or", "and" or "=" between them are one list. */
function joined(text: string, candidates: readonly Candidate[]): Candidate[][] {
  const groups: Candidate[][] = [];
  for (const candidate of candidates) {
    const last = groups.at(-1)?.at(-1);
    const between = last && text.slice(last.end, candidate.start);
    if (between !== undefined && isJoint(between, candidate, groups.at(-1)!)) groups.at(-1)!.push(candidate);
    else groups.push([candidate]);
  }
  return groups;
}

const ASSIGNS = /^\(?[A-Za-z](?:_\{?\w\}?)?\)?\s*=/;

function isJoint(between: string, candidate: Candidate, group: readonly Candidate[]): boolean {
  if (between.length > 40) return false;
  if (/^\s*,?\s*(?:or|oder|ou|或)(?:\s+(?:maybe|perhaps|possibly|else|even))?\s*$/i.test(between))
    return !isSameAsPercent(candidate);
  const bothAssign = [candidate, group[0]!].every(({ text }) => ASSIGNS.test(text));
  return bothAssign && /^\s*(?:,|;|and|,\s*and|和)\s*$/i.test(between);
}

/** "3/20, or 15 %": the same again. */
const isSameAsPercent = ({ text }: Candidate): boolean => /%\s*$/.test(text);

/** A denial at most three words before the value: "it is not 42", "does not equal 42". */
const DENIES =
  /(?:^|[^\p{L}])(?:not|never|nor|neither|cannot|\p{L}+n['’]t)(?![\p{L}'’])(?:\s+[^\s,;:\d]+){0,3}\s*$|(?:不是|并非|不等于)\s*$/iu;
const DOUBTS =
  /\b(?:doubt|don['’]t think|do not think|don['’]t believe|do not believe|unlikely|impossible|wrong to)\b/i;
/** What the value only bounds, or is apart from. */
const BOUNDS =
  /(?:\b(?:than|between|over|under|above|below|beyond|near|except|unlike|besides|rather than|instead of|until|close to|far from|(?:anything|all|nothing) but)|±)\s+(?:the\s+|only\s+|a\s+)?(?:\$[^$]{1,40}\$\s+and\s+|[\d.]{1,20}\s+and\s+)?$/i;
const DENIED_AFTER =
  /^\s*(?:is|are|was|were|would be|seems)\s+(?:not|never|wrong|incorrect|impossible|near|close|too (?:large|small|high|low|big|many|few))\b|^\s*(?:(?:is|are|does|wo)n['’]t|cannot|can['’]t|does not|fails)\b/i;

function isDenied(text: string, from: number, { start, end }: Candidate): boolean {
  const before = text.slice(Math.max(from, start - 120), start);
  // "not 41 but 42", "not hard, so 42": another clause.
  const clause = before.split(/[,;:](?!\d)|\b(?:but|so|then|therefore|hence|thus|and|because|since)\b/i).at(-1)!;
  if (DENIES.test(clause) || BOUNDS.test(before) || DOUBTS.test(before)) return true;
  return DENIED_AFTER.test(text.slice(end, end + 40));
}

const AMOUNT =
  "total|value|sum|probability|chance|length|area|volume|cost|price|profit|distance|speed|maximum|minimum|average|mean|score|remainder|result|answer|ratio|number";
/** What stands before a value that is stated. */
const STATES = new RegExp(
  String.raw`(?:\b(?:is|are|was|were|be|been|equals?|equal to|gives?|giving|yields?|yielding|gets?|obtain|find|leaves?|leaving|makes?|making|have|has|had|costs?|pays?|paid|takes?|needs?|totals?|totaling|(?:sums?|amounts?|comes?|works? out|evaluates?|simplif\w+|reduces?) to|(?:increas|decreas|exceed|grow|ris|fall|drop|reduc|shrink)\w* (?:by|to)|becomes?|therefore|thus|hence|so|exactly|namely|there['’]s|it['’]s|that['’]s|${AMOUNT}|an? (?:${AMOUNT}) of)\s*:?\s+(?:(?:therefore|thus|hence|exactly|precisely|only|just|a|the|in|to|by|about|approximately|roughly|equal|now|then|also|simply|still|at least|at most|all|altogether|total of|number of)\s+){0,4}|[=:：≈⇒→]\s*|\\Rightarrow\s*|[是为有共得]\s*)$`,
  "iu",
);
/** Words that begin a clause which only sets the scene, up to its comma: "since there are 4, …". */
const SUBORDINATE =
  /(?:^|[^\p{L}])(?:if|when|whenever|since|because|where|such that|after|before|while|although)(?![\p{L}])[^,;]{0,150}$/iu;

/** A word before an equation that says for which value something holds: "7 at x = 2". */
const SETS_SCENE = /\b(?:at|for|when|with|where|if|taking|setting|let|using|from|via|by)\s+(?:all\s+|the\s+)?$/i;

/** Whether a verb or sign in a main clause states the value. */
function isStated(text: string, from: number, { start, isResult }: Candidate): boolean {
  const before = text.slice(Math.max(from, start - 160), start);
  if (SUBORDINATE.test(before) || SETS_SCENE.test(before)) return false;
  return isResult || before.trim() === "" || STATES.test(before);
}
