import { describe, expect, it } from "vitest";
import type { Rollout } from "../../src/rollout/collect.ts";
import { collectGroups } from "../../src/rollout/collect-groups.ts";

/** Groups of two with these pairs of rewards, handed out in order; what was asked for is kept. */
function source(pairs: readonly (readonly [number, number])[]) {
  const asked: number[] = [];
  let next = 0;
  const sampleGroups = async (count: number) => {
    asked.push(count);
    const taken = pairs.slice(next, next + count);
    next += count;
    return taken.flatMap((pair, i) => pair.map((reward) => ({ promptId: next - count + i, reward }) as Rollout));
  };
  return { asked, sampleGroups };
}

const varies = (group: readonly Rollout[]) => group[0]!.reward !== group[1]!.reward;
const idsOf = (rollouts: readonly Rollout[]) => rollouts.map(({ promptId }) => promptId);

describe("collectGroups", () => {
  it("takes groups as they come where there is one round", async () => {
    const { asked, sampleGroups } = source([
      [1, 1],
      [0, 1],
    ]);
    const collected = await collectGroups({ numGroups: 2, groupSize: 2, maxRounds: 1 }, sampleGroups, varies);
    expect(idsOf(collected.rollouts)).toEqual([0, 0, 1, 1]);
    expect(collected.sampled).toEqual(collected.rollouts);
    expect(collected).toMatchObject({ rounds: 1, unfilled: 0 });
    expect(asked).toEqual([2]);
  });

  it("asks again for as many groups as are missing, until there are enough", async () => {
    const { asked, sampleGroups } = source([
      [1, 1],
      [0, 1],
      [0, 0],
      [1, 1],
      [1, 0],
      [1, 0],
    ]);
    const collected = await collectGroups({ numGroups: 3, groupSize: 2, maxRounds: 9 }, sampleGroups, varies);
    expect(asked).toEqual([3, 2, 1]);
    expect(idsOf(collected.rollouts)).toEqual([1, 1, 4, 4, 5, 5]);
    expect(idsOf(collected.sampled)).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    expect(collected).toMatchObject({ rounds: 3, unfilled: 0 });
  });

  it("fills up with dropped groups, the first ones first, when rounds run out", async () => {
    const { sampleGroups } = source([
      [1, 1],
      [0, 1],
      [0, 0],
      [1, 1],
      [0, 0],
    ]);
    const collected = await collectGroups({ numGroups: 3, groupSize: 2, maxRounds: 2 }, sampleGroups, varies);
    expect(idsOf(collected.rollouts)).toEqual([1, 1, 0, 0, 2, 2]);
    expect(collected).toMatchObject({ rounds: 2, unfilled: 2 });
  });
});
