/** What the Tinker server holds at most, and for how long. */

export interface TinkerLimits {
  /** Models that are trained, of all sessions. */
  readonly mostModels: number;
  /** Largest rank of an adapter. */
  readonly mostRank: number;
  readonly mostSessions: number;
  /** Sampling sessions of one session: those that were used last. */
  readonly mostSamplingSessions: number;
  /** Losses that a session has uploaded. */
  readonly mostCustomLosses: number;
  /** Of the request that uploads one. */
  readonly mostCustomLossBytes: number;
  /** Frozen weights that are open and idle. */
  readonly mostOpenSamplers: number;
  /** Checkpoints on the disk, of all sessions; a session may have four times as many as it leaves (`checkpoint-room.ts`). */
  readonly mostCheckpoints: number;
  /** Their bytes, in the same way. */
  readonly mostCheckpointBytes: number;
  /** What stays free of the disk for requests and results: where there is less no checkpoint is saved. */
  readonly leastFreeDiskBytes: number;
  /** Requests whose results are not there yet. */
  readonly mostPending: number;
  /** Results that are kept: each takes some 700 bytes of memory, beside what it has on the disk. */
  readonly mostResults: number;
  /** Of all results that are kept. */
  readonly mostResultBytes: number;
  /** Of those that are kept in memory, beside the disk. */
  readonly mostResultBytesInMemory: number;
  /** Of what one request to sample has to report. */
  readonly mostSampleBytes: number;
  /** Requests, results and custom losses on the disk, for a server after this one. */
  readonly mostJournalBytes: number;
  /** How much of a model's time may pass for each second that saving its state takes. */
  readonly busyPerSave: number;
  /** How long a result is kept. */
  readonly resultsKeptMs: number;
  /** Longest poll. */
  readonly pollMs: number;
  /** How long a number of a model that is missing is waited for. */
  readonly missingNumberMs: number;
  /** A session that was silent for so long is ended. */
  readonly sessionSilentMs: number;
  readonly mostBodyBytes: number;
  /** Data of one request. */
  readonly mostData: number;
}

/** What `aha serve --tinker` has. */
export const TINKER_LIMITS: TinkerLimits = {
  mostModels: 16,
  mostRank: 256,
  mostSessions: 256,
  mostSamplingSessions: 1000,
  mostCustomLosses: 64,
  mostCustomLossBytes: 2 ** 19,
  mostOpenSamplers: 8,
  mostCheckpoints: 20_000,
  mostCheckpointBytes: 2 ** 38,
  leastFreeDiskBytes: 2 ** 28,
  mostPending: 4096,
  mostResults: 2 ** 15,
  mostResultBytes: 2 ** 30,
  mostResultBytesInMemory: 2 ** 26,
  mostSampleBytes: 2 ** 28,
  mostJournalBytes: 2 ** 31,
  busyPerSave: 20,
  resultsKeptMs: 600_000,
  pollMs: 30_000,
  missingNumberMs: 60_000,
  sessionSilentMs: 300_000,
  mostBodyBytes: 2 ** 26,
  mostData: 4096,
};
