/** What Aha's client refuses, says and keeps to itself. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { engineSchema } from "../../src/engine/open.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { PROFILE_NAMES } from "../../src/engine/tinker/profile.ts";
import { fetchWire, type Wire } from "../../src/engine/tinker/transport.ts";
import { ConfigError, EngineError } from "../../src/errors.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { checkGrpo } from "../../src/train/grpo/check.ts";
import type { GrpoConfig } from "../../src/train/grpo/config.ts";
import { requireOptimizer } from "../../src/train/optimizer-config.ts";
import { adam, datum } from "./random-training.ts";
import { startTinker } from "./tinker-server.ts";

const server = await startTinker({ apiKey: "tml-secret" });
const LORA = { rank: 2, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };

const open = (
  change: Partial<{ url: string; baseModel: string; profile: string; rank: number }> = {},
  lora: object | null = LORA,
  wire: Wire | undefined = undefined,
  key = "tml-secret",
) =>
  openTinkerPolicy(
    { url: server.url, baseModel: "tiny", profile: undefined, rank: undefined, patienceSeconds: 2, ...change },
    { path: server.model, ...(lora && { lora: lora as typeof LORA }) },
    diskFolder,
    { environment: { TINKER_API_KEY: key }, ...(wire && { wire }) },
  );

describe("opening a policy", () => {
  it("finds out which server it is, and says what it trains", async () => {
    const policy = await open();
    expect(policy.info.name).toMatch(/^tinker \(aha at 127\.0\.0\.1:\d+, tiny, LoRA of rank 2\)$/);
    expect(policy.capabilities).toMatchObject({ sessions: true, seededDraws: true, training: "adapter" });
    await policy.dispose();
    const plain = await open({ rank: 4 }, null);
    expect(plain.info.name).toContain("rank 4");
    await plain.dispose();
  });

  it.each<[string, Parameters<typeof open>, RegExp]>([
    [
      "a base that the server does not have",
      [{ baseModel: "huge" }],
      /engine\.baseModel: the server at .* has tiny, not "huge"/,
    ],
    ["two ranks", [{ rank: 4 }], /engine\.rank is 4 and model\.lora\.rank 2/],
    ["dropout where the protocol has none", [{ profile: "hosted" }, { ...LORA, dropout: 0.1 }], /no dropout/],
    ["an alpha where the protocol has none", [{ profile: "hosted" }, { ...LORA, alpha: 8 }], /an alpha other than 32/],
    ["a wrong key", [{}, LORA, undefined, "tml-wrong"], /refused .*\(401\).*TINKER_API_KEY/],
    ["a server that is not there", [{ url: "http://127.0.0.1:9" }], /127\.0\.0\.1:9 could not be asked/],
  ])("%s: said by name, before anything is trained", async (_, parameters, message) => {
    const error = await open(...parameters).catch((reason: unknown) => reason as Error);
    expect(error).toBeInstanceOf(Error);
    expect(error instanceof ConfigError || error instanceof EngineError).toBe(true);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toMatch(/tml-/);
  });

  it("a server that cannot do what a recipe asks for: the recipe's key is named", async () => {
    const policy = await open({ profile: "hosted" });
    const config = { temperature: 0.7, neftuneNoiseAlpha: 0, topP: 1, topK: 0, klCoef: 0 } as unknown as GrpoConfig;
    const parts = { engine: policy, stage: "r1-zero" } as unknown as Parameters<typeof checkGrpo>[0];
    expect(() => checkGrpo(parts, config)).toThrow(
      /Stage r1-zero: temperature needs .*\(scoringTemperature\), which the engine tinker \(hosted/,
    );
    await policy.dispose();
  });

  it("weight decay is refused where it would decay every adapter on the server", async () => {
    const policy = await open({ profile: "skyrl" });
    expect(() => requireOptimizer(policy, { maxGradNorm: 0, weightDecay: 0.01 }, "cold-start")).toThrow(
      /Stage cold-start: weightDecay needs a weight decay of the trained weights alone \(weightDecay\)/,
    );
    await expect(policy.step([datum(1)], { name: "cross_entropy" }, { ...adam(1), weightDecay: 0.01 })).rejects.toThrow(
      "does not have a weight decay of one model alone",
    );
    await policy.dispose();
  });
});

it("a model is not given up where its checkpoints would go with it", async () => {
  const real = fetchWire(server.url);
  const gone: string[] = [];
  // As TuFT: what a model has saved is not there any more when the model was unloaded.
  const wire: Wire = (request) => {
    const body = typeof request.body === "string" ? request.body : "";
    if (request.path.endsWith("/unload_model")) gone.push((JSON.parse(body) as { readonly model_id: string }).model_id);
    if (request.path.endsWith("/load_weights")) {
      const { path } = JSON.parse(body) as { readonly path: string };
      if (gone.some((id) => path.includes(id))) throw new Error(`${path} went with its model`);
    }
    return real(request);
  };
  const state = mkdtempSync(join(tmpdir(), "aha-tinker-client-"));
  const policy = await open({ profile: "tuft" }, LORA, wire);
  await policy.step([datum(1)], { name: "cross_entropy" }, adam(1e-3));
  await policy.saveState(state);
  await policy.resetOptimizer();
  await policy.loadState(state);
  await policy.dispose();
  rmSync(state, { recursive: true });
});

describe("the keys of the engine", () => {
  it("are checked like all others", () => {
    const parse = (spec: object) => engineSchema().safeParse({ kind: "tinker", ...spec });
    expect(parse({ url: "http://127.0.0.1:1", baseModel: "m" }).success).toBe(true);
    for (const [url, message] of [
      ["ftp://x", /expected an http or https address such as http:\/\/127\.0\.0\.1:8000/],
      ["127.0.0.1:8000", /expected an http or https address/],
      ["http://ann:hidden-word@127.0.0.1:8000", /holds a user name or password; put the key into an environment/],
      ["http://:hidden-word@127.0.0.1:8000", /holds a user name or password/],
      ["https://hidden-word@host", /holds a user name or password/],
      ["ftp://ann:hidden-word@host", /expected an http or https address.*ftp:\/\/…@host/],
      ["ann:hidden-word/@host", /expected an http or https address.*…@host/],
      ["http://ann:hidden/word@host", /expected an http or https address.*http:\/\/…@host/],
      ["https://host/?key=hidden-word", /holds a query/],
    ] as const) {
      const said = parse({ url, baseModel: "m" }).error?.message;
      expect(said, url).toMatch(message);
      expect(said, url).not.toMatch(/hidden/);
    }
    expect(parse({ url: "https://host/below/", baseModel: "m" }).success).toBe(true);
    expect(parse({ url: "http://x", baseModel: "m", apiKey: "tml-x" }).success).toBe(false);
    expect(parse({ url: "http://x", baseModel: "m", profile: "other" }).success).toBe(false);
    for (const profile of PROFILE_NAMES) expect(parse({ url: "http://x", baseModel: "m", profile }).success).toBe(true);
  });
});

it("the key is sent as a header and stands in no body", async () => {
  const seen: string[] = [];
  const real = fetchWire(server.url);
  const wire: Wire = (request) => {
    expect(request.headers["x-api-key"]).toBe("tml-secret");
    seen.push(`${request.path} ${typeof request.body === "string" ? request.body : ""}`);
    return real(request);
  };
  const policy = await open({}, LORA, wire);
  await policy.dispose();
  expect(seen.length).toBeGreaterThan(4);
  expect(seen.join()).not.toContain("tml-secret");
});
