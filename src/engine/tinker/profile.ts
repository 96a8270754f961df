/**
 * Servers of the Tinker protocol, and where they differ: everything that a client has to know of one of them by name is here.
 * (docs/scale-out.md says which of it was run, and which read in their sources.)
 */

/** What a client does differently from one server to another. */
export interface TinkerProfile {
  readonly name: string;
  /** What it is, in a line. */
  readonly summary: string;
  /** The server speaks Aha's extension: a run is that of an engine in this process, bit for bit. */
  readonly extension: boolean;
  /** Losses of the protocol that the server has beside cross-entropy, and that are used here. */
  readonly losses: readonly ("ppo" | "importance_sampling")[];
  /**
   * How Σ w·logπ is asked for, with weights of any sign: cross-entropy of these weights, or importance sampling at the
   * ratio 1 where the server divides cross-entropy by its weights.
   */
  readonly linear: "cross_entropy" | "importance_sampling";
  /** What a gradient is of: the sum over tokens and data, or the mean over data of each one's mean over its positions. */
  readonly reduction: "sum" | "meanOfMeans";
  /** Where the gradient is clipped: as a request says, nowhere, or by the server's own configuration. */
  readonly clipping: "request" | "none" | "server";
  /** What a step's weight decay decays: the weights of its own model, or every adapter on the server. */
  readonly decays: "own" | "all";
  /** Which of Adam's numbers a request decides about. */
  readonly adam: "all" | "learningRate";
  /** `optim_step` reports the norm of the gradient under this name; undefined: under none. */
  readonly gradientNorm: string | undefined;
  /** Numbers that come for a prompt of n tokens: n, the first of them none, or n − 1. */
  readonly promptLogprobs: "n" | "n-1";
  /** How a model is made of a checkpoint: by the load itself, or by a load as the first request of a new one. */
  readonly load: "new" | "first";
  /**
   * Where weights are that are sampled from: apart from those that are trained, or in the same place, so that sampling from an
   * older snapshot of a model undoes its training.
   */
  readonly snapshots: "apart" | "inPlace";
  /**
   * How a session gives up its models when it ends: with itself (`sessions/…/finish`), or one by one, where the server would
   * otherwise keep them until it has heard nothing of the session for minutes.
   */
  readonly ending: "session" | "models";
  /** What goes with a model that is given up: nothing, or its checkpoints. */
  readonly unloading: "model" | "checkpoints";
  /**
   * The gradient that a new model begins with: none, or what was left in its place by a model that was given up between a pass
   * and its step.
   */
  readonly firstGradient: "none" | "left";
  /** What the server says where it has no place for another model, and how soon those of a client that was killed leave theirs. */
  readonly full: { readonly says: RegExp; readonly seconds: number } | undefined;
  /** What it says of a model that it does not have any more: it was begun anew, or heard nothing of its session for minutes. */
  readonly gone: RegExp | undefined;
  /** What the server calls a snapshot without a name that it keeps as a file, by the numbers of its sampling session and request. */
  readonly unnamedSnapshot: ((session: number, request: number) => string) | undefined;
  /** How an adapter is fetched: file by file, as an archive (.tar.gz), or not at all. */
  readonly adapters: "files" | "archive" | "none";
  /** A number of a model that is sent again is the same request; otherwise it is never sent again. */
  readonly repeats: boolean;
  /** Which SDK's requests it knows, where it refuses members that it does not know. */
  readonly requests: "0.25" | "0.38";
  /** The most data that one request takes. */
  readonly mostData: number;
}

const HOSTED: TinkerProfile = {
  name: "hosted",
  summary: "Thinking Machines' service, and what speaks its protocol to the letter",
  extension: false,
  losses: ["ppo", "importance_sampling"],
  linear: "cross_entropy",
  reduction: "sum",
  clipping: "request",
  decays: "own",
  adam: "all",
  gradientNorm: undefined,
  promptLogprobs: "n",
  load: "new",
  snapshots: "apart",
  ending: "session",
  unloading: "model",
  firstGradient: "none",
  full: undefined,
  gone: undefined,
  unnamedSnapshot: undefined,
  adapters: "none",
  repeats: true,
  requests: "0.38",
  mostData: 1024,
};

const SKYRL: TinkerProfile = {
  ...HOSTED,
  name: "skyrl",
  summary: "SkyRL 0.4 with JAX",
  // Its cross-entropy and its PPO are means; PPO by slopes is as many passes and no scaling of ratios.
  losses: [],
  linear: "importance_sampling",
  reduction: "meanOfMeans",
  clipping: "none",
  decays: "all",
  gradientNorm: "skyrl.ai/grad_norm",
  promptLogprobs: "n-1",
  load: "first",
  snapshots: "inPlace",
  ending: "models",
  firstGradient: "left",
  // Sessions end 300 s after their last sign of life, and are looked through every 60 s.
  full: { says: /maximum number of lora adapters/i, seconds: 420 },
  gone: /model \S+ not loaded/i,
  unnamedSnapshot: (session, request) => `ss${session}_seq${request}`,
  adapters: "archive",
};

/** The profiles by name. */
const TINKER_PROFILES: readonly TinkerProfile[] = [
  {
    ...HOSTED,
    name: "aha",
    summary: "aha serve --tinker: every capability of the engine there",
    extension: true,
    // Sessions end 300 s after their last sign of life (`src/serve/tinker/limits.ts`).
    full: { says: /as many as it takes/, seconds: 330 },
    adapters: "files",
    gradientNorm: "grad_norm",
    mostData: 4096,
  },
  HOSTED,
  SKYRL,
  {
    ...SKYRL,
    name: "skyrl-fsdp",
    summary: "SkyRL 0.4 with FSDP or Megatron",
    reduction: "sum",
    // A named save is a file of its own, and vLLM has each of them.
    snapshots: "apart",
    firstGradient: "none",
    unnamedSnapshot: undefined,
    clipping: "server",
    decays: "own",
    adam: "learningRate",
    losses: ["ppo", "importance_sampling"],
    linear: "cross_entropy",
  },
  {
    ...HOSTED,
    name: "tuft",
    summary: "TuFT 0.2",
    load: "first",
    unloading: "checkpoints",
    repeats: false,
    requests: "0.25",
  },
];

/** The names of the profiles. */
export const PROFILE_NAMES = TINKER_PROFILES.map(({ name }) => name);

/** The profile of this name, one of `PROFILE_NAMES`. */
export function profileNamed(name: string): TinkerProfile {
  return TINKER_PROFILES.find((profile) => profile.name === name)!;
}
