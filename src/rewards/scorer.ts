/** What scores texts for rewards: a reward model in memory, which a higher layer opens. */

import type { JudgedText } from "./judged-part.ts";

/** Something that scores texts. */
export interface TextScorer {
  /** A reward for each text; null for one that it cannot read, for the reason given. */
  score(texts: readonly JudgedText[]): Promise<readonly { readonly reward: number | null; readonly reason?: string }[]>;
  close(): Promise<void>;
}

/** Opens the reward model in a directory. Throws AhaError where there is none. */
export type OpenScorer = (path: string) => Promise<TextScorer>;
