import { describe, expect, it } from "vitest";
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
      progress.progress({ phase: "training", done: step, total: 40 });
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
    progress.progress({ phase: "training", done: 2, total: 2 });
    expect(progress.text()).toBe("████████████████ iteration 2/2  reward 1.25  solved 25 %  tries 3.5  length 59");
  });

  it("counts only what this session did when it estimates the time after a resumption", () => {
    let now = 0;
    const progress = new StageProgress("step", () => now);
    now = 10_000;
    progress.progress({ phase: "training", done: 91, total: 100 });
    expect(progress.text()).toContain("1:30 left");
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
