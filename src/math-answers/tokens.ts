/**
 * The signs of an answer: numerals, names, LaTeX commands, words and punctuation. LaTeX and plain notation are read by
 * the same rules, since models mix them. A run of three or more letters that is no known name is a word; in a formula it
 * is taken apart again (`xyz` is x·y·z), in a sentence it stays what it is.
 */

/** A sign. `spaced`: white space stands before it. */
export interface AnswerToken {
  readonly type: "number" | "name" | "word" | "text" | "sign";
  /** A numeral without separators; a name; a word; the content of `\text{…}`; a sign's canonical spelling. */
  readonly text: string;
  readonly spaced: boolean;
}

/** More signs than this are no final answer. */
const MAX_TOKENS = 4000;

/** Functions of one argument (some take a subscript or an exponent before it), by every spelling. */
const FUNCTIONS = [
  ...["sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh"],
  ...[
    "log",
    "ln",
    "lg",
    "exp",
    "sqrt",
    "cbrt",
    "abs",
    "floor",
    "ceil",
    "gcd",
    "lcm",
    "max",
    "min",
    "binom",
    "det",
    "cis",
  ],
];
const ALIASES: Readonly<Record<string, string>> = {
  asin: "arcsin",
  acos: "arccos",
  atan: "arctan",
  infinity: "infty",
  inf: "infty",
  oo: "infty",
  infin: "infty",
  cosec: "csc",
  tg: "tan",
  ctg: "cot",
  surd: "sqrt",
  choose: "choose",
};
const GREEK =
  "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell";
const greek = new Set(GREEK.split(" "));
const functions = new Set(FUNCTIONS);

/** Commands that are a sign of the grammar, by that sign. */
const COMMAND_SIGNS: Readonly<Record<string, string>> = {
  times: "*",
  cdot: "*",
  ast: "*",
  div: "/",
  over: "/",
  pm: "pm",
  mp: "mp",
  le: "<=",
  leq: "<=",
  leqslant: "<=",
  lt: "<",
  ge: ">=",
  geq: ">=",
  geqslant: ">=",
  gt: ">",
  ne: "!=",
  neq: "!=",
  approx: "approx",
  simeq: "approx",
  in: "in",
  cup: "cup",
  bigcup: "cup",
  cap: "cap",
  setminus: "setminus",
  backslash: "setminus",
  smallsetminus: "setminus",
  emptyset: "emptyset",
  varnothing: "emptyset",
  infty: "infty",
  pi: "pi",
  circ: "circ",
  degree: "degree",
  langle: "(",
  rangle: ")",
  lbrack: "[",
  rbrack: "]",
  lbrace: "\\{",
  rbrace: "\\}",
  lfloor: "lfloor",
  rfloor: "rfloor",
  lceil: "lceil",
  rceil: "rceil",
  lvert: "|",
  rvert: "|",
  vert: "|",
  mid: "|",
  colon: ":",
  prime: "'",
  frac: "frac",
  partial: "partial",
  sum: "sum",
  prod: "product",
  lim: "lim",
  int: "int",
  iint: "int",
  oint: "int",
  to: "to",
  rightarrow: "to",
  binom: "binom",
  choose: "choose",
  dollar: "dollar",
  euro: "euro",
  pounds: "pounds",
  lor: "or",
  vee: "or",
  land: "and",
  wedge: "and",
  overline: "overline",
  dot: "overline",
  mathbb: "mathbb",
  newline: "\\\\",
  cr: "\\\\",
  ldots: "ldots",
  begin: "begin",
  end: "end",
};
const TEXT_COMMANDS = new Set([
  "text",
  "mathrm",
  "textbf",
  "textit",
  "textrm",
  "mbox",
  "operatorname",
  "rm",
  "bf",
  "textsf",
  "textnormal",
  "textup",
  "hbox",
]);
const DECORATIONS = new Set(["angle", "triangle", "cdotp", "boxed", "fbox", "Longrightarrow", "therefore", "implies"]);

const NUMBER = /\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+/y;
const PLAIN_NUMBER = /\d+(?:\.\d+)?|\.\d+/y;
const SPACES = /\s+/y;
const LETTERS = /[A-Za-z]+/y;
const COMMAND = /\\([A-Za-z]+)\*?/y;
const OTHER_WORD = /[\p{L}\p{M}][\p{L}\p{M}'-]*/uy;
const TWO_SIGNS: Readonly<Record<string, string>> = {
  "**": "^",
  "<=": "<=",
  ">=": ">=",
  "!=": "!=",
  "==": "=",
  "=<": "<=",
  "+-": "pm",
  "\\{": "\\{",
  "\\}": "\\}",
  "\\%": "%",
  "\\|": "|",
  "\\&": "&",
  "\\_": "_",
  "\\#": "#",
};

/**
 * The signs of a cleaned text (`cleanText`), or what cannot be read. `grouped`: `1,234` is a number, else a list.
 */
export function tokenizeAnswer(text: string, grouped: boolean): readonly AnswerToken[] | { readonly fault: string } {
  const tokens: AnswerToken[] = [];
  let at = 0;
  let spaced = false;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  const push = (type: AnswerToken["type"], value: string): void => {
    tokens.push({ type, text: value, spaced });
    spaced = false;
  };
  while (at < text.length) {
    if (tokens.length > MAX_TOKENS) return { fault: `it has more than ${MAX_TOKENS} signs` };
    if (match(SPACES)) {
      spaced = true;
      continue;
    }
    const number = match(grouped ? NUMBER : PLAIN_NUMBER);
    if (number) {
      push("number", number[0].replaceAll(",", ""));
      continue;
    }
    const command = match(COMMAND);
    if (command) {
      const fault = readCommand(command[1]!);
      if (fault !== undefined) return { fault };
      continue;
    }
    const letters = match(LETTERS);
    if (letters) {
      for (const [type, name] of namesOf(letters[0])) push(type, name);
      continue;
    }
    const pair = TWO_SIGNS[text.slice(at, at + 2)];
    if (pair !== undefined) {
      push("sign", pair);
      at += 2;
      continue;
    }
    const other = match(OTHER_WORD);
    if (other) {
      push("word", other[0]);
      continue;
    }
    const sign = text[at]!;
    if (!/[-+*/^_=<>!|(),;:[\]{}.%'"&?#@`]/.test(sign)) return { fault: `it has ${JSON.stringify(sign)} in it` };
    push("sign", sign);
    at++;
  }
  return tokens;

  function readCommand(name: string): string | undefined {
    if (TEXT_COMMANDS.has(name)) {
      const content = bracedText(text, at);
      if (content === undefined) return `\\${name} has no text`;
      at = content.end;
      const word = content.text.trim();
      const isConstant = (word === "i" || word === "e") && name !== "text";
      if (isConstant || (functions.has(word) && word !== "min" && word !== "max")) push("name", word);
      else push("text", content.text);
    } else if (DECORATIONS.has(name)) spaced = true;
    else if (Object.hasOwn(COMMAND_SIGNS, name)) {
      const sign = COMMAND_SIGNS[name]!;
      if (sign !== "begin" && sign !== "end" && sign !== "mathbb") push("sign", sign);
      else {
        const content = bracedText(text, at) ?? { text: text[at] ?? "", end: at + 1 };
        at = content.end;
        push("sign", `${sign} ${content.text.trim()}`);
      }
    } else if (greek.has(name)) push("name", name.replace(/^var/, ""));
    else if (functions.has(name) || Object.hasOwn(ALIASES, name)) push("name", ALIASES[name] ?? name);
    else return `it has \\${name} in it`;
    return undefined;
  }
}

/** What stands between the braces that open at (or after spaces from) `start`. */
function bracedText(text: string, start: number): { readonly text: string; readonly end: number } | undefined {
  let at = start;
  while (text[at] === " ") at++;
  if (text[at] !== "{") return undefined;
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return { text: text.slice(at + 1, i), end: i + 1 };
  }
  return undefined;
}

/** A run of letters as names or a word. */
function namesOf(letters: string): readonly (readonly ["name" | "word" | "sign", string])[] {
  const lower = letters.toLowerCase();
  if (lower === "or" || lower === "and") return [["sign", lower]];
  if (lower === "pi") return [["sign", "pi"]];
  if (functions.has(lower)) return [["name", lower]];
  if (Object.hasOwn(ALIASES, lower)) {
    const alias = ALIASES[lower]!;
    return [alias === "infty" || alias === "choose" ? ["sign", alias] : ["name", alias]];
  }
  if (greek.has(letters)) return [["name", letters]];
  return letters.length === 1 ? [["name", letters]] : [["word", letters]];
}

/** Whether a name is a function's. */
export function isFunction(name: string): boolean {
  return functions.has(name);
}
