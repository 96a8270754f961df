import { describe, expect, test } from "vitest";
import { languageOf, stretchesOf } from "../../src/rewards/language/identify.ts";
import { languageCode } from "../../src/rewards/language/languages.ts";
import { createReward } from "../../src/rewards/registry.ts";

/** A chain of thought about the same problem in each language. */
const thoughts = {
  en: "First we try to multiply the two numbers. That gives 18, so we still need more. Therefore the answer is 54.",
  de: "Zuerst multiplizieren wir die beiden Zahlen. Das ergibt 18, also brauchen wir noch mehr. Die Antwort ist 54.",
  fr: "D'abord nous multiplions les deux nombres. Cela donne 18, donc il faut encore plus. La réponse est 54.",
  es: "Primero multiplicamos los dos números. Eso da 18, así que necesitamos más. Por lo tanto la respuesta es 54.",
  it: "Prima moltiplichiamo i due numeri. Questo dà 18, quindi ci serve di più. La risposta è 54.",
  pt: "Primeiro multiplicamos os dois números. Isso dá 18, então precisamos de mais. A resposta é 54.",
  nl: "Eerst vermenigvuldigen we de twee getallen. Dat geeft 18, dus we hebben meer nodig. Het antwoord is 54.",
  ru: "Сначала умножим эти числа. Получаем 18, значит нужно ещё. Поэтому ответ 54.",
  uk: "Спочатку помножимо ці числа. Отримуємо 18, тому потрібно ще. Отже, відповідь 54.",
  zh: "首先我们把两个数字相乘，得到十八，所以还需要更多。因此答案是五十四。",
  ja: "まず二つの数を掛けます。十八になるので、もっと必要です。答えは五十四です。",
  ko: "먼저 두 수를 곱합니다. 그러면 십팔이 되므로 더 필요합니다. 답은 오십사입니다.",
  tr: "Önce iki sayı çarpılır. Bu 18 eder, yani daha çok lazım. Cevap 54 olur.",
  vi: "Đầu tiên ta nhân hai số. Kết quả là 18, vậy cần thêm nữa. Đáp án là 54.",
} as const;
const codes = Object.keys(thoughts) as (keyof typeof thoughts)[];

const judge = (completion: string, options = {}, prompt = "", columns = {}) =>
  createReward("language_consistency", options).judge({ prompt, completion, columns }).score;

describe("language_consistency", () => {
  test.each(codes)("%s: its own thoughts score 1, those of every other language nearly 0", (code) => {
    expect(languageOf(stretchesOf(thoughts[code]))).toBe(code);
    expect(judge(`${thoughts[code]}</think>`, { language: code })).toBe(1);
    for (const other of codes) {
      if (other !== code) expect([other, judge(thoughts[other], { language: code })! < 0.35]).toEqual([other, true]);
    }
  });

  test.each(codes)("%s is taken from the prompt, or from the row", (code) => {
    expect(judge(thoughts[code], {}, thoughts[code])).toBe(1);
    expect(judge(thoughts[code], {}, "54", { language: `${code}-XX` })).toBe(1);
  });

  test("is the share of words, and of characters in scripts without spaces", () => {
    expect(judge("we have 四五六七 here", { language: "en" })).toBeCloseTo(3 / 7, 12);
    expect(judge("we have 四五六七 here", { language: "zh" })).toBeCloseTo(4 / 7, 12);
  });

  test("formulas, numbers, code and tags are neutral", () => {
    const neutral = "$x + y$ \\[\\text{so}\\] 54 x1 `def f` ```\nfor i in range(3)\n``` \\frac{a}{b} <b>";
    expect(judge(neutral, { language: "zh" })).toBeNull();
    expect(judge(`所以答案是 ${neutral} 五十四`, { language: "zh" })).toBe(1);
  });

  test("only the reasoning counts, if not told otherwise", () => {
    const completion = `<think>${thoughts.en}</think>${thoughts.zh}`;
    expect(judge(completion, { language: "en" })).toBe(1);
    expect(judge(completion, { language: "zh", part: "summary" })).toBe(1);
    expect(judge(completion, { language: "en", part: "completion" })).toBeLessThan(0.5);
  });

  test("a clause without evidence counts for the target; short text is no reason to punish", () => {
    expect(judge("Multiplying.", { language: "fr" })).toBe(1);
    expect(judge("ok", { language: "de" })).toBeNull();
  });

  test("abstains where the target cannot be told", () => {
    expect(judge(thoughts.en, {}, "6 3 3 54 =")).toBeNull();
    expect(["zh_CN", "Chinese", "english", "EN"].map(languageCode)).toEqual(["zh", "zh", "en", "en"]);
    expect(languageCode("tlh")).toBeUndefined();
    expect(() => createReward("language_consistency", { language: "xx" })).toThrow(/language/);
  });
});
