/**
 * Notation that comes before the grammar: environments of display mathematics, commands that a text escape has damaged,
 * ellipses behind decimals, ordinals, and the few words that are part of a number (`2.5 million`, `about 3.1`, `3 out of
 * 8`). Each becomes what the grammar reads. Rules are single passes with bounded repetition, as in `clean-text.ts`.
 */

/** Rest of a command whose backslash and first letter an escape has turned into one control character. */
const DAMAGED: readonly (readonly [control: string, letter: string, rests: string])[] = [
  ["\f", "f", "rac orall box"],
  ["\b", "b", "oxed inom egin ar eta f m"],
  ["\t", "t", "frac ext imes heta an au extbf extit"],
];

const ENVIRONMENTS =
  /\\(?:begin|end)\s*\{(?:aligned|alignedat|align|gathered|gather|split|equation|multline|eqnarray|displaymath|math)\*?\}/g;

const POWERS_OF_TEN: Readonly<Record<string, number>> = {
  hundred: 2,
  thousand: 3,
  million: 6,
  billion: 9,
  trillion: 12,
};

/** A text with these notations spelled as formulas; the backslashes of `\\` are still there. */
export function restate(text: string): string {
  // Runs of white space become one space first: no rule below then has a run of them to try in many ways.
  const spaced = undamaged(text).replace(/\s+/g, " ");
  return wordsOfNumbers(decimalsThatGoOn(displayLines(systems(spaced))));
}

function undamaged(text: string): string {
  let whole = text;
  for (const [control, letter, rests] of DAMAGED) {
    if (!whole.includes(control)) continue;
    for (const rest of rests.split(" ")) {
      whole = whole
        .replaceAll(`${control}${rest}{`, `\\${letter}${rest}{`)
        .replaceAll(`${control}${rest} `, `\\${letter}${rest} `);
    }
  }
  return whole.replace(/(?<![\\A-Za-z])[dtc]?frac(?=\s*\{)/g, "\\frac");
}

/** A brace on the left of several lines is `cases`. */
function systems(text: string): string {
  if (!/\\right\s*\./.test(text)) return text;
  return text
    .replace(
      /\\left\s*\\\{\s*\\begin\s*\{(?:array|aligned|matrix|gathered)\}(?:\s*\{[^{}]{0,20}\})?/g,
      "\\begin{cases}",
    )
    .replace(/\\end\s*\{(?:array|aligned|matrix|gathered)\}\s*\\right\s*\./g, "\\end{cases}");
}

/** The lines of an aligned environment: one chain where they go on with a relation, else a list. */
function displayLines(text: string): string {
  const bare = text.replace(ENVIRONMENTS, " ");
  if (bare === text || bare.includes("\\begin")) return bare;
  return bare
    .replace(/\\(?:nonumber|notag)(?![A-Za-z])/g, " ")
    .replace(/\\\\(?:\[[^\]]{0,20}\])? ?&* ?(?=[=<>]|\\(?:le|ge|lt|gt|approx))/g, " ")
    .replace(/\\\\(?:\[[^\]]{0,20}\])? ?$/, " ")
    .replace(/\\\\(?:\[[^\]]{0,20}\])?/g, " , ")
    .replace(/(?<!\\)&/g, " ");
}

/** `0.333…` and `0.1666...` repeat; `3.14159...` is a decimal that is cut off; `0.\bar{3}` is `0.\overline{3}`. */
function decimalsThatGoOn(text: string): string {
  return text
    .replace(/\\(?:dots|cdots|dotsc|dotsb|ldots)(?![A-Za-z])|\.{3,}|…/g, "\\ldots ")
    .replace(/(\d\s*\.\s*\d{0,20}\s*)\\bar(?![A-Za-z])/g, "$1\\overline")
    .replace(
      /(?<![\d.])(\d{1,20}\.\d{0,20}?)(?:(\d)\2{2,20}|(\d{2,12}?)\3{1,20})(?!\d)\s*\\ldots /g,
      (_, start: string, digit: string | undefined, cycle: string | undefined) =>
        `${start}\\overline{${digit ?? cycle}}`,
    )
    .replace(/(?<![\d.])(\d{1,20}\.\d{3,40})\s*\\ldots /g, "$1 ");
}

const HEDGE =
  /^\s*(?:\\(?:text|mathrm|textbf)\s*\{\s*)?(?:\\approx(?![A-Za-z])|\\sim(?:eq)?(?![A-Za-z])|≈|∼|(?:about|approximately|approx\.?|roughly|nearly)(?![A-Za-z]))\s*\}?\s*(?=[-+−$\\.]*\s*\d|\\[df]?rac|\\sqrt|\\pi)/i;

function wordsOfNumbers(text: string): string {
  return text
    .replace(/\\text\s*\{\s*,?\s*(?:where|for|with)\s*\}/g, ", ")
    .replace(
      /,?\s*\\text\s*\{\s*,?\s*(?:where|for|for any|for all|for some)? ?integers?\s*\}\s*\$?([a-z])\$?\s*$/,
      ", $1\\in\\mathbb{Z}",
    )
    .replace(
      /,?\s*(?:\bwhere|\bfor)?\s*\$?(?<![A-Za-z\\])([a-z])\$?\s*(?:\\text\s*\{)?\s*(?:is|are)? ?an(?:y)? integer\s*\}?\s*$/,
      ", $1\\in\\mathbb{Z}",
    )
    .replace(/,?\s*\bfor (?:an[y] |all |every |each |some )?integers? \$?([a-z])\$?\s*$/, ", $1\\in\\mathbb{Z}")
    .replace(HEDGE, "")
    .replace(/\\(?:text|mathrm|textbf)\s*\{\s*(\d{1,2}:\d\d[^{}]{0,20})\}/g, "$1")
    .replace(/ ?\\text\s*\{ ?for (?:all|every|an[y])(?: real)?(?: numbers?)? ?\} ?[a-z]$/, "")
    .replace(/(\d) ?o['’]clock/, "$1")
    .replace(/^\s*the (?=\d)/i, "")
    .replace(/(\d) ?x ?(?=10(?:\^|\s?[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]))/g, "$1\\times ")
    .replace(/^(\d+)\s*\{\s*(\\[dt]?frac\s*\{\d+\}\s*\{\d+\})\s*\}$/, "$1$2")
    .replace(
      /(\d)(?:\s*\^\s*\{\s*(?:\\(?:text|mathrm)\s*\{\s*)?(?:st|nd|rd|th)\s*\}?\s*\}|\s*\^?\s*\\(?:text|mathrm)\s*\{\s*(?:st|nd|rd|th)\s*\}|(?:st|nd|rd|th)(?![A-Za-z]))/g,
      "$1",
    )
    .replace(/^\s*(\d{1,15}) out of (\d{1,15})(?!\d)/, "\\frac{$1}{$2}")
    .replace(/(\d)\s*(?:\\text\s*\{\s*)?and a half(?![A-Za-z])\s*\}?/, "$1\\frac{1}{2}")
    .replace(
      /(\d|\})\s*\\(?:text|mathrm)\s*\{\s*(hundred|thousand|million|billion|trillion)s?(?![A-Za-z])([^{}]{0,60})\}/g,
      (_, before: string, word: string, rest: string) => `${before}\\cdot 10^{${POWERS_OF_TEN[word]}}\\text{${rest}}`,
    )
    .replace(
      /(\d)[\s-]*(?<![A-Za-z])(hundred|thousand|million|billion|trillion)s?(?![A-Za-z])/g,
      (_, before: string, word: string) => `${before}\\cdot 10^{${POWERS_OF_TEN[word]}} `,
    )
    .replace(
      /(\d\s*)(?:(k|M)|\\(?:text|mathrm)\s*\{\s*([kM])\s*\})?(?:\s|\\[,;: ]|~)*(?:\\Omega|Ω)\s*$/,
      "$1 \\text{$2$3ohm}",
    );
}
