import { describe, expect, it } from "vitest";
import { ALARM_NAMES } from "../../src/alarms/alarm.ts";
import { alarmMetrics, alarmSpans } from "../../src/inspect/alarm-metrics.ts";
import { stageCharts } from "../../src/inspect/chart-catalogue.ts";
import { isKnownMetric, metricNote } from "../../src/inspect/metric-notes.ts";
import { tokenTexts } from "../../src/inspect/token-view.ts";
import { visibleText } from "../../src/inspect/visible-text.ts";
import { Random } from "../../src/random.ts";
import { trainers } from "../../src/train/trainers.ts";
import { metricsLine } from "../dashboard/written-run.ts";

describe("what metrics mean", () => {
  it("is known of every metric that a chart or an alarm shows, and of those of a run", () => {
    const ofTrainers = trainers.names.flatMap((name) =>
      (trainers.get(name).curves ?? []).flatMap(({ metrics }) => Object.keys(metrics)),
    );
    const ofAlarms = ALARM_NAMES.flatMap((alarm) => alarmMetrics({ alarm, reward: "format" }));
    const ofRun = Object.keys(JSON.parse(metricsLine(1, new Random(1, "x")))).filter(
      (name) => !["stage", "step", "iteration"].includes(name),
    );
    expect([...ofTrainers, ...ofAlarms, ...ofRun].filter((name) => !isKnownMetric(name))).toEqual([]);
  });

  it("names the reward that a metric is of", () => {
    expect(metricNote("rewards/equation/mean").meaning).toContain("“equation”");
    expect(metricNote("nonsense").meaning).toMatch(/added from outside/);
  });
});

describe("alarms on curves", () => {
  const alarm = (step: number, state: "raised" | "cleared" | "note", reward?: string) => ({
    ...{ stage: "a", step, alarm: "reward-abstains" as const, state, value: 1, threshold: 1, message: "" },
    ...(reward && { reward }),
  });
  it("are spans, each reward's apart", () => {
    const spans = alarmSpans(
      [alarm(1, "raised", "x"), alarm(2, "raised", "y"), alarm(5, "cleared", "x"), alarm(9, "raised", "x")],
      "a",
    );
    expect(spans.map(({ from, to, raised }) => [from, to, raised.reward])).toEqual([
      [1, 5, "x"],
      [2, undefined, "y"],
      [9, undefined, "x"],
    ]);
    expect(alarmSpans([alarm(1, "raised")], "b")).toEqual([]);
  });
});

describe("charts of a stage", () => {
  it("are those whose metrics it has; that of a policy's loss is left out", () => {
    const titles = stageCharts("r1", "grpo", ["reward", "loss", "entropy"], []).map(({ title }) => title);
    expect(titles).toContain("Reward");
    expect(titles).not.toContain("Loss");
    expect(stageCharts("x", "unknown-trainer", ["loss"], []).map(({ title }) => title)).toEqual(["Loss"]);
  });
});

describe("text that a model wrote", () => {
  it("shows what is not seen, and turns nothing around", () => {
    expect(visibleText("a\u202Eb\u0000c\u001b[31md\u200be\r\nf\tg")).toBe(
      "a⟨U+202E⟩b⟨U+0000⟩c⟨U+001B⟩[31md⟨U+200B⟩e⟨U+000D⟩\nf\tg",
    );
  });
  it("keeps what scripts need: Arabic, joined emoji, accents", () => {
    const text = "שלום مرحبا 👩‍👩‍👧 é नमस्ते";
    expect(visibleText(text)).toBe(text);
  });
});

describe("tokens as text", () => {
  const bytes = [[0xe2], [0x82], [0xac, 0x41], [], [0xff]].map((each) => Uint8Array.from(each));
  const tokenizer = { tokenBytes: (token: number) => bytes[token]!, decode: () => "<end>" };
  it("stand with the last part of a character; special ones are written out", () => {
    expect(tokenTexts([0, 1, 2, 3, 4], tokenizer)).toEqual(["", "", "€A", "<end>", "\ufffd"]);
  });
});
