/** SAPO (arXiv:2511.20347): −(4/τ)·σ(τ·(r − 1))·A, a sigmoid in place of the clip; τ is steeper where A ≤ 0. */

import { z } from "zod";
import { add, divide, exponential, lessOrEqual, multiply, negate, scale, subtract } from "../graph/ops/elementwise.ts";
import { trlWithoutClip, withoutClip } from "./clip.ts";
import { overCompletions } from "./means.ts";
import { defineLoss } from "./policy-loss.ts";

/** The entry; see the file's header. */
export const sapo = defineLoss({
  name: "sapo",
  summary: "a sigmoid in place of the clip; every completion counts the same",
  citation: "SAPO, arXiv:2511.20347",
  options: {
    sapoTemperaturePos: z
      .number()
      .positive()
      .default(1)
      .describe("sapo: steepness of the gate where the advantage is > 0"),
    sapoTemperatureNeg: z.number().positive().default(1.05).describe("sapo: the same where it is not"),
  },
  mean: overCompletions,
  value: ({ logRatio, advantage }, { sapoTemperaturePos, sapoTemperatureNeg }) => {
    const ratio = Math.exp(logRatio);
    const temperature = advantage > 0 ? sapoTemperaturePos : sapoTemperatureNeg;
    const gate = 1 / (1 + Math.exp(-temperature * (ratio - 1)));
    // gate · (1 − gate) is 0 before an overflowing ratio is infinite.
    const slope = gate === 1 ? 0 : gate * (1 - gate) * ratio;
    return { value: (-4 / temperature) * gate * advantage, byLogprob: 0, byLogRatio: -4 * slope * advantage };
  },
  graph: ({ ratios, advantages }, { sapoTemperaturePos, sapoTemperatureNeg }) => {
    const { graph } = ratios;
    const isNotPositive = lessOrEqual(advantages, graph.scalar(0));
    const temperature = add(
      scale(isNotPositive, sapoTemperatureNeg - sapoTemperaturePos),
      graph.scalar(sapoTemperaturePos),
    );
    const one = graph.scalar(1);
    // σ(x) = 1 / (1 + e^−x), x = τ(r − 1) ≥ −τ.
    const odds = exponential(negate(multiply(temperature, subtract(ratios, one))));
    const gate = divide(one, add(one, odds));
    return negate(multiply(divide(scale(gate, 4), temperature), advantages));
  },
  unread: withoutClip("sapo has a sigmoid in place of the clip (sapoTemperaturePos, sapoTemperatureNeg)"),
  trl: {
    name: "sapo",
    keys: [
      { key: "sapo_temperature_neg", option: "sapoTemperatureNeg", kind: "positive" },
      { key: "sapo_temperature_pos", option: "sapoTemperaturePos", kind: "positive" },
    ],
    unread: trlWithoutClip("sapo"),
  },
});
