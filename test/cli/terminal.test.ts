import { describe, expect, it } from "vitest";
import { SamplingProgress } from "../../src/cli/sampling-progress.ts";
import { StatusLine } from "../../src/cli/terminal-line.ts";
import { StageProgress } from "../../src/cli/terminal-progress.ts";
import { printable, styleFor, wrap } from "../../src/cli/terminal-style.ts";

/** A status line whose clock and output are at hand. */
function statusLine(interactive: boolean, columns = 80) {
  const state = { time: 0, written: "" };
  const line = new StatusLine({
    write: (text) => {
      state.written += text;
    },
    interactive,
    columns: () => columns,
    now: () => state.time,
  });
  return { line, state };
}

describe("the status line", () => {
  it("is rewritten in place on a terminal, a few times a second", () => {
    const { line, state } = statusLine(true);
    for (const [time, text] of [
      [0, "a"],
      [50, "b"],
      [120, "c"],
    ] as const) {
      state.time = time;
      line.update(() => text);
    }
    expect(state.written).toBe("\r\u001b[Ka\r\u001b[Kc");
  });

  it("never wraps, which could not be rewritten", () => {
    const { line, state } = statusLine(true, 10);
    line.update(() => "0123456789012345");
    expect(state.written).toBe("\r\u001b[K012345678");
  });

  it("is a plain line every ten seconds in a pipe", () => {
    const { line, state } = statusLine(false);
    for (let second = 1; second <= 25; second++) {
      state.time = second * 1000;
      line.update(() => `at ${second}`);
    }
    expect(state.written).toBe("at 10\nat 20\n");
  });

  it("shows an important text at once, and gives way to other output", () => {
    const { line, state } = statusLine(true);
    line.update(() => "one");
    line.update(() => "two", true);
    line.clear();
    line.update(() => "three");
    line.keep();
    expect(state.written).toBe("\r\u001b[Kone\r\u001b[Ktwo\r\u001b[K\r\u001b[Kthree\n");
  });
});

describe("the progress of a stage", () => {
  it("tells loss, speed and the time that is left", () => {
    let now = 0;
    const progress = new StageProgress("step", () => now);
    for (let step = 1; step <= 10; step++) {
      now = step * 1000;
      progress.row({ step, loss: 2, num_tokens: step * 1000 });
      progress.timing({ step, step_time: 0.5 });
      progress.progress({ phase: "done", done: step, total: 40 });
    }
    expect(progress.text()).toBe("████░░░░░░░░░░░░ step 10/40  loss 2  2,000 tokens/s  0:30 left");
  });

  it("tells reward, solve rate, tries and length where there are rewards, and not the loss, which says nothing", () => {
    const progress = new StageProgress("iteration", () => 0);
    progress.row({
      step: 1,
      loss: 0,
      reward: 1.25,
      solve_rate: 0.25,
      "tries/mean": 3.5,
      "completions/mean_length": 59,
    });
    progress.progress({ phase: "done", done: 2, total: 2 });
    expect(progress.text()).toBe("████████████████ iteration 2/2  reward 1.25  solved 25 %  tries 3.5  length 59");
  });

  it("counts only what this session did when it estimates the time after a resumption", () => {
    let now = 0;
    const progress = new StageProgress("step", () => now);
    now = 10_000;
    progress.progress({ phase: "done", done: 91, total: 100 });
    expect(progress.text()).toContain("1:30 left");
  });
});

describe("a long unit", () => {
  it("tells what it is doing, how many tokens of how many, and no speed of earlier units beside it", () => {
    let now = 0;
    const progress = new StageProgress("iteration", () => now);
    progress.progress({ phase: "done", done: 1, total: 4 });
    now = 4000;
    const sampled = { finished: 12, total: 32, tokens: 3104, mostTokens: 6208 };
    progress.progress({ phase: "sampling", done: 1, total: 4, sampled });
    expect(progress.text()).toContain("iteration 1/4  sampling 12/32, 3,104 of at most 6,208 tokens");
    progress.progress({ phase: "updating", done: 1, total: 4 });
    expect(progress.text()).toContain("iteration 1/4  updating");
  });

  it("is not worth words while it is short", () => {
    const progress = new StageProgress("iteration", () => 0);
    progress.progress({ phase: "updating", done: 1, total: 4 });
    expect(progress.text()).not.toContain("updating");
  });
});

describe("the progress of sampling", () => {
  it("tells tokens of at most, the rate and the most time that is left, for each call anew", () => {
    let now = 0;
    const words = new SamplingProgress(() => now);
    const text = (finished: number, tokens: number, mostTokens: number) =>
      words.text("completions", { finished, total: 8, tokens, mostTokens });
    expect(text(0, 8, 800)).toBe("0/8 completions, 8 of at most 800 tokens");
    now = 2000;
    expect(text(1, 208, 758)).toBe("1/8 completions, 208 of at most 758 tokens, 100 tokens/s, 0:06 left at most");
    now = 9000;
    expect(text(0, 8, 800)).toBe("0/8 completions, 8 of at most 800 tokens");
    now = 10_000;
    expect(text(0, 58, 800)).toBe("0/8 completions, 58 of at most 800 tokens, 50 tokens/s, 0:15 left at most");
  });

  it("counts pairs, which have no tokens", () => {
    expect(new SamplingProgress().text("", { finished: 3, total: 9 })).toBe("3/9");
  });
});

describe("style", () => {
  it("has colour on a terminal only, and never with NO_COLOR", () => {
    expect(styleFor(true, {}).bold("x")).toBe("\u001b[1mx\u001b[22m");
    for (const style of [styleFor(false, {}), styleFor(true, { NO_COLOR: "1" }), styleFor(true, { TERM: "dumb" })]) {
      expect(style.bold("x")).toBe("x");
    }
  });

  it("wraps at spaces and leaves long words whole", () => {
    expect(wrap("aa bb cc dddddddd e", 5)).toEqual(["aa bb", "cc", "dddddddd", "e"]);
    expect(wrap("", 5)).toEqual([]);
  });

  it("makes control characters of a completion visible", () => {
    expect(printable("a\u001b[2Jb\rc\u009bd\ne")).toBe("a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\ne");
  });
});
