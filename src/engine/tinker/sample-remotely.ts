/** `sample` over a wire: a request for each prompt, all of them under way at the same time. */

import { EngineError } from "../../errors.ts";
import { STOP_REASON, type WireSampleResponse } from "../../tinker/messages.ts";
import type { SampledSequence, SampleProgress } from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";
import type { TinkerProfile } from "./profile.ts";
import {
  drawnTokens,
  keptOf,
  nextCall,
  promptSeed,
  type RemoteSampler,
  type SampleAsk,
  samplingParamsOf,
} from "./remote-sampler.ts";

/** Completes every prompt; results in the contract's order. Throws EngineError for parameters that the server lacks. */
export async function sampleRemotely(
  sampler: RemoteSampler,
  profile: TinkerProfile,
  prompts: readonly SamplePrompt[],
  params: SamplingParams,
  onProgress?: SampleProgress,
): Promise<SampledSequence[]> {
  if (!profile.extension) requirePlain(profile, params);
  const wanted = prompts.flatMap((prompt, promptIndex) => (prompt.numSamples > 0 ? [{ ...prompt, promptIndex }] : []));
  const total = wanted.reduce((sum, { numSamples }) => sum + numSamples, 0);
  // Prompts of one call are computed together there, as they are in one process.
  const call = nextCall();
  const asks = wanted.map(({ numSamples, promptId }, index): SampleAsk => {
    if (!profile.extension) {
      return { num_samples: numSamples, sampling_params: samplingParamsOf(params, promptSeed(params, promptId)) };
    }
    return {
      num_samples: numSamples,
      sampling_params: samplingParamsOf(params, params.seed),
      aha: {
        iteration: params.iteration,
        prompt_id: promptId,
        ...(params.minP && { min_p: params.minP }),
        ...(params.minCompletionTokens && { min_tokens: params.minCompletionTokens }),
        ...(params.returnKeptTokens && { kept_tokens: true }),
        call: { id: call, index, size: wanted.length },
      },
    };
  });
  const progress = { finished: 0, total, tokens: 0 };
  const mostTokensOf = ({ numSamples }: SamplePrompt) => numSamples * params.maxCompletionTokens;
  let mostTokens = wanted.reduce((sum, prompt) => sum + mostTokensOf(prompt), 0);
  const submitted = await Promise.all(wanted.map(({ tokens }, i) => sampler.submit(tokens, asks[i]!)));
  const unanswered = new Set(submitted);
  const results = await Promise.all(
    wanted.map(async (prompt, i) => {
      const response = await sampler.sample(prompt.tokens, asks[i]!, submitted[i]);
      unanswered.delete(submitted[i]!);
      const sequences = sequencesOf(response, prompt);
      const tokens = sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0);
      progress.finished += sequences.length;
      progress.tokens += tokens;
      mostTokens += tokens - mostTokensOf(prompt);
      try {
        onProgress?.({ ...progress, mostTokens });
      } catch (error) {
        // Whoever asked does not want the rest any more.
        await Promise.all([...unanswered].map((request) => sampler.cancel(request)));
        throw error;
      }
      return sequences;
    }),
  );
  return results.flat();
}

function sequencesOf(
  { sequences }: WireSampleResponse,
  { promptIndex, numSamples }: SamplePrompt & { readonly promptIndex: number },
): SampledSequence[] {
  if (sequences.length !== numSamples) {
    throw new EngineError(`The Tinker server gave ${sequences.length} samples of a prompt in place of ${numSamples}.`);
  }
  return sequences.map((sequence, sampleIndex) => {
    const keptTokens = keptOf(sequence);
    return {
      promptIndex,
      sampleIndex,
      ...drawnTokens(sequence),
      ...(keptTokens && { keptTokens }),
      finishReason: sequence.stopReason === STOP_REASON.stop ? "stop" : "length",
    };
  });
}

function requirePlain({ name }: TinkerProfile, params: SamplingParams): void {
  const { minP = 0, minCompletionTokens = 0, returnKeptTokens, topP, topK } = params;
  // Of a draw that leaves nothing out there are no kept tokens to return.
  const wantsKept = returnKeptTokens && (topP < 1 || topK > 0);
  const lacking =
    minP > 0 ? "minP" : minCompletionTokens > 0 ? "minCompletionTokens" : wantsKept ? "keptTokens" : undefined;
  if (lacking === undefined) return;
  throw new EngineError(`The Tinker protocol has no ${lacking}, and the profile ${name} nothing beyond it.`);
}
