import { describe, expect, it } from "vitest";
import type { Alarm, AlarmName } from "../../src/alarms/alarm.ts";
import type { WatchedRow } from "../../src/alarms/level-rules.ts";
import { AlarmMonitor, alarmKey, replay } from "../../src/alarms/monitor.ts";
import { hackingDeviations } from "../../src/alarms/reward-hacking.ts";

const HEALTHY = {
  reward: 0.5,
  loss: 0.2,
  entropy: 1,
  grad_norm: 1,
  "completions/clipped_ratio": 0.1,
  frac_reward_zero_std: 0.2,
  frac_reward_abstained: 0,
  "sampling/sampling_logp_difference/mean": 1e-6,
};

/** Rows with healthy numbers but for `name`, which takes these values one after another. */
function series(name: string, values: readonly (number | null)[]): WatchedRow[] {
  return values.map((value, i) => ({ step: i + 1, ...HEALTHY, [name]: value }));
}

function alarmsOf(rows: readonly WatchedRow[], lossIsZero = false): Alarm[] {
  const monitor = new AlarmMonitor([{ name: "rl", lossIsZero }]);
  return rows.flatMap((row) => monitor.row("rl", row));
}

const told = (alarms: readonly Alarm[]) => alarms.map(({ alarm, state, step }) => [alarm, state, step]);
const repeat = (value: number, times: number) => Array.from({ length: times }, () => value);

describe("alarms on one number", () => {
  const cases: [AlarmName, string, (number | null)[], [number, number]][] = [
    [
      "truncation",
      "completions/clipped_ratio",
      [0.1, ...repeat(0.6, 6), ...repeat(0.4, 4), ...repeat(0.2, 3)],
      [4, 14],
    ],
    ["zero-variance", "frac_reward_zero_std", [...repeat(0.9, 6), ...repeat(0.7, 3), ...repeat(0.5, 3)], [3, 12]],
    [
      "entropy-collapse",
      "entropy",
      [...repeat(1, 3), ...repeat(0.05, 5), ...repeat(0.15, 4), ...repeat(0.5, 3)],
      [6, 15],
    ],
    ["rewards-abstain", "frac_reward_abstained", [0, 1, 1, 0.7, 0], [2, 5]],
    ["sampler-difference", "sampling/sampling_logp_difference/mean", [0, 0.02, 0.03, 0.007, 0.001], [2, 5]],
    ["gradient-explosion", "grad_norm", [...repeat(1, 5), 20, 5, 1], [6, 8]],
  ];
  it.each(cases)(
    "%s rings once, stays silent between its limits, and is over once",
    (name, metric, values, [up, over]) => {
      expect(told(alarmsOf(series(metric, values)))).toEqual([
        [name, "raised", up],
        [name, "cleared", over],
      ]);
    },
  );

  it("sampler-difference does not ring for completions that were sampled ahead, whose difference is training's too", () => {
    const rows = series("sampling/sampling_logp_difference/mean", [0.001, 0.02, 0.03]);
    const aged = (ages: readonly number[]) => rows.map((row, i) => ({ ...row, "staleness/max": ages[i]! }));
    expect(told(alarmsOf(aged([0, 1, 1])))).toEqual([]);
    expect(told(alarmsOf(aged([0, 0, 1])))).toEqual([["sampler-difference", "raised", 2]]);
  });

  it("reward-abstains rings for one reward of several that abstains from all for three rows, and is over once", () => {
    const values = [0.5, 1, 1, 1, 1, 0.7, 0.2, 0.2, 0.2];
    const rows = series("rewards/own/frac_abstained", values).map((row) => ({ ...row, "rewards/format/mean": 1 }));
    const alarms = alarmsOf(rows);
    expect(told(alarms)).toEqual([
      ["reward-abstains", "raised", 4],
      ["reward-abstains", "cleared", 9],
    ]);
    expect(alarms[0]).toMatchObject({
      reward: "own",
      message: expect.stringContaining("The reward own abstained from"),
    });
    // Where all of them abstain, that is what is said; a reward that was asked about nothing says nothing.
    const alone = rows.map((row) => ({ ...row, frac_reward_abstained: 1 }));
    expect(told(alarmsOf(alone))).toEqual([["rewards-abstain", "raised", 1]]);
    const seldom = rows.map((row) => (row.step % 2 === 0 ? row : { step: row.step, ...HEALTHY }));
    expect(told(alarmsOf(seldom))).toEqual([]);
  });

  it("reward-abandoned rings at once, each reward for itself, and its abstentions are not said again", () => {
    const up = (names: readonly string[]) =>
      Object.fromEntries(
        names.flatMap((name) => [
          [`rewards/${name}/frac_abstained`, 1],
          [`rewards/${name}/abandoned`, 1],
        ]),
      );
    const rows = [
      up(["a"]),
      up(["a", "b"]),
      up(["a", "b"]),
      up(["a", "b"]),
      { "rewards/a/mean": 1, "rewards/b/mean": 1 },
    ].map((more, i) => ({ step: i + 1, ...HEALTHY, ...more }));
    const alarms = alarmsOf(rows);
    expect(alarms.map(({ alarm, reward, state, step }) => [alarm, reward, state, step])).toEqual([
      ["reward-abandoned", "a", "raised", 1],
      ["reward-abandoned", "b", "raised", 2],
      ["reward-abandoned", "a", "cleared", 5],
      ["reward-abandoned", "b", "cleared", 5],
    ]);
    expect(new Set(alarms.map(alarmKey)).size).toBe(4);
  });

  it("stay silent on a healthy run", () => {
    expect(alarmsOf(series("loss", repeat(0.3, 50)))).toEqual([]);
  });

  it("need their number of rows in a row", () => {
    const values = [0.6, 0.6, 0.1, 0.6, 0.6, 0.1];
    expect(alarmsOf(series("completions/clipped_ratio", values))).toEqual([]);
  });

  it("tell a gradient that is not finite, as live numbers and as logs have it", () => {
    for (const value of [Number.NaN, null]) {
      const [alarm] = alarmsOf(series("grad_norm", [1, value]));
      expect(alarm).toMatchObject({ alarm: "gradient-explosion", state: "raised", step: 2, value: null });
    }
  });

  it("say nothing of metrics that are absent", () => {
    expect(alarmsOf([{ step: 1 }, { step: 2 }])).toEqual([]);
  });
});

describe("a loss that is 0 by construction", () => {
  it("is not explained where it was something else before", () => {
    expect(alarmsOf(series("loss", [-0.4, -0.3, 1e-9]), true)).toEqual([]);
  });

  it("is explained once a run, where each batch has one step", () => {
    const rows = series("loss", [1e-9, 1e-9, 0]);
    expect(told(alarmsOf(rows, true))).toEqual([["loss-zero-by-construction", "note", 1]]);
    expect(alarmsOf(rows, false)).toEqual([]);
  });
});

describe("reward hacking", () => {
  const evaluation = (step: number, solveRate: number) => {
    return { stage: "rl", step, decoding: "sampled" as const, solveRate, problems: 400 };
  };
  /** Reward rising from 0.1 by 0.05 a row; evaluations at step 0, 10 and 20. */
  function run(rates: readonly [number, number, number], slope = 0.05): Alarm[] {
    const monitor = new AlarmMonitor([{ name: "rl", lossIsZero: false }]);
    const alarms = monitor.evaluation(evaluation(0, rates[0]));
    for (let step = 1; step <= 20; step++) {
      alarms.push(...monitor.row("rl", { step, ...HEALTHY, reward: 0.1 + slope * step }));
      if (step % 10 === 0) alarms.push(...monitor.evaluation(evaluation(step, rates[step / 10]!)));
    }
    return alarms;
  }

  it("rings where the reward rises while fewer held-out problems are solved, and is over when they are again", () => {
    expect(told(run([0.5, 0.3, 0.55]))).toEqual([
      ["reward-hacking", "raised", 10],
      ["reward-hacking", "cleared", 20],
    ]);
  });

  it("does not ring for chance, for a reward that falls too, or for progress", () => {
    expect(run([0.5, 0.47, 0.46])).toEqual([]);
    expect(run([0.5, 0.3, 0.2], -0.05)).toEqual([]);
    expect(run([0.3, 0.5, 0.6])).toEqual([]);
  });

  it("measures the fall in standard errors of two shares", () => {
    const at = (rate: number, reward: number) => ({ rate, problems: 100, reward });
    expect(hackingDeviations(at(0.5, 0), at(0.3, 1))).toBeCloseTo(0.2 / Math.sqrt(0.0025 + 0.0021), 10);
    expect(hackingDeviations(at(0.5, 0), at(0.3, 0))).toBeUndefined();
  });

  it("passes greedy answers over", () => {
    const monitor = new AlarmMonitor([]);
    expect(monitor.evaluation({ ...evaluation(0, 0.5), decoding: "greedy" })).toEqual([]);
  });
});

describe("a monitor that hears logs again", () => {
  it("rings as it did the first time, and goes on from there", () => {
    const rows = series("completions/clipped_ratio", [...repeat(0.6, 5), ...repeat(0.1, 5)]);
    const whole = alarmsOf(rows);
    const monitor = new AlarmMonitor([{ name: "rl", lossIsZero: false }]);
    const metrics = rows.slice(0, 7).map((row) => ({ stage: "rl", row }));
    const again = replay(monitor, { metrics, evaluations: [] });
    const rest = rows.slice(7).flatMap((row) => monitor.row("rl", row));
    expect([...again, ...rest]).toEqual(whole);
    expect(new Set(whole.map(alarmKey)).size).toBe(2);
  });
});
