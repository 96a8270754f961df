/**
 * Whether a server behaves as its profile says, asked before anything is trained, in a model of its own that is given up
 * afterwards and whose weights no step moves:
 *
 *     sampled log-probabilities    natural ones, under the whole vocabulary: those that the trainer computes
 *     prompt_logprobs              as many as the profile says, and the same numbers
 *     reduction                    of what a gradient is: a sum, or a mean over data, over positions, or over both
 *
 * The reduction shows in gradients. One datum of n positions, and two of 3 n whose only weight is at the same token, have
 * gradients whose norms are as 1 to 2 where they are sums, 1 to 1 for means over data, 1 to 2/3 for those over positions, and
 * 1 to 1/3 for means of means. A server that reports no norm says its loss (`loss:sum`), which shows the same.
 */

import { ConfigError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { STOP_REASON } from "../../tinker/messages.ts";
import type { Datum, PolicyInfo } from "../contract/policy.ts";
import type { TinkerProfile } from "./profile.ts";
import type { RemoteModel } from "./remote-model.ts";
import { createModel, type RemotePolicyParts, STILL, unloadModel } from "./remote-parts.ts";
import { requireSession } from "./remote-reference.ts";
import { drawnTokens, RemoteSampler } from "./remote-sampler.ts";
import { removeCheckpoint } from "./saved-files.ts";
import { plainDatum, resultOf } from "./wire-data.ts";

/** Tokens of the prompt, and of the completion: a datum with its first token alone has a third of the positions. */
const PROMPT = 4;
const COMPLETION = 9;
const SEED = 7;
/** The most prompts that are tried, where the model ends what it writes to one before its length. */
const MOST_PROMPTS = 8;
/** The most that two ways to compute a log-probability differ on average, in nats: other conventions differ by more. */
const MOST_NATS = 0.3;
/** The most that a ratio of gradients differs from its value, as a share of it: the next one is a third away. */
const MOST_SHARE = 0.12;

/** What two data with one weight each come to, beside one, by reduction. */
const REDUCTIONS = [
  { reduction: "sum", what: "sums over tokens and data", ratio: 2 },
  { reduction: undefined, what: "means over data", ratio: 1 },
  { reduction: undefined, what: "means over positions, summed over data", ratio: 2 / 3 },
  { reduction: "meanOfMeans", what: "means over data of means over positions", ratio: 1 / 3 },
] as const;

/**
 * Asks the server.
 *
 * @throws ConfigError that names what differs; EngineError where it cannot be asked.
 */
export async function probeServer(parts: RemotePolicyParts): Promise<void> {
  const model = await createModel(parts);
  try {
    const { profile } = parts;
    const datum = await sampledDatum(parts, model);
    const short = { ...datum, completionTokens: datum.completionTokens.subarray(0, 1) };
    const one = await gradientOf(parts, model, [short]);
    const two = await gradientOf(parts, model, [datum, datum]);
    requireLogprobs(profile, "the log-probabilities of what it sampled", datum.samplerLogprobs!, two.logprobs);
    requireReduction(profile, two.size / one.size);
  } finally {
    await unloadModel(parts.client, model);
  }
}

/** A prompt with what the server wrote to it, which it also scored. A model may end early: then another prompt is tried. */
async function sampledDatum({ client, profile, info }: RemotePolicyParts, model: RemoteModel): Promise<Datum> {
  const saved = await model.saveUnnamed(() => client.nextSamplingNumber(), "snapshot");
  const sampler = new RemoteSampler(client, requireSession(saved.sampling_session_id));
  try {
    return await sampledFrom(sampler, profile, info);
  } finally {
    if (saved.path != null) await removeCheckpoint(client.transport, saved.path);
  }
}

async function sampledFrom(sampler: RemoteSampler, profile: TinkerProfile, info: PolicyInfo): Promise<Datum> {
  const sampling = { max_tokens: COMPLETION, seed: SEED, stop: [], temperature: 1, top_p: 1, top_k: -1 };
  const lengths: number[] = [];
  for (let i = 0; i < MOST_PROMPTS; i++) {
    const random = new Random(SEED, i === 0 ? "probe" : `probe-${i}`);
    const promptTokens = Int32Array.from({ length: PROMPT }, () => random.integer(info.vocabSize));
    const { sequences } = await sampler.sample(promptTokens, { num_samples: 1, sampling_params: sampling });
    const { tokens, logprobs } = drawnTokens(sequences[0]!);
    if (tokens.length < COMPLETION && sequences[0]!.stopReason === STOP_REASON.stop) {
      lengths.push(tokens.length);
      continue;
    }
    if (tokens.length !== COMPLETION) {
      throw otherwise(profile, `it wrote ${tokens.length} tokens where ${COMPLETION} were asked for and nothing stops`);
    }
    const [scored] = await sampler.score([{ promptTokens, completionTokens: tokens }], profile);
    requireLogprobs(profile, "its prompt_logprobs", scored!, logprobs);
    const weights = Float32Array.from({ length: COMPLETION }, (_, t) => (t === 0 ? 1 : 0));
    return { promptTokens, completionTokens: tokens, weights, samplerLogprobs: logprobs };
  }
  throw otherwise(
    profile,
    `to each of ${MOST_PROMPTS} prompts of random tokens it wrote fewer than the ${COMPLETION} tokens that were asked for, and ` +
      `stopped (after ${lengths.join(", ")})`,
  );
}

/** The log-probabilities of the data's first one, and how large the gradient of −Σ weight·logπ is, in units of its own. */
async function gradientOf(
  { client, profile }: RemotePolicyParts,
  model: RemoteModel,
  data: readonly Datum[],
): Promise<{ readonly logprobs: Float32Array; readonly size: number }> {
  const rows = data.map((datum) => {
    const { length } = datum.completionTokens;
    const weights = datum.weights.subarray(0, length);
    const logprobs = datum.samplerLogprobs!.subarray(0, length);
    return plainDatum(datum, profile.linear === "cross_entropy" ? { weights } : { advantages: weights, logprobs });
  });
  const pass = { lossFn: profile.linear, config: new Map(), forwardOnly: false, data: rows };
  const [request] = await model.submitPass(pass, { data: rows.length, bytes: Number.MAX_SAFE_INTEGER });
  const { logprobs, loss } = resultOf([await client.forwardBackwardOutput(request!)], data);
  // Also where the norm is not needed: a gradient that is left behind can be another model's on some servers.
  const { gradNorm } = await model.stepResult(await model.submitStep(STILL));
  if (profile.gradientNorm === undefined) {
    if (loss === undefined) throw otherwise(profile, "it says neither loss:sum nor the norm of a gradient");
    return { logprobs: logprobs[0]!, size: loss };
  }
  if (gradNorm !== undefined && gradNorm > 0) return { logprobs: logprobs[0]!, size: gradNorm };
  throw otherwise(profile, `it does not say ${profile.gradientNorm}, the norm of a gradient`);
}

function requireLogprobs(profile: TinkerProfile, what: string, found: Float32Array, expected: Float32Array): void {
  const distance = expected.reduce((sum, logprob, t) => sum + Math.abs(logprob - found[t]!), 0) / expected.length;
  if (distance <= MOST_NATS) return;
  throw otherwise(
    profile,
    `${what} are ${distance.toFixed(2)} nats a token away from those that it computes in training, so they are not ` +
      "natural log-probabilities under the whole vocabulary at temperature 1",
  );
}

function requireReduction(profile: TinkerProfile, ratio: number): void {
  const expected = REDUCTIONS.find(({ reduction }) => reduction === profile.reduction)!;
  const isNear = (other: { readonly ratio: number }) => Math.abs(ratio / other.ratio - 1) <= MOST_SHARE;
  if (isNear(expected)) return;
  const found = REDUCTIONS.find(isNear)?.what ?? `neither sums nor means (${ratio.toFixed(3)} for two data beside one)`;
  throw otherwise(profile, `its gradients are ${found}, and this profile takes them for ${expected.what}`);
}

function otherwise({ name }: TinkerProfile, what: string): ConfigError {
  return new ConfigError(
    `engine.profile ${name}: the server behaves otherwise: ${what}. Name the profile of what it is (docs/scale-out.md).`,
  );
}
