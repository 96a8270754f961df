/** Rewards of a user's own: a real thread each, in TypeScript and JavaScript, sound and broken. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { withPaths } from "../../src/named-paths.ts";
import { judgeAll } from "../../src/rewards/judge.ts";
import { rewardPaths } from "../../src/rewards/spec.ts";
import { isRewardReference, parseRewardReference } from "../../src/rewards/user/reference.ts";
import { UserReward, type UserRewardOptions } from "../../src/rewards/user/thread.ts";

const FILES = join(import.meta.dirname, "files");

const opened: UserReward[] = [];
afterEach(async () => {
  for (const reward of opened.splice(0)) await reward.close();
});

function reward(name: string, options: UserRewardOptions = {}): UserReward {
  const made = new UserReward(parseRewardReference(join(FILES, name)), options);
  opened.push(made);
  return made;
}

const inputs = (...completions: string[]) =>
  completions.map((completion) => ({ prompt: "p", completion, columns: { target: 7 } }));

describe("the name of a user's reward", () => {
  it("is a file and an export; words are names of the registry", () => {
    for (const name of ["./a.ts#b", "a.mjs", "../a.ts", "/x/a.js#b", "a#b"]) expect(isRewardReference(name)).toBe(true);
    for (const name of ["format", "equation", "a-b_c"]) expect(isRewardReference(name)).toBe(false);
    expect(parseRewardReference("./a.b.ts#c")).toEqual({ file: "./a.b.ts", exportName: "c", label: "c" });
    expect(parseRewardReference("/x/brevity.mjs")).toMatchObject({ exportName: "default", label: "brevity" });
  });

  it("is relative to the recipe", () => {
    const anchored = (name: string) =>
      withPaths({ name }, rewardPaths({ name }), ({ path }) => resolve("/recipes", path)).name;
    expect(anchored("./a.ts#b")).toBe("/recipes/a.ts#b");
    expect(anchored("/x/a.ts")).toBe("/x/a.ts");
    expect(anchored("format")).toBe("format");
  });

  it.each(["./a.py#b", "a#b", "./a.ts#", "#b"])("is refused where it is %s", (name) => {
    expect(() => parseRewardReference(name)).toThrow(ConfigError);
    expect(() => parseRewardReference(name)).toThrow(/FILE#EXPORT/);
  });
});

describe("a user's reward", () => {
  it("is TypeScript with imports and Aha's defineReward, and is given the recipe's options", async () => {
    const brevity = reward("typed.ts#brevity");
    await brevity.open();
    expect(await brevity.judgeBatch(inputs("four", "longer"))).toEqual([
      { score: 1, reason: "4 of 5 characters" },
      { score: 0, reason: "6 of 5 characters" },
    ]);
    const wide = reward("typed.ts#brevity", { options: { limit: 6 } });
    expect((await wide.judgeBatch(inputs("longer")))[0]).toEqual({ score: 1, reason: "6 of 6 characters" });
  });

  it("may lie anywhere, also where no package.json says what it is, and use all that TypeScript adds", async () => {
    const directory = mkdtempSync(join(tmpdir(), "aha-reward-"));
    const file = join(directory, "elsewhere.ts");
    writeFileSync(
      file,
      'import { passAtK } from "aha-rl";\nimport { Half } from "./half.ts";\nexport const pass = () => passAtK(Half.Of, 1, 1);\n',
    );
    writeFileSync(join(directory, "half.ts"), "export enum Half { Of = 2 }\n");
    const elsewhere = new UserReward(parseRewardReference(`${file}#pass`));
    opened.push(elsewhere);
    await elsewhere.open();
    expect(await elsewhere.judgeBatch(inputs("a"))).toEqual([{ score: 0.5, reason: "" }]);
    rmSync(directory, { recursive: true });
  });

  it("is a plain function too, asynchronous and the default export", async () => {
    const plain = reward("typed.ts");
    expect(plain.name).toBe("typed");
    expect(await plain.judgeBatch(inputs("a"))).toEqual([{ score: 7, reason: "" }]);
    const [abstained] = await plain.judgeBatch([{ prompt: "", completion: "", columns: {} }]);
    expect(abstained).toEqual({ score: null, reason: "abstained" });
  });

  it("judges a batch asynchronously, and is told the groups", async () => {
    const grouped = ["a", "a", "b", "a"].map((completion, i) => ({
      prompt: "",
      completion,
      columns: {},
      group: i % 2,
    }));
    const results = await reward("typed.ts#shared").judgeBatch(grouped);
    expect(results.map(({ score, reason }) => [score, reason])).toEqual([
      [1, "0"],
      [2, "1"],
      [1, "0"],
      [2, "1"],
    ]);
  });

  it("keeps what it remembers over threads: its state comes back as it was after the last batch", async () => {
    const first = reward("typed.ts#novelty");
    await first.open();
    const scores = async (of: UserReward, ...texts: string[]) =>
      (await of.judgeBatch(inputs(...texts))).map(({ score }) => score);
    expect(await scores(first, "x", "x", "y")).toEqual([1, 1 / 2, 1]);
    expect(JSON.parse(first.state()!)).toEqual([
      ["x", 2],
      ["y", 1],
    ]);
    const second = reward("typed.ts#novelty");
    await second.open(first.state());
    expect(await scores(second, "x", "z")).toEqual([1 / 3, 1]);
    await second.close();
    expect(await scores(second, "z")).toEqual([1 / 2]);
  });

  it("judges several batches that are asked for at once, one after another", async () => {
    const counting = reward("broken.mjs#perCompletion");
    const batches = await Promise.all(
      [1, 2, 3].map((length) => counting.judgeBatch(inputs("c".repeat(length), "later"))),
    );
    expect(batches.map(([first]) => first!.score)).toEqual([1, 2, 3]);
    expect(batches.map(([, second]) => second!.reason)).toEqual(["slept", "slept", "slept"]);
    expect(await counting.judgeBatch([])).toEqual([]);
  });
});

describe("a user's reward that fails abstains with the reason, and the others are judged:", () => {
  const cases: Record<string, string> = {
    throw: "threw: no such column",
    NaN: "returned NaN, which is not a score",
    text: 'returned "good", which is not a score',
    nothing: "returned undefined, which is not a score",
    "reasoned infinity": "returned a score of Infinity, which is not a finite number",
    rejection: "threw: refused",
    exit: "ended its thread with exit code 3",
    loop: "took longer than 400 ms",
    "promise of nothing": "took longer than 400 ms",
    "loop later": "took longer than 400 ms",
  };
  // One reward for all cases: what one of them does to its thread is nothing to the next.
  const broken = new UserReward(parseRewardReference(join(FILES, "broken.mjs#perCompletion")), { timeoutMs: 400 });
  beforeAll(() => broken.open());
  afterAll(() => broken.close());
  for (const [completion, reason] of Object.entries(cases)) {
    it(completion, async () => {
      const results = await broken.judgeBatch(inputs("one", completion, "three"));
      expect(results).toEqual([
        { score: 3, reason: "counted" },
        { score: null, reason },
        { score: 5, reason: "counted" },
      ]);
    });
  }

  it("memory without end", async () => {
    const patient = reward("broken.mjs#perCompletion", { timeoutMs: 60_000, maxHeapMb: 48 });
    const results = await patient.judgeBatch(inputs("one", "memory", "three"));
    expect(results.map(({ score }) => score)).toEqual([3, null, 5]);
    expect(results[1]!.reason).toMatch(/memory/);
  });

  it("a batch as a whole: with too few judgements, or without end", async () => {
    const [first, second] = await reward("broken.mjs#tooFew").judgeBatch(inputs("a", "b"));
    expect(first).toEqual({ score: null, reason: "returned 1 judgements for 2 completions" });
    expect(second).toEqual(first);
    const hung = await reward("broken.mjs#hangs", { timeoutMs: 200 }).judgeBatch(inputs("a", "b"));
    expect(hung.map(({ reason }) => reason)).toEqual(["took longer than 200 ms", "took longer than 200 ms"]);
  });

  it("a state that JSON cannot hold", async () => {
    const [result] = await reward("broken.mjs#hasBadState").judgeBatch(inputs("a"));
    expect(result!.score).toBeNull();
    expect(result!.reason).toMatch(/saveState failed: .*BigInt/);
  });
});

describe("a user's reward is refused before anything is judged:", () => {
  it.each([
    ["missing.ts#x", /missing\.ts#x does not exist/],
    ["typed.ts#brevit", /has no export brevit, only brevity, default, novelty, shared; did you mean brevity\?/],
    ["broken.mjs#notAReward", /is a number, neither a function nor made with defineReward/],
    ["broken.mjs#nothing", /is null, neither a function nor made with defineReward/],
    [
      "broken.mjs#wrongKey",
      /wrongKey has the key "score", which a reward does not have, and neither judge nor judgeBatch: expected/,
    ],
    ["broken.mjs#bothJudges", /bothJudges has both judge and judgeBatch; expected one of them/],
    ["broken.mjs#noFunction", /noFunction has a judge that is no function/],
    ["broken.mjs#misspelt", /misspelt has the key "savestate"; did you mean saveState\?/],
    ["throws.mjs", /the file itself is broken/],
  ])("%s", async (name, message) => {
    const refusal = await reward(name)
      .open()
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ConfigError);
    expect((refusal as ConfigError).message).toMatch(message);
  });
});

describe("a user's reward that hangs whatever it is asked", () => {
  it("is abandoned after three losses in a row, and asked again once it is opened anew", async () => {
    const hanging = reward("broken.mjs#alwaysHangs", { timeoutMs: 50 });
    await hanging.open();
    // All that are under way together are late together: sixteen of them, and one thread is lost.
    const many = inputs(...Array.from({ length: 100 }, (_, i) => String(i)));
    const startedAt = performance.now();
    const results = await hanging.judgeBatch(many);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    const late = results.filter(({ reason }) => reason === "took longer than 50 ms");
    expect(late.length).toBeGreaterThanOrEqual(3);
    expect(late.length).toBeLessThan(100);
    expect(late.every(({ isAbandoned }) => isAbandoned === undefined)).toBe(true);
    const abandoned = {
      score: null,
      reason: "abandoned after 3 failures in a row, the last: took longer than 50 ms",
      isAbandoned: true,
    };
    expect(results.slice(late.length)).toEqual(results.slice(late.length).map(() => abandoned));
    expect(await hanging.judgeBatch(inputs("a"))).toEqual([abandoned]);
    expect(await judgeAll(hanging, inputs("a"))).toEqual([abandoned]);
    await hanging.open();
    expect((await hanging.judgeBatch(inputs("a")))[0]!.reason).toBe("took longer than 50 ms");
  });

  it("is not abandoned while it judges some in between", async () => {
    const now = reward("broken.mjs#hangsByCall", { timeoutMs: 50 });
    await now.open();
    const turns = ["hang", "hang", "well", "hang", "hang", "hang", "well"];
    const results = [];
    for (const turn of turns) results.push(...(await now.judgeBatch(inputs(turn))));
    expect(results.map(({ score }) => score)).toEqual(turns.map((turn) => (turn === "well" ? 1 : null)));
    expect(results.every(({ isAbandoned }) => isAbandoned === undefined)).toBe(true);
  });

  it("is given more of a chance where it has judged something", async () => {
    const seldom = reward("broken.mjs#hangsByCall", { timeoutMs: 30 });
    await seldom.open();
    expect((await seldom.judgeBatch(inputs("well")))[0]!.score).toBe(1);
    const results = [];
    for (let i = 0; i < 11; i++) results.push(...(await seldom.judgeBatch(inputs("hang"))));
    expect(results.map(({ isAbandoned }) => isAbandoned === true)).toEqual([...Array(10).fill(false), true]);
  });

  it("may have keys that say something about it", async () => {
    const described = reward("broken.mjs#described");
    await described.open();
    expect((await described.judgeBatch(inputs("a")))[0]!.score).toBe(1);
  });
});

describe("judgeAll", () => {
  it("makes abstentions of what the judges of a program throw or return", async () => {
    const judge = ({ completion }: { completion: string }) => {
      if (completion === "throw") throw new Error("broken");
      return { score: completion === "NaN" ? Number.NaN : 1, reason: "fine" };
    };
    expect(await judgeAll({ name: "own", judge }, inputs("a", "throw", "NaN"))).toEqual([
      { score: 1, reason: "fine" },
      { score: null, reason: "threw: broken" },
      { score: null, reason: "returned a score of NaN, which is not a finite number" },
    ]);
    const elsewhere = { name: "far", judgeBatch: () => Promise.reject(new Error("no network")) };
    expect(await judgeAll(elsewhere, inputs("a"))).toEqual([{ score: null, reason: "threw: no network" }]);
  });
});
