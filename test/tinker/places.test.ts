/**
 * The client on a server with few places for models, as SkyRL has them (`places.ts`): clients that are killed there leave models,
 * gradients and files behind, and whoever comes after them trains as if they had not been there.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { ServerLost } from "../../src/engine/tinker/transport.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { PlacesServer } from "./places.ts";
import { adam, datum, quickClock } from "./random-training.ts";

const path = mkdtempSync(join(tmpdir(), "aha-tinker-places-"));
afterAll(() => rmSync(path, { recursive: true, force: true }));
const CONFIG = {
  ...{ model_type: "qwen3", vocab_size: 29, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1 },
  ...{ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, max_position_embeddings: 64 },
  ...{ tie_word_embeddings: true, eos_token_id: 1, rms_norm_eps: 1e-6, rope_theta: 10_000, hidden_act: "silu" },
};
writeFileSync(join(path, "config.json"), JSON.stringify({ architectures: ["Qwen3ForCausalLM"], ...CONFIG }));

const LOSS = { name: "cross_entropy" } as const;
const PROMPTS = [{ tokens: Int32Array.of(3), numSamples: 1, promptId: 0 }];
const SAMPLING = {
  ...{ temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 2, stopTokenIds: [], seed: 1, iteration: 0 },
};
const LORA = { rank: 2, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };

function serverOf(places: number) {
  const clock = quickClock();
  const server = new PlacesServer(places, clock);
  const spec = { url: "http://tinker.test", baseModel: "base", rank: undefined, profile: "skyrl", patienceSeconds: 60 };
  const open = () =>
    openTinkerPolicy(spec, { path, lora: LORA }, diskFolder, { wire: server.wire(), clock, environment: {} });
  return { server, clock, open };
}

it("a gradient that a client left when it was killed is nobody else's", async () => {
  const { server, clock, open } = serverOf(4);
  // Killed: it asks for nothing any more. (No test lasts for the ten seconds after which it would show a sign of life.)
  const killed = await open();
  await killed.forwardBackward([datum(1000)], LOSS);
  await clock.sleep(400_000);
  const next = await open();
  expect(server.models).toBe(1);
  const { gradNorm } = await next.step([datum(3)], LOSS, adam(1));
  // Both tokens have the weight 3.
  expect(gradNorm).toBe(6);
  expect(server.steps).toEqual([6]);
  await next.dispose();
});

it("places of clients that were killed are waited for", async () => {
  const { server, clock, open } = serverOf(4);
  for (let i = 0; i < 3; i++) await open();
  expect(server.models).toBe(3);
  const before = clock.now();
  const next = await open();
  expect(server.models).toBe(1);
  expect(clock.now() - before).toBeLessThan(420_000);
  await next.dispose();
});

it("a server that stays full says so, after the minutes in which places come free", async () => {
  const { server, clock, open } = serverOf(3);
  await open();
  await open();
  server.hearsAll = true;
  const before = clock.now();
  await expect(open()).rejects.toThrow(
    /Maximum number of LoRA adapters \(3\) reached.*no place for 420 s.*more places/,
  );
  expect(clock.now() - before).toBeGreaterThanOrEqual(420_000);
});

it("whoever ends leaves no model and no file", async () => {
  const { server, open } = serverOf(4);
  const policy = await open();
  for (let i = 1; i <= 3; i++) {
    await policy.sample(PROMPTS, SAMPLING);
    expect(server.files.size).toBe(1);
    await policy.step([datum(i)], LOSS, adam(1));
  }
  await policy.freezeReference();
  expect([server.models, server.files.size]).toEqual([2, 2]);
  await policy.dispose();
  expect(server.models).toBe(0);
  expect([...server.files]).toEqual([]);
});

it("a server that was begun anew has lost its models: the run ends there, and says how it goes on", async () => {
  const { server, open } = serverOf(4);
  const policy = await open();
  await policy.step([datum(1)], LOSS, adam(1));
  server.restart();
  const lost = await policy.step([datum(2)], LOSS, adam(1)).catch((error: unknown) => error);
  expect(lost).toBeInstanceOf(ServerLost);
  expect(String(lost)).toMatch(/model_1 not loaded.*begun anew.*--resume/);
  await expect(policy.step([datum(2)], LOSS, adam(1))).rejects.toThrow(ServerLost);
  expect(server.steps).toEqual([2]);
  await policy.dispose();
});

it("a gradient whose norm is no number is said to be none, not an answer of another form", async () => {
  const { server, open } = serverOf(4);
  const policy = await open();
  server.normless = 1;
  expect((await policy.step([datum(1)], LOSS, adam(1))).gradNorm).toBeNaN();
  await policy.dispose();
});

it("a state that cannot be loaded leaves no second reference, which would be a whole model there", async () => {
  const { server, open } = serverOf(6);
  const own = server.wire();
  let refuses = false;
  server.wire = () => async (request) => {
    const isState = request.path.endsWith("/load_weights") && /\/weights\/state/.test(`${request.body}`);
    if (!refuses || !isState) return own(request);
    return { status: 400, header: () => null, body: new TextEncoder().encode('{"detail":"It is broken."}') };
  };
  const policy = await open();
  await policy.step([datum(1)], LOSS, adam(1));
  await policy.freezeReference();
  const state = mkdtempSync(join(path, "state-"));
  await policy.saveState(state);
  const before = [server.models, [...server.files]];
  refuses = true;
  await expect(policy.loadState(state)).rejects.toThrow(/cannot be loaded.*It is broken/);
  expect([server.models, [...server.files]]).toEqual(before);
  refuses = false;
  await policy.loadState(state);
  expect(server.models).toBe(2);
  await policy.dispose();
});
