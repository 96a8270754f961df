/** What the training thread and the thread of a user's reward say to each other. */

import type { RewardInput, RewardResult } from "../reward.ts";

/** Handed to a thread when it starts. */
export interface ThreadSetup {
  /** The absolute path of the user's file. */
  readonly file: string;
  readonly exportName: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Address of the module that makes Node read TypeScript; undefined where it is not needed. */
  readonly typeScriptLoader: string | undefined;
  /** Address of Aha's public API: what the file gets for `aha`. */
  readonly ahaAddress: string;
  /** JSON text that the reward saved. */
  readonly state: string | undefined;
}

/** To the thread: judge these. */
export interface JudgeRequest {
  readonly inputs: readonly RewardInput[];
}

/** From the thread. `index` is that of an input of the request. */
export type ThreadMessage =
  | { readonly type: "ready" }
  /** Not loaded, and why. */
  | { readonly type: "refused"; readonly reason: string }
  /** The judge is called for this input, or for all of them. */
  | { readonly type: "started"; readonly indices: readonly number[] }
  /** The judge has returned a promise: it no longer holds the thread. */
  | { readonly type: "waiting"; readonly indices: readonly number[] }
  | { readonly type: "judged"; readonly index: number; readonly result: RewardResult }
  /** Everything is judged; with the state that the reward saves, or why it could not be read. */
  | { readonly type: "done"; readonly state: string | undefined }
  | { readonly type: "done"; readonly stateFault: string };
