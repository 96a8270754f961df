/** The probe of a server against its profile: one that behaves otherwise is refused by name, and no weight has moved by then. */

import { describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { fetchWire, type Wire, type WireResponse } from "../../src/engine/tinker/transport.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import {
  bytesOf,
  FORWARD_BACKWARD_OUTPUT,
  floatRows,
  floatsIn,
  int32sIn,
  SAMPLE_RESPONSE,
  STOP_REASON,
  type WireForwardBackwardOutput,
  type WireSampleResponse,
} from "../../src/tinker/messages.ts";
import { asSkyrlFsdp } from "./as-skyrl-fsdp.ts";
import { startTinker } from "./tinker-server.ts";

const server = await startTinker({ limits: { mostModels: 64 } });

const open = (profile: string, wire: Wire) =>
  openTinkerPolicy(
    { url: server.url, baseModel: "tiny", profile, rank: undefined, patienceSeconds: 20 },
    { path: server.model, lora: { rank: 2, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS } },
    diskFolder,
    { wire, environment: {}, probes: true },
  );

/** The server, with other results of one kind of request. */
function behaving({
  sample,
  pass,
  step,
}: {
  readonly sample?: (response: WireSampleResponse) => WireSampleResponse;
  readonly pass?: (output: WireForwardBackwardOutput) => WireForwardBackwardOutput;
  readonly step?: (metrics: Record<string, number>) => Record<string, number>;
}): Wire {
  const real = fetchWire(server.url);
  return async (request): Promise<WireResponse> => {
    const response = await real(request);
    const kind = request.headers["X-Tinker-Request-Type"];
    const isBinary = response.header("content-type")?.startsWith("application/x-protobuf") === true;
    const withBody = (body: Uint8Array) => ({ ...response, body });
    if (kind === "Sample" && isBinary && sample) {
      return withBody(SAMPLE_RESPONSE.encode(sample(SAMPLE_RESPONSE.decode(response.body))));
    }
    if (kind === "ForwardBackward" && isBinary && pass) {
      return withBody(FORWARD_BACKWARD_OUTPUT.encode(pass(FORWARD_BACKWARD_OUTPUT.decode(response.body))));
    }
    if (kind === "OptimStep" && step && request.path.endsWith("retrieve_future")) {
      const answer = JSON.parse(new TextDecoder().decode(response.body)) as { metrics?: Record<string, number> };
      if (!answer.metrics) return response;
      return withBody(new TextEncoder().encode(JSON.stringify({ ...answer, metrics: step(answer.metrics) })));
    }
    return response;
  };
}

const scaled = (bytes: Uint8Array | undefined, factor: number) =>
  bytes && bytesOf(floatsIn(bytes).map((value) => factor * value));

/** What a sampler says in other units. */
const inUnits =
  (factor: number) =>
  (response: WireSampleResponse): WireSampleResponse => ({
    ...response,
    promptLogprobs: scaled(response.promptLogprobs, factor),
    sequences: response.sequences.map((sequence) => ({ ...sequence, logprobs: scaled(sequence.logprobs, factor) })),
  });

const shortened = (response: WireSampleResponse): WireSampleResponse => ({
  ...response,
  promptLogprobs: response.promptLogprobs && bytesOf(floatsIn(response.promptLogprobs).slice(1)),
});

/** SkyRL's name for the norm, of gradients that are sums, or the mean of means of two data of 12 positions beside one of 4. */
const asSkyrl = (mean: boolean) => {
  let steps = 0;
  return (metrics: Record<string, number>) => {
    const divisor = mean ? (steps++ === 0 ? 4 : 2 * 12) : 1;
    return { "skyrl.ai/grad_norm": metrics.grad_norm! / divisor };
  };
};

const meanOfData = (output: WireForwardBackwardOutput): WireForwardBackwardOutput => {
  const rows = output.lossFnOutputs.flatMap(({ fields }) => floatRows(fields.get("logprobs")!, "logprobs"));
  return { ...output, metrics: new Map([...output.metrics].map(([name, value]) => [name, value / rows.length])) };
};

/** Ends the first `count` completions after two tokens, for this reason. */
const early = (count: number, stopReason: number) => {
  let completions = 0;
  return (response: WireSampleResponse): WireSampleResponse => {
    if (response.promptLogprobs !== undefined || completions++ >= count) return response;
    const sequences = response.sequences.map((sequence) => ({
      ...sequence,
      stopReason,
      tokens: bytesOf(int32sIn(sequence.tokens, "tokens").slice(0, 2)),
      logprobs: bytesOf(floatsIn(sequence.logprobs, "logprobs").slice(0, 2)),
    }));
    return { ...response, sequences };
  };
};

const silent = (output: WireForwardBackwardOutput): WireForwardBackwardOutput => ({ ...output, metrics: new Map() });

describe("a server that behaves as its profile says", () => {
  it.each<[string, Wire]>([
    ["hosted", behaving({})],
    ["aha", behaving({})],
    ["skyrl", behaving({ sample: shortened, step: asSkyrl(true) })],
    ["skyrl-fsdp", asSkyrlFsdp(fetchWire(server.url))],
    ["tuft", behaving({})],
    // The model ended what it wrote to the first three prompts.
    ["hosted", behaving({ sample: early(3, STOP_REASON.stop) })],
  ])("%s: is trained on, in a model that nothing was done with", async (profile, wire) => {
    const policy = await open(profile, wire);
    const prompts = [{ tokens: Int32Array.of(3, 4), numSamples: 1, promptId: 0 }];
    const sampling = {
      temperature: 1,
      topP: 1,
      topK: 0,
      maxCompletionTokens: 3,
      stopTokenIds: [],
      seed: 1,
      iteration: 0,
    };
    expect((await policy.sample(prompts, sampling))[0]!.tokens).toHaveLength(3);
    await policy.dispose();
    expect(server.defects).toEqual([]);
  });
});

describe("a server that behaves otherwise is refused by name", () => {
  it.each<[string, string, Wire, RegExp]>([
    ["binary logarithms", "hosted", behaving({ sample: inUnits(Math.LOG2E) }), /hosted.*nats a token away/],
    [
      "no completion of the length",
      "hosted",
      behaving({ sample: early(100, STOP_REASON.stop) }),
      /each of 8 prompts.*fewer than the 9 tokens.*after 2, 2/,
    ],
    [
      "a shorter length than was asked for",
      "hosted",
      behaving({ sample: early(1, STOP_REASON.length) }),
      /it wrote 2 tokens where 9 were asked for/,
    ],
    ["prompt_logprobs of another length", "hosted", behaving({ sample: shortened }), /prompt_logprobs.*hosted expects/],
    ["means over data", "hosted", behaving({ pass: meanOfData }), /hosted.*are means over data.*sums over tokens/],
    ["no loss and no norm", "tuft", behaving({ pass: silent }), /tuft.*neither loss:sum nor the norm/],
    [
      "sums where means are expected",
      "skyrl",
      behaving({ sample: shortened, step: asSkyrl(false) }),
      /profile skyrl:.*are sums.*means over data of means/,
    ],
    [
      "means where sums are expected",
      "skyrl-fsdp",
      behaving({ sample: shortened, step: asSkyrl(true) }),
      /profile skyrl-fsdp:.*are means over data of means/,
    ],
    ["no norm under the name", "skyrl", behaving({ sample: shortened }), /does not say skyrl\.ai\/grad_norm/],
  ])("%s (%s)", async (_, profile, wire, message) => {
    await expect(open(profile, wire)).rejects.toThrow(message);
  });
});
