/**
 * Every answer of `all-pairs.json` as the gold answer of every other one: right exactly where the file says that the two are
 * the same. What is taken for equal by mistake is seen here, whichever two kinds of answers it is between.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { judgeMath } from "../../src/math-answers/judge-answer.ts";

/** By kind: classes of answers that are the same; two of different classes are not. */
type AllPairs = Readonly<Record<string, readonly (readonly string[])[]>>;

const kinds = JSON.parse(readFileSync(join(import.meta.dirname, "all-pairs.json"), "utf8")) as AllPairs;
const answers = Object.entries(kinds).flatMap(([kind, classes]) =>
  classes.flatMap((texts, i) => texts.map((text) => ({ text, of: `${kind} ${i}` }))),
);

describe("all pairs of answers", () => {
  test("are of at least 300 answers of 30 kinds, no two written alike", () => {
    expect(Object.keys(kinds).length).toBeGreaterThanOrEqual(30);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(answers.length);
    expect(answers.length).toBeGreaterThanOrEqual(300);
  });

  test("are judged right exactly where they are the same answer", { timeout: 120_000 }, () => {
    const mistakes: string[] = [];
    for (const answer of answers) {
      const completion = `So it is \\boxed{${answer.text}}.`;
      for (const gold of answers) {
        const { verdict, reason } = judgeMath("", completion, gold.text);
        if ((verdict === "right") !== (answer.of === gold.of))
          mistakes.push(`${gold.text} ⇐ ${answer.text}: ${reason}`);
      }
    }
    expect(mistakes).toEqual([]);
  });
});
