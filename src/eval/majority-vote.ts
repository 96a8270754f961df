/** Majority voting over the samples of one problem (self-consistency, Wang et al., arXiv:2203.11171; "cons@k" in R1). */

/**
 * The most frequent answer; among equals the one that came first. Samples without an answer (null) do not vote; null
 * where nobody votes.
 */
export function majorityAnswer(answers: readonly (string | null)[]): string | null {
  const votes = new Map<string, number>();
  for (const answer of answers) if (answer !== null) votes.set(answer, (votes.get(answer) ?? 0) + 1);
  let winner: string | null = null;
  for (const [answer, count] of votes) if (winner === null || count > votes.get(winner)!) winner = answer;
  return winner;
}
