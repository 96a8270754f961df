/**
 * Chooses among the candidates that passed every filter: duplicates are dropped, the number of candidates per prompt is
 * limited, and the shares of easy and hard prompts are brought to the wanted values. No model is asked here.
 *
 * Difficulty is a prompt's pass rate: the share of all of its k completions that the task calls solved. Balancing only
 * leaves out: the largest set with the wanted shares is taken, where the shares of buckets that nothing fell into are
 * spread over the others.
 */

import { Random } from "../random.ts";
import type { Candidate } from "./candidate.ts";
import type { ChoiceConfig } from "./config.ts";

/** A candidate that is chosen, and how hard its prompt is. */
export interface Chosen {
  readonly candidate: Candidate;
  readonly passRate: number;
}

/** The counts of a bucket of difficulty. */
export interface BucketCount {
  readonly passRate: readonly [number, number];
  readonly share: number;
  /** Candidates that fell into it, and how many of these were taken. */
  readonly found: number;
  readonly taken: number;
}

/** The outcome; a candidate that is left out has the reason in `dropped`. */
export interface ChosenCandidates {
  readonly chosen: readonly Chosen[];
  readonly buckets: readonly BucketCount[] | undefined;
}

/**
 * Chooses among `kept`, the candidates without a fault; `passRates` has each prompt's, by its text. Changes `dropped` of
 * those that are left out.
 */
export function selectCandidates(
  kept: readonly Candidate[],
  passRates: ReadonlyMap<string, number>,
  config: Pick<ChoiceConfig, "dedupe" | "keepPerPrompt" | "choose" | "seed" | "difficulty">,
): ChosenCandidates {
  const groups = new Map<string, Candidate[]>();
  for (const candidate of kept) {
    const group = groups.get(candidate.prompt) ?? [];
    groups.set(candidate.prompt, group);
    const text = normalised(candidate.completion);
    if (config.dedupe && group.some(({ completion }) => normalised(completion) === text)) {
      candidate.dropped = { by: "duplicate", reason: "its prompt has this completion already" };
    } else group.push(candidate);
  }
  const random = new Random(config.seed, "selection");
  const chosen: Chosen[] = [];
  for (const [prompt, group] of groups) {
    const limit = config.keepPerPrompt ?? group.length;
    const ordered = inOrderOfChoice(group, config.choose, random);
    for (const candidate of ordered.slice(limit)) {
      candidate.dropped = { by: "keepPerPrompt", reason: `its prompt has ${limit} others` };
    }
    for (const candidate of ordered.slice(0, limit)) chosen.push({ candidate, passRate: passRates.get(prompt)! });
  }
  return config.difficulty === undefined
    ? { chosen, buckets: undefined }
    : balanced(chosen, config.difficulty, new Random(config.seed, "difficulty"));
}

/** A text with letter case and white space aside: two that agree in it are duplicates. */
export function normalised(text: string): string {
  return text.normalize("NFKC").toLowerCase().replace(/\s+/gu, " ").trim();
}

function inOrderOfChoice(group: readonly Candidate[], choose: ChoiceConfig["choose"], random: Random): Candidate[] {
  switch (choose) {
    case "random":
      return random.shuffle([...group]);
    case "shortest":
      return group.toSorted((a, b) => a.lengthTokens - b.lengthTokens);
    case "longest":
      return group.toSorted((a, b) => b.lengthTokens - a.lengthTokens);
    case "first":
      return [...group];
  }
}

function balanced(
  chosen: readonly Chosen[],
  difficulty: NonNullable<ChoiceConfig["difficulty"]>,
  random: Random,
): ChosenCandidates {
  const buckets: Chosen[][] = difficulty.map(() => []);
  for (const one of chosen) {
    const bucket = difficulty.findIndex(({ passRate: [from, to] }) => one.passRate >= from && one.passRate <= to);
    if (bucket >= 0) buckets[bucket]!.push(one);
    else one.candidate.dropped = { by: "difficulty", reason: `no bucket takes a pass rate of ${one.passRate}` };
  }
  const present = difficulty.filter((_, i) => buckets[i]!.length > 0);
  const sum = present.reduce((total, { share }) => total + share, 0);
  const total = Math.min(
    ...difficulty.flatMap(({ share }, i) => (buckets[i]!.length > 0 ? [(buckets[i]!.length * sum) / share] : [])),
  );
  const counts: BucketCount[] = [];
  const taken: Chosen[] = [];
  for (const [i, { passRate, share }] of difficulty.entries()) {
    const bucket = random.shuffle([...buckets[i]!]);
    // A bucket with rows gives one at least. Otherwise a very small share would lose the bucket.
    const count = bucket.length === 0 ? 0 : Math.max(1, Math.floor((total * share) / sum + 1e-9));
    taken.push(...bucket.slice(0, count));
    for (const { candidate } of bucket.slice(count)) {
      candidate.dropped = {
        by: "difficulty",
        reason: `there are more of pass rate ${passRate.join(" to ")} than wanted`,
      };
    }
    counts.push({ passRate, share, found: bucket.length, taken: Math.min(count, bucket.length) });
  }
  return { chosen: taken, buckets: counts };
}
