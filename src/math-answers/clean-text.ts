/**
 * One spelling for what people and models write in many: Unicode signs, full-width digits, superscripts and vulgar
 * fractions become LaTeX or ASCII; LaTeX that only concerns looks (spacing, sizes, fonts, dollar signs) goes away. Every
 * rule is a single pass over the text, without nested repetition.
 */

import { withoutDelimiters } from "./formulas.ts";
import { restate } from "./restate.ts";

const SIGNS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "−": "-",
    "–": "-",
    "—": "-",
    "‐": "-",
    "‑": "-",
    "×": "\\times ",
    "⋅": "\\cdot ",
    "·": "\\cdot ",
    "∙": "\\cdot ",
    "∗": "*",
    "÷": "/",
    "⁄": "/",
    "∕": "/",
    "√": "\\sqrt ",
    "∛": "\\sqrt[3] ",
    "∞": "\\infty ",
    "∪": "\\cup ",
    "∩": "\\cap ",
    "∖": "\\setminus ",
    "∅": "\\emptyset ",
    "±": "\\pm ",
    "∓": "\\mp ",
    "≤": "\\le ",
    "⩽": "\\le ",
    "≥": "\\ge ",
    "⩾": "\\ge ",
    "≠": "\\ne ",
    "≈": "\\approx ",
    "≡": "\\equiv ",
    "°": "^\\circ ",
    º: "^\\circ ",
    "∈": "\\in ",
    ℝ: "\\mathbb{R}",
    ℤ: "\\mathbb{Z}",
    ℚ: "\\mathbb{Q}",
    ℕ: "\\mathbb{N}",
    ℂ: "\\mathbb{C}",
    "⟨": "\\langle ",
    "⟩": "\\rangle ",
    "′": "'",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "…": "\\ldots ",
    "，": ", ",
    "、": ", ",
    "；": "; ",
    "。": ".",
    "⌊": "\\lfloor ",
    "⌋": "\\rfloor ",
    "⌈": "\\lceil ",
    "⌉": "\\rceil ",
    "½": "\\frac{1}{2}",
    "⅓": "\\frac{1}{3}",
    "⅔": "\\frac{2}{3}",
    "¼": "\\frac{1}{4}",
    "¾": "\\frac{3}{4}",
    "⅕": "\\frac{1}{5}",
    "⅖": "\\frac{2}{5}",
    "⅗": "\\frac{3}{5}",
    "⅘": "\\frac{4}{5}",
    "⅙": "\\frac{1}{6}",
    "⅚": "\\frac{5}{6}",
    "⅛": "\\frac{1}{8}",
    "⅜": "\\frac{3}{8}",
    "⅝": "\\frac{5}{8}",
    "⅞": "\\frac{7}{8}",
    "€": "\\euro ",
    "£": "\\pounds ",
    "∂": "\\partial ",
    π: "\\pi ",
    α: "\\alpha ",
    β: "\\beta ",
    γ: "\\gamma ",
    δ: "\\delta ",
    ε: "\\epsilon ",
    θ: "\\theta ",
    λ: "\\lambda ",
    μ: "\\mu ",
    ρ: "\\rho ",
    σ: "\\sigma ",
    τ: "\\tau ",
    φ: "\\phi ",
    ϕ: "\\phi ",
    ω: "\\omega ",
  }),
);

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ";
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const PLAIN_SCRIPTS = "0123456789+-n";

const scriptText = (from: string) => (run: string) =>
  [...run].map((sign) => PLAIN_SCRIPTS[from.indexOf(sign)]).join("");

/** Words of LaTeX that say how something looks; what they are applied to stays. */
const LOOKS =
  /\\(?:left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|Bigg|middle|displaystyle|textstyle|scriptstyle|limits|nolimits|hspace\*?\{[^{}]*\}|boldsymbol|mathbf|mathit|mathsf|mathcal|bm|underline|color\s*\{[A-Za-z]{1,20}\}|textcolor\s*\{[A-Za-z]{1,20}\}|vec|hat|bar|widehat|overrightarrow|strut|kern|mathstrut|tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge)(?![A-Za-z])\.?/g;

/** `\mathbb{R}\{1, 2}`, `(0, 5) \ {2}`: a backslash for "without". */
const SET_MINUS = /(\\mathbb\s*\{[A-Z]\}|[)\]]) ?\\ ?\\?\{ ?([^{}\\]{1,200}?) ?\\?\}/g;

const COMMAND =
  /\\\\(?:[dtc]?frac|sqrt|left|right|boxed|text|math[a-z]+|pi|leq?|geq?|neq?|cdot|times|infty|cup|cap|in|pm|begin|end|circ|angle|theta|alpha|beta|log|ln|sin|cos|tan|[{}])(?![A-Za-z])/;

/** `\\\\frac{1}{2}`: a text that was escaped twice, where every backslash stands in a pair. */
function unescaped(text: string): string {
  if (!COMMAND.test(text) || /(?<!\\)\\(?:\\\\)*(?!\\)/.test(text)) return text;
  return text.replace(/\\\\/g, "\\");
}

/** The text in one spelling. It is at most a few times as long as before. */
export function cleanText(text: string): string {
  const spelled = restate(withoutDelimiters(unescaped(text)))
    .replace(/[\u{FF01}-\u{FF5E}]/gu, (sign) => (SIGNS.has(sign) ? sign : sign.normalize("NFKC")))
    .replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+/gu, (run) => `^{${scriptText(SUPERSCRIPTS)(run)}}`)
    .replace(/[₀-₉]+/gu, (run) => `_{${scriptText(SUBSCRIPTS)(run)}}`)
    .replace(/[\u{200B}-\u{200D}\u{2060}\u{FEFF}\u{2713}]|\u{FE0F}|\p{Extended_Pictographic}/gu, "")
    .replace(/[\u{A0}\u{2000}-\u{200A}\u{202F}\u{205F}\u{3000}]/gu, " ")
    .replace(/[\u{80}-\u{10FFFF}]/gu, (sign) => SIGNS.get(sign) ?? sign);
  return spelled
    .replace(/\\\\(?:\[[^\]]{0,20}\])?/g, " \\newline ")
    .replace(/,\\!\s*(?=\d{3}(?!\d))/g, ",")
    .replace(/\\!/g, "")
    .replace(/(\d)(?:\\[,;:> ]|~)(?=\d{3}(?!\d))/g, "$1")
    .replace(SET_MINUS, "$1\\setminus\\{$2\\}")
    .replace(/\\(?:[,;:> ]|\n)|~/g, " ")
    .replace(/ ?\{ ?, ?\} ?(?=\d{3}(?!\d))/g, ",")
    .replace(/(\d)\{,\}(?=\d)/g, "$1.")
    .replace(/(\d)\{\.\}(?=\d)/g, "$1.")
    .replace(/\\\$|\\(?:math|text)dollar(?![A-Za-z])|\\text\{\s*\\?\$\s*\}/g, "\\dollar ")
    .replace(/\\[dtc]frac(?![A-Za-z])/g, "\\frac")
    .replace(/\\[dt]binom(?![A-Za-z])/g, "\\binom")
    .replace(/\\(le|ge)q(?:slant)?(?![A-Za-z])/g, "\\$1")
    .replace(/\\overline\s*\{([A-Z]{2})\}/g, "$1")
    .replace(/(?<![A-Za-z\\])m\s*\\angle(?![A-Za-z])/g, "\\angle")
    .replace(
      /\\frac\s*\{\s*\\(?:text|mathrm)\s*\{([^{}]{1,20})\}\s*\}\s*\{\s*\\(?:text|mathrm)\s*\{([^{}]{1,20})\}\s*\}/g,
      "\\text{$1/$2}",
    )
    .replace(
      /(\d\s*)(?:\\text\s*\{)?\s*([ap])\.\s?m\.?(?![A-Za-z])\s*\}?/gi,
      (_, time: string, half: string) => `${time} \\text{${half.toLowerCase()}m}`,
    )
    .replace(
      /(\d:\d\d\s*)(?:\\text\s*\{)?\s*([ap])m(?![A-Za-z])\s*\}?/gi,
      (_, time: string, half: string) => `${time} \\text{${half.toLowerCase()}m}`,
    )
    .replace(/\\(?:phantom|hphantom|tag\*?|label)\s*\{[^{}]*\}/g, " ")
    .replace(/(?<=[\d)}\]\s])\{\s*\}/g, " ")
    .replace(
      /\\(?:mathbf|boldsymbol|bm|mathit|mathsf|mathcal|vec|hat|overrightarrow)\s*\{\s*([A-Za-z]{1,2})\s*\}/g,
      " $1 ",
    )
    .replace(/\\q?quad/g, " ")
    .replace(LOOKS, " ")
    .trim()
    .replace(/(?:\\newline|\\blacksquare|\\square|\\Box|\\qed)$/, "")
    .trim()
    .replace(/^\{\s*([A-Za-z])\s*(\||:|\\mid(?![A-Za-z]))([\s\S]*[^\\])\}$/, "\\{$1 $2 $3\\}")
    .replace(/^[-+]?\d{1,3}(?: \d{3})+(?:\.\d+)?$/, (grouped) => grouped.replaceAll(" ", ""))
    .replace(/^(\d+)\s*(?:\\text\s*\{\s*to\s*\}|to)\s*(\d+)$/, "$1:$2");
}

/** Lower case, without the commands and braces around words, punctuation and articles. */
export function plainWords(text: string): string {
  return text
    .replace(/\\(?:text|mathrm|textbf|textit|textrm|textnormal|mbox|operatorname)\s*\{([^{}]*)\}/g, "$1")
    .toLowerCase()
    .replace(/(?<![.,;:!?"'`*])[.,;:!?"'`*]+(?=\s|$)/g, "")
    .replace(/\b(?:the|a|an)\s/g, "")
    .replace(/\s+/g, " ")
    .trim();
}
