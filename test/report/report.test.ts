import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { completionLines, completionParts } from "../../src/inspect/completion-lines.ts";
import { niceTicks } from "../../src/inspect/ticks.ts";
import { clock, count, percent, plain } from "../../src/number-text.ts";
import { chart, movingAverage } from "../../src/report/chart.ts";
import { answerPairs, comparisonRows, evaluationsOf, pairsToShow, tellingPair } from "../../src/report/comparison.ts";
import { completionHtml } from "../../src/report/completion.ts";
import { escapeHtml, html } from "../../src/report/html.ts";
import { reportHtml, writeReport } from "../../src/report/report.ts";
import type { EvaluatedCompletionRecord, EvaluationRecord } from "../../src/run/records.ts";
import { type RunSnapshot, readRun } from "../../src/run/run-reader.ts";
import { writeMadeUpRun } from "./made-up-run.ts";

let root: string;
let run: RunSnapshot;
let page: string;
let written: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-report-"));
  await writeMadeUpRun(join(root, "run"));
  run = readRun(join(root, "run"));
  written = readFileSync(await writeReport(run.path), "utf8");
  page = reportHtml(run);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

describe("the report", () => {
  it("asks for nothing from outside, and says everything without a script", () => {
    expect(page).not.toMatch(/(src|href)\s*=|url\(|@import|<script|<link|<iframe/i);
    expect(page).toContain("default-src &#39;none&#39;");
  });

  it("carries the dashboard's script, the only one that its policy lets run, and the run's numbers", () => {
    const scripts = [...written.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)];
    expect(scripts.map(([, attributes]) => attributes)).toEqual([' type="application/json" id="frozen"', ""]);
    const [data, code] = scripts.map(([, , text]) => text!);
    const hash = createHash("sha256").update(code!).digest("base64");
    expect(written).toContain(
      `default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;; img-src data:; script-src &#39;sha256-${hash}&#39;`,
    );
    const frozen = JSON.parse(data!);
    expect(frozen.columns["r1-zero"].metrics.steps).toHaveLength(100);
    expect(data).not.toContain("<");
    expect(written.replace(scripts[1]![0], "")).not.toMatch(/url\((?!data:)|@import|<link|<iframe/i);
    const text = page.slice(page.indexOf("<main"), page.indexOf("</main>"));
    expect(written).toContain(text);
  });

  it("shows what a model or a recipe wrote as text, never as markup", () => {
    expect(page).toContain("is &lt;markup&gt; in a question harmless?");
    // Random weights wrote <script>; the start's answers are not shown, but the state's are when they are compared.
    const start = run.summary!.start;
    const compared = reportHtml({ ...run, summary: { ...run.summary!, before: start, start } });
    expect(compared).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
    expect(compared).not.toContain("<script>");
  });

  it("names start, before and after, with the solve rate and its interval", () => {
    for (const { moment } of [run.summary!.start, run.summary!.before, run.summary!.after])
      expect(page).toContain(moment);
    const { solveRate } = evaluationsOf(run, run.summary!.after)!.sampled.statistics;
    expect(page).toContain(`→ ${percent(solveRate)}</b>of the held-out problems solved`);
    expect(page).toMatch(/<span class="soft">[\d.]+ % to [\d.]+ %<\/span>/);
  });

  it("has the curves of each stage with their content in words", () => {
    const [sft, grpo] = page.split("<h2>r1-zero</h2>") as [string, string];
    expect(sft).toContain("<h3>Loss</h3>");
    for (const title of ["Solve rate", "Reward", "Tries", "Length", "Entropy"])
      expect(grpo).toContain(`<h3>${title}</h3>`);
    expect(grpo).not.toContain("<h3>Loss</h3>");
    expect(page).toMatch(/role="img" aria-label="Solve rate by optimizer step\. training problems: .* held-out/);
  });

  it("shows pass@k and the majority over steps where problems are answered several times", () => {
    const several = run.evaluations.map((record) => ({
      ...record,
      statistics: { ...record.statistics, passAt2: 0.4, passAt8: 0.75, majorityRate: 0.5 },
    }));
    const text = reportHtml({ ...run, evaluations: several });
    expect(page).not.toContain("several answers each");
    expect(text).toContain("Held-out problems, several answers each by optimizer step. solved: ");
    expect(text).toMatch(/pass@8: 75 % at .*majority: 50 % at /);
    expect(text).toContain('<th scope="row">pass@2<span');
  });

  it("shows the same problem before and after, each marked right or wrong", () => {
    const problems = page.split('<article class="problem">').slice(1);
    expect(problems.length).toBeGreaterThan(5);
    for (const problem of problems) expect(problem.match(/class="verdict (right|wrong)"/g)).toHaveLength(2);
  });

  it("is well-formed: every element that is opened is closed", () => {
    const open: string[] = [];
    for (const [, close, name, attributes] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)([^>]*)>/g)) {
      if (["meta"].includes(name!) || attributes!.endsWith("/")) continue;
      if (close) expect(open.pop()).toBe(name);
      else open.push(name!);
    }
    expect(open).toEqual([]);
  });

  it("is refused for a run that is not complete", () => {
    expect(() => reportHtml({ ...run, summary: undefined })).toThrow(/not complete/);
  });

  it("has no tries, solve rate or verdicts where the task has none", () => {
    const hidden = ["solveRate", "tries", "solvedPerTry", "reflectionRate"];
    const without = <T extends object>(statistics: T) =>
      Object.fromEntries(Object.entries(statistics).filter(([name]) => !hidden.includes(name)));
    const evaluations = run.evaluations.map((record) => ({
      ...record,
      statistics: without(record.statistics),
      completions: record.completions.map(({ tries: _, ...completion }) => completion),
    }));
    const metrics = run.metrics.map(
      ({ solve_rate: _, "tries/mean": __, ...row }) => row as typeof row & { step: number },
    );
    const plainPage = reportHtml({ ...run, evaluations, metrics: metrics as typeof run.metrics });
    for (const text of ["tries", "looks back", "solved", "Solved", "✓ right", "✗ wrong", "Solve rate"]) {
      expect(plainPage.replace(/<details><summary>As it was run.*/s, "")).not.toContain(text);
    }
    expect(plainPage).toContain("of the answers well-formed");
    expect(page).toContain("tries per problem");
  });

  it("of a run without reinforcement learning compares its start and its end", () => {
    const { start, after } = run.summary!;
    const only = reportHtml({ ...run, summary: { ...run.summary!, before: start, after } });
    expect(only).not.toContain("after cold-start, before r1-zero");
  });
});

describe("html", () => {
  it("escapes everything but its own markup", () => {
    expect(html`<p title="${`"'`}">${["<b>", html`<i>${1}</i>`]}${undefined}</p>`.text).toBe(
      `<p title="&quot;&#39;">&lt;b&gt;<i>1</i></p>`,
    );
    expect(escapeHtml("a&b")).toBe("a&amp;b");
  });
});

describe("a chart", () => {
  it("has round ticks", () => {
    expect(niceTicks(0, 1, 4)).toEqual([0, 0.5, 1]);
    expect(niceTicks(0.26, 0.62, 4)).toEqual([0.3, 0.4, 0.5, 0.6]);
    expect(niceTicks(0, 150, 5)).toEqual([0, 50, 100, 150]);
    expect(niceTicks(3, 3, 4)).toEqual([3]);
  });

  it("of nothing is nothing; one value and equal values are drawn", () => {
    const spec = { title: "T", caption: "", xLabel: "x" };
    expect(chart({ ...spec, series: [{ label: "a", points: [] }] })).toBeUndefined();
    for (const points of [
      [{ x: 1, y: 2 }],
      [
        { x: 1, y: 0 },
        { x: 2, y: 0 },
      ],
    ]) {
      const drawn = chart({ ...spec, series: [{ label: "a", points }] })!.text;
      expect(drawn).toContain("<path");
      expect(drawn).not.toMatch(/NaN|Infinity/);
    }
  });

  it("stays small, however long the run", () => {
    const points = Array.from({ length: 200_000 }, (_, x) => ({ x, y: Math.sin(x) }));
    expect(chart({ title: "T", caption: "", xLabel: "x", series: [{ label: "a", points }] })!.text.length).toBeLessThan(
      40_000,
    );
  });

  it("smooths with a centred mean that keeps the ends", () => {
    const points = [0, 6, 0, 6, 0].map((y, x) => ({ x, y }));
    expect(movingAverage(points).map(({ y }) => y)).toEqual([0, 2, 4, 2, 0]);
  });
});

describe("a comparison", () => {
  it("pairs the answers to the same problem and says what changed", () => {
    const before = record([answer(1, false), answer(2, true), answer(3, true), answer(4, false)]);
    const after = record([answer(1, true), answer(2, true), answer(3, false), answer(4, false)]);
    expect(answerPairs(before, after).map(({ change }) => change)).toEqual(["gained", "kept", "lost", "missed"]);
  });

  it("does not pair different problems", () => {
    expect(answerPairs(record([answer(1, true)]), record([answer(2, true)]))).toEqual([]);
  });

  it("shows failures and losses beside gains, and no problem twice", () => {
    const before = record([
      ...Array.from({ length: 20 }, (_, i) => answer(i, false)),
      answer(20, true),
      answer(0, false),
    ]);
    const after = record([
      ...Array.from({ length: 20 }, (_, i) => answer(i, i < 10)),
      answer(20, false),
      answer(0, true),
    ]);
    const shown = pairsToShow(answerPairs(before, after));
    const of = (change: string) => shown.filter((pair) => pair.change === change).length;
    expect([of("gained"), of("missed"), of("lost")]).toEqual([6, 3, 1]);
    expect(new Set(shown.map((pair) => pair.before.prompt)).size).toBe(shown.length);
  });

  it("picks a gain whose search can be read as the telling one", () => {
    const before = record([1, 2, 3].map((id) => answer(id, false, 1)));
    const after = record([answer(1, true, 2), answer(2, true, 6), answer(3, true, 40)]);
    expect(tellingPair(answerPairs(before, after))?.after.problemId).toBe(2);
    expect(tellingPair(answerPairs(before, before))).toBeUndefined();
  });

  it("shows statistics that it has no name for, and marks those that one state lacks", () => {
    const states = [
      { sampled: { ...record([]), statistics: { solveRate: 0.5, newThing: 3 } }, greedy: undefined },
      { sampled: { ...record([]), statistics: { solveRate: 0.25 } }, greedy: undefined },
    ];
    const rows = comparisonRows(states).map(({ label, cells }) => [label, ...cells.map(({ value }) => value)]);
    expect(rows).toEqual([
      ["solved", "50 %", "25 %"],
      ["new thing", "3", "–"],
    ]);
  });
});

describe("a completion for reading", () => {
  it("has its tries, the one that it calls right, and its answer told apart", () => {
    const lines = completionLines("(6*3)+3=18+3=21 too low\n3*(6*3)=3*18=54 yes</think>\n<answer>3*(6*3)</answer>");
    expect(lines).toEqual([
      { text: "(6*3)+3=18+3=21 too low", kind: "try" },
      { text: "3*(6*3)=3*18=54 yes", kind: "hit" },
      { text: "3*(6*3)", kind: "answer" },
    ]);
  });

  it("has its answer below its thinking, where no long thinking can hide it", () => {
    const long = `${"1+1=2 too low\n".repeat(500)}</think>\n<answer>\n(1+2)\n*3\n</answer>\nand more`;
    const { thinking, ending, isAnswer } = completionParts(long);
    expect({ ending, isAnswer, length: thinking.length }).toEqual({
      ending: ["(1+2)", "*3"],
      isAnswer: true,
      length: 501,
    });
    expect(completionHtml(long, true).text).toMatch(
      /<\/ol><p class="final-answer" dir="auto"><span class="soft">answer<\/span> \(1\+2\)\n\*3<\/p>$/,
    );
    expect(completionParts("so it is\n\\boxed{7}")).toMatchObject({ ending: ["\\boxed{7}"], isAnswer: false });
    expect(completionHtml("  \n", true).text).toContain("(nothing)");
  });
});

describe("a try that the model calls right", () => {
  it("is marked as mistaken where the answer is wrong", () => {
    const completion = "1+1=3 yes</think>\n<answer>1+1</answer>";
    expect(completionHtml(completion, true).text).toContain('<li class="hit" dir="auto">');
    expect(completionHtml(completion, false).text).toContain('<li class="hit mistaken" dir="auto">');
  });
});

describe("numbers for people", () => {
  it("are short and never wrong by rounding to nothing", () => {
    expect([percent(0), percent(0.004), percent(0.0996), percent(0.5737), percent(1), percent(null)]).toEqual([
      "0 %",
      "0.4 %",
      "10 %",
      "57 %",
      "100 %",
      "–",
    ]);
    expect([plain(0.00002), plain(0.12345), plain(1234.5), plain(undefined)]).toEqual([
      "2.0e-5",
      "0.123",
      "1,235",
      "–",
    ]);
    expect([count(13_216), count(263_000), count(4_750_000), count(3e9)]).toEqual([
      "13,216",
      "0.26 million",
      "4.75 million",
      "3.0 billion",
    ]);
    expect([clock(7), clock(754), clock(3723)]).toEqual(["0:07", "12:34", "1:02:03"]);
  });
});

function answer(problemId: number, solved: boolean, tries = solved ? 4 : 1): EvaluatedCompletionRecord {
  return {
    problemId,
    sample: 0,
    prompt: `problem ${problemId}`,
    completion: "",
    finishReason: "stop",
    lengthTokens: 10 * tries,
    solved,
    wellFormed: true,
    tries,
  };
}

function record(completions: EvaluatedCompletionRecord[]): EvaluationRecord {
  return { stage: "s", step: 0, moment: "after", decoding: "sampled", statistics: {}, intervals: {}, completions };
}
