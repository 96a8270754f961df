import { describe, expect, test } from "vitest";
import { JudgementBudget } from "../../src/math-answers/budget.ts";
import { canonicalAnswerOf, judgeMath } from "../../src/math-answers/judge-answer.ts";
import { cpuTimeMs, HANG_LIMIT_MS } from "../cpu-time.ts";
import { blind, corpus, countCategory, examination, kinds } from "./corpus.ts";
import { judgeAnswer } from "./judge-answer-text.ts";

/** Pairs that are judged wrongly, with the reason why that is left so. */
const KNOWN_FAILURES: Readonly<Record<string, readonly string[]>> = {
  "answers as data sets give them": [],
};

/** The pairs of each category: a category that shrinks by accident fails. */
const FEWEST_PAIRS: Readonly<Record<string, number>> = {
  integers: 41,
  fractions: 38,
  decimals: 30,
  "roots and powers": 32,
  "logs and trigonometry": 31,
  expressions: 45,
  "complex numbers": 14,
  "sets and lists": 45,
  "tuples and points": 25,
  intervals: 37,
  equations: 33,
  percentages: 17,
  units: 41,
  "matrices and vectors": 13,
  "text and choices": 35,
  "scientific notation": 12,
  hostile: 36,
  "where the answer stands": 66,
  "answers as data sets give them": 241,
};

describe("the corpus", () => {
  test("has every category with at least its pairs, equal and unequal", () => {
    expect(Object.keys(corpus)).toEqual(Object.keys(FEWEST_PAIRS));
    for (const [category, pairs] of Object.entries(corpus)) {
      expect(pairs.length, category).toBeGreaterThanOrEqual(FEWEST_PAIRS[category]!);
      expect(new Set(pairs.map(({ equal }) => equal)), category).toEqual(new Set([true, false]));
    }
  });

  test.each(Object.entries(corpus))("%s: every pair is judged as written, known failures apart", (category, pairs) => {
    expect(countCategory(pairs).failures).toEqual(KNOWN_FAILURES[category] ?? []);
  });
});

describe("the examiner's pairs", () => {
  test("are at least 300, with the categories' equal and unequal ones", () => {
    expect(Object.values(examination).flat().length).toBeGreaterThanOrEqual(890);
  });

  test.each(Object.entries(examination))("%s: every pair is judged as written", (_, pairs) => {
    expect(countCategory(pairs).failures).toEqual([]);
  });
});

/** Golds of the blind pairs that are judged wrongly: values that are not worked out, and words that say the same. */
const BLIND_FAILURES: Readonly<Record<string, readonly string[]>> = {
  "integers and signs": ["1", "2^{1000000}"],
  "units and degrees": ["12\\text{ inches}"],
  "sets, tuples, points and lists": ["\\pm 1 \\pm \\sqrt{2}"],
  "trigonometry, calculus, sums and piecewise": [
    "\\sum_{n=1}^{\\infty}\\frac{1}{2^n}",
    "\\int_0^1 x\\,dx",
    "\\lim_{x\\to 0}\\frac{\\sin x}{x}",
  ],
  "choices, yes/no and words": ["\\triangle ABC", "\\text{CO}_2", "H_2O"],
  "round two: choices and words": ["\\text{Alice}"],
  "round two: dressing, numbers in words, approximations": ["2.5\\times10^{-6}"],
};

describe("the blind pairs", () => {
  test("are at least 1400", () => {
    expect(Object.values(blind).flat().length).toBeGreaterThanOrEqual(1400);
  });

  test.each(Object.entries(blind))("%s: every pair is judged as written, known failures apart", (category, pairs) => {
    expect(countCategory(pairs).failures.map((failure) => failure.split(" | ")[0])).toEqual(
      BLIND_FAILURES[category] ?? [],
    );
  });
});

describe("kinds of faults", () => {
  test("have at least 800 pairs, equal and unequal ones of each kind", () => {
    expect(Object.values(kinds).flat().length).toBeGreaterThanOrEqual(800);
    for (const [kind, pairs] of Object.entries(kinds)) {
      expect(new Set(pairs.map(({ equal }) => equal)), kind).toEqual(new Set([true, false]));
    }
  });

  test.each(Object.entries(kinds))("%s: every pair is judged as written", (_, pairs) => {
    expect(countCategory(pairs).failures).toEqual([]);
  });
});

describe("what looks alike and is not the same", () => {
  test.each([
    ["an absolute value", "|x| = 5", "x = 5"],
    ["a length, in either name", "|AB| = 5", "AB = 6"],
    ["a half-open interval and two numbers", "(1, 2]", "1, 2"],
    ["two numbers and a half-open interval", "1, 2", "(1, 2]"],
    ["a half-open interval and a vector", "(1,2]", "\\begin{pmatrix}1&2\\end{pmatrix}"],
    ["a time and a fraction", "3:05", "\\frac{3}{5}"],
    ["a time that could be a ratio, and a fraction", "7:15 pm", "\\frac{7}{15}"],
    ["words of the same letters", "\\text{deaf}", "\\text{fade}"],
    ["whole numbers and natural ones", "2k, k \\in \\mathbb{Z}", "2k, k \\in \\mathbb{N}"],
    ["functions that part far out", "|x-100|", "100-x"],
    ["functions that part very far out", "\\max(x,-1000)", "x"],
    ["functions that are equal at even numbers", "(-1)^n", "1"],
    ["the same for another name", "\\frac{(-1)^k}{k!}", "\\frac{1}{k!}"],
    ["an equation with more solutions", "y = x", "(y-x)(5(y-x)^2-15(y-x)+11)=0"],
    ["a name that is no constant of integration", "C=5", "k=5"],
    ["a sum of two names", "P + C", "P + k"],
    ["units that share a word", "3\\text{ m/s}", "3\\text{ q/s}"],
    ["a function and its inverse", "f^{-1}(x)=2x", "f^{1}(x)=2x"],
    ["a numeral with a part that begins with 0", "10,080", "10,80"],
  ])("%s: %s and %s", (_, gold, answer) => {
    expect(judgeAnswer(answer, gold).verdict).toBe("wrong");
  });

  test.each([
    ["(1, 2)", "1, 2"],
    ["(1, 2)", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"],
    ["7:15 pm", "7:15"],
    ["ABD", "B, A, D"],
    ["2k, k \\in \\mathbb{N}", "2n, n \\in \\mathbb{Z}^+"],
    ["(-1)^n", "(-1)^{n+2}"],
    ["y = 1/x", "xy = 1"],
    ["x^2 + C", "x^2 + k"],
    ["5\\text{ apples}", "5\\text{ red apples}"],
  ])("while %s and %s are the same", (gold, answer) => {
    expect(judgeAnswer(answer, gold).verdict).toBe("right");
  });
});

describe("whatever a model writes", () => {
  const deep = (open: string, close: string, count: number) => open.repeat(count) + 1 + close.repeat(count);
  const hostile: readonly (readonly [string, string])[] = [
    ["a tower of powers", "9^{9^{9^{9^{9}}}}"],
    ["a tower without braces", `${"9^".repeat(2000)}9`],
    ["many factorials", `9${"!".repeat(3000)}`],
    ["a power of a power of a sum", "((1+1/3)^{9999})^{9999}"],
    ["a product of large powers", Array.from({ length: 300 }, (_, i) => `${i + 2}^{20000}`).join("\\cdot ")],
    ["large binomials", "\\binom{10^{50}}{10^{49}}"],
    ["the sine of a tower", "\\sin(10^{10^{10}})"],
    ["an exponential of an exponential", "\\exp(\\exp(\\exp(\\exp(9))))"],
    ["roots of high degree", "\\sqrt[9999999999]{2} + \\sqrt[1/9999999]{2}"],
    ["100,000 parentheses", deep("(", ")", 100_000)],
    ["100,000 braces", deep("{", "}", 100_000)],
    ["100,000 fractions", deep("\\frac{1}{", "}", 100_000)],
    ["nested roots", deep("\\sqrt{", "}", 3000)],
    ["absolute values", deep("|", "|", 3000)],
    ["open brackets only", "[".repeat(50_000)],
    ["closing brackets only", "}".repeat(50_000)],
    ["20,000 digits", "7".repeat(19_999)],
    ["a million digits", "7".repeat(1_000_000)],
    ["a decimal of thousands of digits", `0.${"3".repeat(15_000)}`],
    ["commas", ",".repeat(19_000)],
    ["a set of thousands", `\\{${Array.from({ length: 3000 }, (_, i) => i).join(",")}\\}`],
    ["a sum of thousands of symbols", Array.from({ length: 900 }, (_, i) => `x_{${i}}`).join("+")],
    ["a thousand signs", `${"-".repeat(1999)}1`],
    ["plus-minus a hundred times", `1${"\\pm 1".repeat(100)}`],
    ["macros that recurse", "\\def\\a{\\a\\a}\\a"],
    ["an input command", "\\input{/etc/passwd}"],
    ["lone surrogates", "\ud800\udc00\ud800 5 \udfff"],
    ["zero bytes", "5\u0000"],
    ["Arabic digits and Chinese", "٥ 五"],
    ["right-to-left marks", "\u202e5"],
    ["a prototype's name", "__proto__"],
    ["a command with a prototype's name", "\\constructor \\toString{}"],
    ["spaces", " ".repeat(100_000)],
    ["dollar signs", "$".repeat(100_000)],
    ["backslashes", "\\".repeat(100_000)],
    ["unclosed matrices", "\\begin{pmatrix}".repeat(2000)],
    ["a large matrix", `\\begin{pmatrix}${"1&".repeat(1500)}1\\end{pmatrix}`],
    ["equals signs", "=".repeat(10_000)],
    ["words", "the answer is ".repeat(5000)],
    ["a chain of relations", Array.from({ length: 500 }, (_, i) => i).join("<")],
    ["amounts of money", "$1 ".repeat(6000)],
    ["amounts without spaces", "\\$1".repeat(4000)],
    ["question marks before a number", `${"?".repeat(19_000)}1`],
    ["numbers in prose", "1 ".repeat(9000)],
    ["alternatives", "1 or ".repeat(3000)],
    ["denials", "it is not 1, ".repeat(1500)],
    ["conditions", "x>1, y<2, ".repeat(400)],
    ["exclusions", "x\\ne 1, ".repeat(400)],
    ["points", "(1,2),".repeat(600)],
    ["assignments", "p=5,q=2;".repeat(400)],
    ["a product of matrices", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}".repeat(150)],
    ["ratios", "1:".repeat(3000)],
    ["choices", "Option B is ".repeat(1500)],
    ["formulas that do not end", "\\( 1 ".repeat(3000)],
  ];

  test.each(hostile)("%s: an answer is wrong and does not hang, as a gold answer nothing is thrown", (_, text) => {
    const started = cpuTimeMs();
    for (const gold of ["5", "x^2+1", "\\{1,\\sqrt{2}\\}"]) {
      expect(judgeAnswer(text, gold).verdict).not.toBe("right");
      judgeAnswer(gold, text);
    }
    for (const completion of [text, `The answer is \\boxed{${text}}`]) {
      judgeMath("", completion, "5");
      canonicalAnswerOf("", completion);
    }
    judgeAnswer(text, text);
    expect(cpuTimeMs() - started).toBeLessThan(HANG_LIMIT_MS);
  });

  test("many boxes, tags and phrases are searched in one pass", () => {
    const started = cpuTimeMs();
    for (const part of [
      "\\boxed{",
      "\\boxed{1}",
      "<answer>",
      "</answer>",
      "<answer>1</answer>",
      "</think>",
      "answer is ",
      "####\n",
    ]) {
      judgeMath("", part.repeat(50_000), "5");
    }
    expect(cpuTimeMs() - started).toBeLessThan(HANG_LIMIT_MS);
  });

  test("a comparison beyond its steps is an abstention that says so", () => {
    const budget = new JudgementBudget();
    expect(() => budget.spend(1e6)).toThrow(/needs more than 50000 steps/);
    const long = (from: number) => `\\{${Array.from({ length: 500 }, (_, i) => `${i + from}/7`).join(",")}\\}`;
    const verdict = judgeAnswer(long(0), long(500));
    expect(verdict.verdict).toBe("abstain");
    expect(verdict.reason).toMatch(/steps/);
  });
});

describe("a gold answer", () => {
  test("that cannot be read is an abstention, unless the answer is the same text", () => {
    const verdict = judgeAnswer("5", "\\int_0^1 f(x) dx");
    expect(verdict).toMatchObject({ verdict: "abstain", unreadable: true });
    expect(verdict.reason).toMatch(/the gold answer .* cannot be read/);
    expect(judgeAnswer("\\int_0^1f(x)dx", "\\int_0^1 f(x) dx").verdict).toBe("right");
    expect(judgeAnswer("5", "").verdict).toBe("abstain");
    expect(judgeMath("", "5", []).verdict).toBe("abstain");
  });

  test("may be several, each of them right", () => {
    expect(judgeMath("", "\\boxed{2}", ["1", "2"]).verdict).toBe("right");
    expect(judgeMath("", "\\boxed{3}", ["1", "2"]).verdict).toBe("wrong");
  });

  test("is quoted in the reason with the answer", () => {
    expect(judgeAnswer("6", "5").reason).toBe("6 is not 5");
    expect(judgeAnswer("5/1", "5").reason).toBe("5/1 equals 5");
    expect(judgeAnswer("9^{9^{9^9}}", "5").reason).toBe("9^{9^{9^9}} cannot be shown to be 5");
    expect(judgeMath("", "I give up", "5").reason).toBe("there is no final answer");
    expect(judgeMath("", "\\boxed{}", "5").reason).toBe("the final answer is empty");
  });
});

describe("the canonical form of an answer", () => {
  const form = (text: string) => canonicalAnswerOf("", `\\boxed{${text}}`);

  test.each([
    ["1/2", "\\frac{2}{4}", "0.5", "50\\%"],
    ["2\\sqrt2", "\\sqrt{8}", "\\sqrt8\\text{ cm}"],
    ["\\{1,2\\}", "2, 1", "x=1, x=2"],
    ["(x+1)^2", "x^2+2x+1"],
    ["A", "\\text{(A)}"],
    ["x=5", "5", "5.0", "5 apples"],
    ["yes", "\\text{Yes}"],
  ])("is the same for equal answers: %s", (first, ...others) => {
    for (const other of others) expect(form(other)).toBe(form(first));
  });

  test("differs for different answers, and is null where there is none", () => {
    const forms = ["1/2", "2", "\\sqrt2", "x", "x^2", "(1,2)", "(2,1)", "\\{1,2\\}", "[1,2]", "A", "no"].map(form);
    expect(new Set(forms).size).toBe(forms.length);
    expect(canonicalAnswerOf("", "no idea")).toBeNull();
    expect(canonicalAnswerOf("…<think>", "\\boxed{5}")).toBeNull();
  });
});
