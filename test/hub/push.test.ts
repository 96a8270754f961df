/** Uploads to a Hub on this machine, through `aha model push`. */

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import { pushModel } from "../../src/hub/push.ts";
import { hubSettings } from "../../src/hub/settings.ts";
import { recordedConsole } from "../cli/console.ts";
import { randomModel } from "../eval/models.ts";
import { refuse } from "./hub-faults.ts";
import { sha256 } from "./hub-repository.ts";
import { HubServer } from "./hub-server.ts";

let hub: HubServer;
let root: string;
let model: string;
beforeEach(async () => {
  hub = await HubServer.start();
  root = mkdtempSync(join(tmpdir(), "aha-push-"));
  model = await randomModel("countdown-compact");
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  vi.stubEnv("HF_HUB_CACHE", join(root, "cache"));
  vi.stubEnv("HF_TOKEN", hub.token);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(root, { recursive: true, force: true });
  rmSync(model, { recursive: true, force: true });
});

async function push(...args: string[]) {
  const console = recordedConsole();
  const code = await main(["model", "push", ...args], console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

describe("aha model push", () => {
  it("makes the repository and commits the model's files, large ones by their hash, with a model card", async () => {
    const { code, stdout, stderr } = await push(model, "me/tiny");
    expect(stderr).not.toContain("aha:");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Created and pushed \d files, .*as commit [0-9a-f]{12}: http.*\/me\/tiny\n$/);
    const files = hub.filesOf("me/tiny");
    expect(Object.keys(files).sort()).toEqual([
      ".gitattributes",
      "README.md",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    for (const name of ["config.json", "tokenizer.json", "model.safetensors"]) {
      expect(files[name], name).toBe(readFileSync(join(model, name)).toString("latin1"));
    }
    expect(hub.uploads.has(sha256(readFileSync(join(model, "model.safetensors"))))).toBe(true);
    expect(files["README.md"]).toMatch(
      /^---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- aha\n/,
    );
    expect(files["README.md"]).toContain("aha chat me/tiny");
    for (const { server, authorization } of hub.requests) {
      expect(authorization).toBe(server === "hub" ? `Bearer ${hub.token}` : undefined);
    }
  });

  it("and aha model pull give back the same bytes, and a model that scores", async () => {
    await push(model, "me/tiny");
    const console = recordedConsole();
    expect(await main(["model", "pull", "me/tiny"], console)).toBe(0);
    const directory = console.stdout().trim();
    for (const name of ["config.json", "tokenizer.json", "model.safetensors"]) {
      expect(readFileSync(join(directory, name)).equals(readFileSync(join(model, name)))).toBe(true);
    }
  });

  it("again uploads nothing large, and keeps the card that is there", async () => {
    await push(model, "me/tiny");
    hub.put("me/tiny", { "README.md": "mine", "notes.txt": "kept" });
    hub.requests.length = 0;
    const { code, stdout } = await push(model, "me/tiny", "--message", "again");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Pushed /);
    expect(hub.requests.filter(({ method }) => method === "PUT")).toEqual([]);
    expect(hub.filesOf("me/tiny")["README.md"]).toBe("mine");
    expect(hub.filesOf("me/tiny")["notes.txt"]).toBe("kept");
  });

  it("to a branch makes it, and leaves main as it is", async () => {
    hub.put("me/tiny", { "notes.txt": "old" });
    expect((await push(model, "me/tiny", "--branch", "trained/v1")).code).toBe(0);
    expect(Object.keys(hub.filesOf("me/tiny", "trained/v1"))).toContain("model.safetensors");
    expect(Object.keys(hub.filesOf("me/tiny"))).toEqual(["notes.txt"]);
    expect((await push(model, "me/tiny", "--branch", "trained/v1")).code).toBe(0);
    expect((await push(model, "me/tiny@v1")).stderr).toContain("--branch v1");
  });

  it("--private makes a private repository, and refuses to add to a public one", async () => {
    expect((await push(model, "me/secret", "--private")).code).toBe(0);
    expect(hub.repositories.get("model:me/secret")!.private).toBe(true);
    hub.put("me/open", { "a.txt": "a" });
    const { code, stderr } = await push(model, "me/open", "--private");
    expect(code).toBe(1);
    expect(stderr).toContain("me/open exists and is public, but --private was asked for. Nothing was pushed.");
    expect(Object.keys(hub.filesOf("me/open"))).toEqual(["a.txt"]);
  });

  it("leaves out what is no file of a model, and says so", async () => {
    for (const name of [".env", "metrics.jsonl", "optimizer.safetensors", "credentials.json", "pytorch_model.bin"]) {
      writeFileSync(join(model, name), "secret");
    }
    mkdirSync(join(model, "checkpoints"));
    const { code, stdout } = await push(model, "me/tiny", "--json");
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ type: "pushed", name: "me/tiny", created: true });
    expect(result.leftOut).toEqual([
      ".env",
      "checkpoints",
      "credentials.json",
      "metrics.jsonl",
      "optimizer.safetensors",
      "pytorch_model.bin",
    ]);
    expect(Object.keys(hub.filesOf("me/tiny"))).not.toContain("credentials.json");
  });

  it("refuses a file with an access token in it", async () => {
    writeFileSync(join(model, "README.md"), `I used hf_${"a1B2".repeat(9)} for this`);
    expect((await push(model, "me/tiny")).stderr).toMatch(
      /README\.md holds what looks like an access token.*Nothing was pushed/,
    );
    writeFileSync(join(model, "README.md"), `I used ${hub.token}`);
    const { stderr } = await push(model, "me/tiny");
    expect(stderr).toContain("access token");
    expect(stderr).not.toContain(hub.token);
    expect(hub.repositories.size).toBe(0);
  });

  it("refuses what is no whole model before anything is asked of the Hub", async () => {
    const empty = join(root, "empty");
    mkdirSync(empty);
    expect((await push(empty, "me/tiny")).stderr).toContain("no config.json");
    expect((await push(join(root, "nowhere"), "me/tiny")).code).toBe(1);
    const cut = readFileSync(join(model, "model.safetensors"));
    writeFileSync(join(model, "model.safetensors"), cut.subarray(0, cut.length - 100));
    expect((await push(model, "me/tiny")).code).toBe(1);
    expect((await push(model, "tiny")).stderr).toContain("org/name");
    expect(hub.requests).toEqual([]);
  });

  it("takes an adapter as it is", async () => {
    const adapter = join(root, "adapter");
    mkdirSync(adapter);
    writeFileSync(join(adapter, "adapter_config.json"), '{"peft_type": "LORA"}');
    expect((await push(adapter, "me/lora")).stderr).toContain("no adapter_model.safetensors");
    copyFileSync(join(model, "model.safetensors"), join(adapter, "adapter_model.safetensors"));
    expect((await push(adapter, "me/lora")).code).toBe(0);
    expect(hub.filesOf("me/lora")["README.md"]).toContain("library_name: peft");
  });

  it("without a token, with a wrong one, or without permission says what to set", async () => {
    vi.stubEnv("HF_TOKEN", "");
    expect((await push(model, "me/tiny")).stderr).toContain("Set HF_TOKEN to a token that may write to me/tiny");
    vi.stubEnv("HF_TOKEN", "hf_wrongwrongwrong");
    const { stderr } = await push(model, "me/tiny");
    expect(stderr).toContain("does not accept the token in HF_TOKEN");
    expect(stderr).not.toContain("hf_wrongwrongwrong");
    vi.stubEnv("HF_TOKEN", hub.token);
    hub.inject(refuse("/api/repos/create", 403));
    expect((await push(model, "other/tiny")).stderr).toMatch(/forbids it.*may write to other\/tiny/);
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    expect((await push(model, "me/tiny")).stderr).toContain("allows no upload");
  });

  it("of a cut upload or commit tries again; what fails for good commits nothing", async () => {
    const settings = hubSettings({ timing: { stallMs: 2000, backoffMs: 5, maxWaitMs: 1000 } });
    hub.inject((request, response) => {
      if (request.method !== "PUT") return false;
      response.destroy();
      return true;
    });
    hub.inject(refuse("/commit/main", 503), 2);
    await pushModel(model, "me/tiny", { settings });
    expect(Object.keys(hub.filesOf("me/tiny"))).toContain("model.safetensors");
    hub.inject(refuse("/commit/main", 500), 100);
    const before = hub.repositories.get("model:me/tiny")!.refs.get("main");
    await expect(pushModel(model, "me/tiny", { settings })).rejects.toThrow("HTTP 500");
    expect(hub.repositories.get("model:me/tiny")!.refs.get("main")).toBe(before);
  });

  it("tells how far it is", async () => {
    const seen: string[] = [];
    const settings = hubSettings();
    const size = readFileSync(join(model, "model.safetensors")).length;
    let most = 0;
    await pushModel(model, "me/tiny", {
      settings,
      onProgress: ({ phase, bytesDone }) => {
        if (seen.at(-1) !== phase) seen.push(phase);
        if (phase === "uploading") most = Math.max(most, bytesDone);
      },
    });
    expect(seen).toEqual(["hashing", "uploading", "committing"]);
    expect(most).toBeGreaterThanOrEqual(size);
  });
});
