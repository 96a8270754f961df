/** The codec against the official SDK's own messages (`test/golden/make_tinker_golden.py`), and against bytes that are none. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import {
  FORWARD_BACKWARD_OUTPUT,
  FORWARD_BACKWARD_REQUEST,
  floatRows,
  floatsIn,
  int32sIn,
  SAMPLE_RESPONSE,
  STOP_REASON,
  tensorNumbers,
} from "../../src/tinker/messages.ts";
import { WireError } from "../../src/tinker/protobuf.ts";
import { REQUESTS, type RequestName } from "../../src/tinker/requests.ts";
import { parseTinkerPath } from "../../src/tinker/tinker-path.ts";

interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly request: string;
  readonly status: number;
  readonly answer: string;
}

const golden = JSON.parse(readFileSync(new URL("../golden/tinker.json", import.meta.url), "utf8")) as {
  readonly messages: Readonly<Record<"forwardBackwardRequest" | "forwardBackwardOutput" | "sampleResponse", string>>;
  readonly exchanges: readonly Exchange[];
};

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (own: Uint8Array) => Buffer.from(own).toString("hex");

describe("messages of the official SDK", () => {
  it("a request to train is read, and written back as the same bytes", () => {
    const request = FORWARD_BACKWARD_REQUEST.decode(bytes(golden.messages.forwardBackwardRequest));
    expect(request).toMatchObject({ modelId: "session:train:0", seqId: 7, lossFn: "ppo", forwardOnly: false });
    const [{ modelInput, lossFnInputs }] = request.data as [(typeof request.data)[number]];
    expect([...int32sIn(modelInput[0]!.encodedText!.tokens)]).toEqual([3, 4, 5]);
    const numbers = (name: string) => [...tensorNumbers(lossFnInputs.get(name)!, name).values];
    expect(numbers("target_tokens")).toEqual([4, 5, 6]);
    expect(numbers("logprobs")).toEqual([-1.5, -0.25, -3]);
    expect(numbers("advantages")).toEqual([0, 1, -2]);
    expect(request.lossFnConfigV2.get("clip_high_threshold")).toEqual({ number: 1.25, text: undefined });
    expect(request.lossFnConfig.get("clip_high_threshold")).toBe(1.25);
    const sorted = request.data.map((datum) => ({ ...datum, lossFnInputs: new Map([...lossFnInputs].sort()) }));
    expect(hex(FORWARD_BACKWARD_REQUEST.encode({ ...request, data: sorted }))).toBe(
      golden.messages.forwardBackwardRequest,
    );
  });

  it("results are read, and written back as the same bytes", () => {
    const output = FORWARD_BACKWARD_OUTPUT.decode(bytes(golden.messages.forwardBackwardOutput));
    const rows = floatRows(output.lossFnOutputs[0]!.fields.get("logprobs")!, "logprobs").map((row) => [...row]);
    expect(rows).toEqual([[-1, -2, -3], [-0.5]]);
    expect(output.metrics.get("loss:sum")).toBe(2.5);
    expect(hex(FORWARD_BACKWARD_OUTPUT.encode(output))).toBe(golden.messages.forwardBackwardOutput);
    const sample = SAMPLE_RESPONSE.decode(bytes(golden.messages.sampleResponse));
    expect(sample.sequences.map(({ stopReason }) => stopReason)).toEqual([STOP_REASON.stop, STOP_REASON.length]);
    expect([...floatsIn(sample.promptLogprobs)]).toEqual([Number.NaN, -1.5]);
    expect([...tensorNumbers(sample.targetPromptLogprobs!, "sparse").values]).toEqual([0, 0, 0.5, 0.25, 0, 0]);
    expect(hex(SAMPLE_RESPONSE.encode(sample))).toBe(golden.messages.sampleResponse);
  });

  it("every body that it sent is understood", () => {
    const understood = new Set<string>();
    for (const { method, path, request } of golden.exchanges) {
      const name = path.slice("/api/v1/".length);
      if (name === "forward_backward") expect(FORWARD_BACKWARD_REQUEST.decode(bytes(request)).data).toHaveLength(1);
      else if (method === "POST" && name in REQUESTS) REQUESTS[name as RequestName].parse(JSON.parse(request));
      else continue;
      understood.add(name);
    }
    expect(understood.size).toBe(12);
  });
});

describe("bytes that are no message", () => {
  const sound = bytes(golden.messages.forwardBackwardRequest);

  it("are refused, wherever they are cut off", () => {
    let refused = 0;
    for (let end = 0; end < sound.length; end++) {
      try {
        FORWARD_BACKWARD_REQUEST.decode(sound.subarray(0, end));
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0.8 * sound.length);
  });

  it("are refused or read, never anything else, whatever they are", () => {
    const random = new Random(1, "damaged messages");
    for (let i = 0; i < 3000; i++) {
      const damaged = Uint8Array.from(sound);
      for (let flips = 1 + random.integer(4); flips > 0; flips--)
        damaged[random.integer(damaged.length)] = random.integer(256);
      for (const kind of [FORWARD_BACKWARD_REQUEST, SAMPLE_RESPONSE, FORWARD_BACKWARD_OUTPUT]) {
        try {
          kind.decode(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }
    }
  });

  it("are refused where groups nest without end", () => {
    expect(() => FORWARD_BACKWARD_REQUEST.decode(new Uint8Array(100_000).fill(0x0b))).toThrow(/group/);
  });
});

it.each(["", "tinker://", "tinker://a/weights", "tinker://a/weights/b/c", "tinker://a/other/b", "http://a/weights/b"])(
  "%j is no path of a checkpoint",
  (text) => {
    expect(() => parseTinkerPath(text)).toThrow(WireError);
  },
);
