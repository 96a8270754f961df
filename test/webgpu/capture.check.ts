/** An experiment: decoding by replays of a captured graph, a session for each binding. */
import { expect, it } from "vitest";
import type { Device, Session } from "../../src/compute/device.ts";
import { WEBGPU } from "../../src/compute/gpu/webgpu.ts";
import { NativeNames } from "../../src/compute/ort/ort-api.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { folderStore } from "../../src/engine/local/folder-store.ts";
import { limitsFrom } from "../../src/engine/local/limits.ts";
import { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import { ModelWeights } from "../../src/engine/local/weights.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import { MODELS } from "../engine/models.ts";
import { gpu } from "./device.ts";

let captures = false;
Object.assign(WEBGPU, {
  append: ({ api }: Parameters<typeof WEBGPU.append>[0], options: bigint) => {
    const entries = { enableInt64: "1", ...(captures && { enableGraphCapture: "1" }) };
    const [keys, values] = [new NativeNames(Object.keys(entries)), new NativeNames(Object.values(entries))];
    api.call(
      "SessionOptionsAppendExecutionProvider",
      options,
      "WebGPU",
      keys.pointers,
      values.pointers,
      keys.strings.length,
    );
  },
});

let replays = 0;
const capturing = new Proxy(gpu as Device, {
  get: (device, name) => {
    if (name === "load") {
      return async (lowered: Parameters<Device["load"]>[0]): Promise<Session> => {
        if (!lowered.operations.has("GroupQueryAttention")) return gpu.load(lowered);
        return {
          bind: (inputs, outputs) => {
            let own: Promise<() => Promise<void>> | undefined;
            let runs = 0;
            return async () => {
              own ??= (async () => {
                captures = true;
                try {
                  return (await gpu.load(lowered)).bind(inputs, outputs);
                } finally {
                  captures = false;
                }
              })();
              if (runs++ > 0) replays++;
              await (await own)();
            };
          },
          dispose: () => {},
        };
      };
    }
    const value = Reflect.get(device, name, device) as unknown;
    return typeof value === "function" ? value.bind(device) : value;
  },
});

it("decodes the same tokens by replays", async () => {
  const config = MODELS["tied, query and key norms"];
  const sample = async (device: Device) => {
    const values = initializeParameters(config, { seed: 0, init: { scheme: "scaled", embeddingStd: 0.25, gain: 1 } });
    const model = await ModelWeights.from(
      device,
      config,
      {},
      {
        float32: ({ name }, target) => target.set(values.get(name)!),
        half: () => {},
        nf4: () => {},
      },
    );
    const local = { config, form: {}, weights: { model }, base: "", store: folderStore(diskFolder), dropoutSeed: 0 };
    const engine = await LocalPolicy.open(device, local, limitsFrom({ maxSlots: 2 }));
    const prompts = [{ tokens: Int32Array.of(3, 4, 5), numSamples: 2, promptId: 0 }];
    const sampling = {
      temperature: 1,
      topP: 1,
      topK: 0,
      stopTokenIds: [],
      seed: 1,
      iteration: 0,
      maxCompletionTokens: 10,
    };
    const samples = await engine.sample(prompts, sampling);
    return samples.map(({ tokens, logprobs }) => ({ tokens: [...tokens], logprobs: [...logprobs] }));
  };
  const plain = await sample(gpu);
  console.log("plain", JSON.stringify(plain));
  const captured = await sample(capturing);
  console.log("captured", JSON.stringify(captured), "replays", replays);
  expect(captured).toEqual(plain);
});
