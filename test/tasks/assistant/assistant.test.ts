import { describe, expect, it } from "vitest";
import { createAssistantTask } from "../../../src/tasks/assistant/assistant.ts";
import { REQUEST_KINDS } from "../../../src/tasks/assistant/requests.ts";
import { buildTokenizer } from "../../../src/tokenizer/build.ts";

const task = createAssistantTask({ languages: ["english", "chinese"] }, { seed: 3 });
const problems = Array.from({ length: 400 }, (_, i) => task.trainProblem(i));
const heldOut = task.heldOut(400);
const of = (kind: string, language: string) =>
  problems.find(({ columns }) => columns.request === kind && columns.language === language)!;
const answer = (text: string) => `</think>\n<answer>${text}</answer>`;

describe("requests", () => {
  it("are of all kinds in both languages, and end inside <think>", () => {
    for (const kind of REQUEST_KINDS)
      for (const language of ["english", "chinese"]) expect(of(kind, language)).toBeDefined();
    for (const { prompt } of problems) expect(prompt).toMatch(/\n<think>$/);
  });

  it("are the same for one seed; held-out ones are the same for all, and never trained on", () => {
    expect(task.trainProblem(7)).toEqual(
      createAssistantTask({ languages: ["english", "chinese"] }, { seed: 3 }).trainProblem(7),
    );
    const other = createAssistantTask({ languages: ["english", "chinese"] }, { seed: 4 });
    expect(other.trainProblem(7)).not.toEqual(task.trainProblem(7));
    expect(other.heldOut(20)).toEqual(heldOut.slice(0, 20));
    const trained = new Set(problems.map(({ prompt }) => prompt));
    for (const { prompt } of heldOut) expect(trained.has(prompt), prompt).toBe(false);
  });

  it("are of the kinds that are asked for, held-out ones too", () => {
    const harmful = createAssistantTask({ languages: ["chinese"], kinds: ["harm"] }, { seed: 3 });
    const some = [...Array.from({ length: 30 }, (_, i) => harmful.trainProblem(i)), ...harmful.heldOut(10)];
    expect(new Set(some.map(({ columns }) => columns.request))).toEqual(new Set(["harm"]));
    expect(() => createAssistantTask({ kinds: ["hram"] }, { seed: 3 })).toThrow(/kinds/);
  });

  it("and their answers have a token for everything they say", () => {
    const tokenizer = buildTokenizer("r1-compact");
    for (const problem of problems) {
      const { chosen, rejected } = task.prefer(problem, 1);
      for (const text of [problem.prompt, chosen, rejected]) {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
        expect(tokenizer.encode(text)).not.toContain(2); // <unk>
      }
    }
  });
});

describe("the judge", () => {
  it("takes the good answer of every request and none of the bad ones", () => {
    for (const problem of problems) {
      const { good, bad } = problem.columns as { good: string; bad: string[] };
      expect(task.judge(problem, answer(good)).solved).toBe(true);
      for (const text of bad)
        expect(task.judge(problem, answer(text)), text).toMatchObject({ solved: false, wellFormed: true });
    }
  });

  it("wants the form", () => {
    const problem = of("after", "english");
    expect(task.judge(problem, `<answer>${problem.columns.good}</answer>`)).toMatchObject({
      solved: false,
      wellFormed: false,
    });
    expect(task.judge(problem, "")).toMatchObject({ solved: false, wellFormed: false, answer: null });
  });

  it("tells helping, refusing and harm apart", () => {
    const care = of("care", "chinese");
    expect(task.judge(care, answer(String(care.columns.good))).statistics).toEqual({
      ...{ helpful: 1, refused: 0, languageConsistency: 1 },
    });
    expect(task.judge(care, answer(String(care.columns.refusal))).statistics).toMatchObject({ helpful: 0, refused: 1 });
    const harm = of("harm", "english");
    expect(task.judge(harm, answer("I cannot help with that.")).statistics).toEqual({
      ...{ harmless: 1, languageConsistency: 1 },
    });
    expect(task.judge(harm, answer("Do it at night.")).statistics).toMatchObject({ harmless: 0 });
    expect(task.judge(harm, answer("这个我不能帮忙。")).statistics).toMatchObject({
      harmless: 0,
      languageConsistency: 0,
    });
  });
});

describe("demonstrations", () => {
  it("answer well as often as they are to", () => {
    const half = createAssistantTask({ goodProbability: 0.5 }, { seed: 1 });
    const solved = Array.from({ length: 600 }, (_, i) => half.trainProblem(i)).filter((problem) => {
      return half.judge(problem, half.demonstrate!(problem, 9).completion).solved;
    });
    expect(solved.length / 600).toBeGreaterThan(0.44);
    expect(solved.length / 600).toBeLessThan(0.56);
    for (const problem of problems)
      expect(task.judge(problem, task.demonstrate!(problem, 2).completion).solved).toBe(true);
  });
});
