/**
 * A teacher behind an OpenAI-compatible endpoint. The API has one way to score given tokens: `/completions` with the
 * token ids as prompt, `echo` and `logprobs`, and nothing generated. vLLM, SGLang and `aha serve` do that; OpenAI
 * itself no longer does. So before anything is trained the endpoint is asked about a short text, and it is refused if
 * its answer shows that it cannot score.
 *
 * Log-probabilities are those of temperature 1. A request that fails for a temporary reason is repeated a few times.
 */

import type { EchoedPrompt } from "../../endpoint/completions.ts";
import type { Endpoint, Endpoints } from "../../endpoint/endpoint.ts";
import { type ConnectionConfig, endpointName } from "../../endpoint/options.ts";
import { NO_CAPABILITIES } from "../../engine/contract/capabilities.ts";
import type { ScoreDatum, Scorer } from "../../engine/contract/sampler.ts";
import { ConfigError, DataError, EndpointError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";

const PROBE_TEXT = "Two and two make four.";

/**
 * The teacher behind this endpoint, found able to score.
 *
 * @throws ConfigError where it is not there, cannot score given tokens, or reads other tokens than the student.
 */
export async function openEndpointTeacher(
  endpoint: ConnectionConfig,
  tokenizer: Tokenizer,
  endpoints: Endpoints | undefined,
): Promise<Scorer> {
  if (endpoints === undefined) {
    throw new ConfigError(
      "teacher: the stage was given nothing that reaches endpoints (supportingCompute.endpoints; NODE_REACH has it).",
    );
  }
  const { text, ids } = probeOf(tokenizer);
  const where = `teacher: ${endpoint.baseUrl}`;
  const client = endpoints.connect(endpoint);
  let probe: EchoedPrompt;
  try {
    probe = await client.echo(ids);
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    throw new ConfigError(
      `${where} cannot score given tokens: ${error.message}. A teacher needs /completions with a prompt of token ids, echo ` +
        "and logprobs, as vLLM and aha serve have it; or give teacher.path, a model on this disk.",
    );
  }
  // SentencePiece's tokens have the space that it puts before a text.
  const read = probe.texts?.join("").trimStart();
  if (read !== undefined && read !== text.trimStart()) {
    throw new ConfigError(
      `${where} has another tokenizer than the student: it reads ${JSON.stringify(text)} as ${JSON.stringify(read)}.`,
    );
  }
  return {
    info: { name: endpointName(endpoint), maxContextTokens: Number.POSITIVE_INFINITY },
    capabilities: NO_CAPABILITIES,
    score: async (data) => ({ logprobs: await Promise.all(data.map((datum) => scored(client, datum))) }),
    dispose: async () => {},
  };
}

/** What is asked about: a text, or where the vocabulary has no words for it, its first tokens. */
function probeOf(tokenizer: Tokenizer): { readonly text: string; readonly ids: ArrayLike<number> } {
  try {
    return { text: PROBE_TEXT, ids: tokenizer.encode(PROBE_TEXT) };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const ids = Array.from({ length: Math.min(8, tokenizer.vocabSize) }, (_, id) => id);
    return { text: ids.map((id) => tokenizer.decode([id], { keepSpecial: true })).join(""), ids };
  }
}

async function scored(client: Endpoint, { promptTokens, completionTokens }: ScoreDatum): Promise<Float32Array> {
  const { logprobs } = await client.echo([...promptTokens, ...completionTokens]);
  return Float32Array.from(logprobs.slice(-completionTokens.length));
}
