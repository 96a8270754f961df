/** Downloads from a Hub on this machine: what arrives, what is asked for, and what happens when things go wrong. */

import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HubError, RunInterrupted } from "../../src/errors.ts";
import { type PullOptions, type PullProgress, pull } from "../../src/hub/pull.ts";
import { parseHubReference } from "../../src/hub/reference.ts";
import { type HubSettings, hubSettings } from "../../src/hub/settings.ts";
import { cutAfter, gitHash, HubServer, refuse, sha256, wrongContent } from "./hub-server.ts";

/** Where the requests for large files began; what was on its way when a connection was cut may be lost. */
const starts = () =>
  hub.requests
    .filter(({ server }) => server === "files")
    .map(({ range }) => (range === undefined ? 0 : Number(/^bytes=(\d+)-$/.exec(range)![1])));

/** Numbers that do not repeat, so that a part in the wrong place is seen. */
const bytes = (size: number, seed = 1) => {
  const content = Buffer.alloc(size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    content[i] = state >>> 16;
  }
  return content;
};

const WEIGHTS = bytes(300_000);
const MODEL = {
  "config.json": '{"model_type": "qwen2"}',
  "generation_config.json": "{}",
  "tokenizer.json": JSON.stringify({ tokens: Array.from({ length: 500 }, (_, i) => i) }),
  "tokenizer_config.json": "{}",
  "chat_template.jinja": "{{ messages }}",
  "model.safetensors": WEIGHTS,
  "README.md": "# A model",
  ".gitattributes": "*.safetensors filter=lfs",
  "pytorch_model.bin": bytes(5000),
  "training_args.bin": bytes(10),
  "onnx/model.onnx": bytes(10),
  "original/consolidated.safetensors": bytes(10),
  "trainer_state.json": "{}",
};

let hub: HubServer;
let cache: string;
let settings: HubSettings;
beforeEach(async () => {
  hub = await HubServer.start();
  cache = mkdtempSync(join(tmpdir(), "aha-hub-"));
  settings = settingsWith({});
});
afterEach(async () => {
  await hub.close();
  rmSync(cache, { recursive: true, force: true });
});

function settingsWith(environment: Record<string, string>, offline = false): HubSettings {
  return hubSettings({
    offline,
    timing: { stallMs: 400, backoffMs: 5, maxWaitMs: 2000 },
    environment: { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: cache, ...environment },
  });
}

const pullModel = (text: string, options: Partial<PullOptions> = {}) =>
  pull(parseHubReference(text, "model")!, { settings, ...options });
const blobsOf = (name: string) => readdirSync(join(cache, name, "blobs")).sort();

async function failureOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HubError);
  return (error as Error).message;
}

describe("a model", () => {
  it("arrives with the files that it needs and no others, in huggingface_hub's layout", async () => {
    const commit = hub.put("org/tiny", MODEL);
    const snapshot = await pullModel("org/tiny");
    const folder = join(cache, "models--org--tiny");
    expect(snapshot.directory).toBe(join(folder, "snapshots", commit));
    expect(readdirSync(snapshot.directory).sort()).toEqual([
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(readFileSync(join(snapshot.directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    expect(lstatSync(join(snapshot.directory, "config.json")).isSymbolicLink()).toBe(true);
    expect(blobsOf("models--org--tiny")).toContain(sha256(WEIGHTS));
    expect(blobsOf("models--org--tiny")).toContain(gitHash(Buffer.from(MODEL["config.json"])));
    expect(readFileSync(join(folder, "refs/main"), "utf8")).toBe(commit);
    const tree = JSON.parse(readFileSync(join(folder, "trees", `${commit}.json`), "utf8"));
    expect(tree.format_version).toBe(1);
    expect(tree.files["model.safetensors"]).toMatchObject({
      size: 300_000,
      lfs_sha256: sha256(WEIGHTS),
      lfs_size: 300_000,
    });
    expect(tree.files["config.json"]).toEqual({ size: 23, blob_id: gitHash(Buffer.from(MODEL["config.json"])) });
  });

  it("that is in the cache is asked for once per revision, and not at all by its commit", async () => {
    const commit = hub.put("org/tiny", MODEL);
    const first = await pullModel("org/tiny");
    expect(first.downloadedBytes).toBeGreaterThan(WEIGHTS.length);
    hub.requests.length = 0;
    const second = await pullModel("org/tiny@main");
    expect(second.directory).toBe(first.directory);
    expect(second.downloadedBytes).toBe(0);
    expect(hub.requests.map(({ url }) => url.split("?")[0])).toEqual(["/api/models/org/tiny/revision/main"]);
    hub.requests.length = 0;
    expect((await pullModel(`org/tiny@${commit}`)).directory).toBe(first.directory);
    expect(hub.requests).toEqual([]);
  });

  it("at a new commit shares the files that did not change", async () => {
    hub.put("org/tiny", MODEL);
    await pullModel("org/tiny");
    const commit = hub.put("org/tiny", { ...MODEL, "config.json": '{"model_type": "qwen3"}' });
    hub.requests.length = 0;
    const snapshot = await pullModel("org/tiny");
    expect(snapshot.commit).toBe(commit);
    expect(hub.requests.filter(({ url }) => url.includes("/resolve/")).map(({ url }) => url.split("/").at(-1))).toEqual(
      ["config.json"],
    );
    expect(readFileSync(join(snapshot.directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
  });

  it("of a branch, and with its tree in pages, is that branch's", async () => {
    hub.put("org/tiny", MODEL);
    const shards = Object.fromEntries(
      Array.from({ length: 7 }, (_, i) => [`model-0000${i + 1}-of-00007.safetensors`, bytes(1000, i + 2)]),
    );
    const index = { weight_map: Object.fromEntries(Object.keys(shards).map((name, i) => [`t${i}`, name])) };
    hub.put(
      "org/tiny",
      { ...shards, "config.json": "{}", "model.safetensors.index.json": JSON.stringify(index), "x.safetensors": "x" },
      { branch: "sharded/v1" },
    );
    const { directory, files } = await pullModel("org/tiny@sharded/v1");
    expect(files.map(({ path }) => path).sort()).toEqual(
      ["config.json", ...Object.keys(shards), "model.safetensors.index.json"].sort(),
    );
    expect(readFileSync(join(directory, "model-00007-of-00007.safetensors")).equals(bytes(1000, 8))).toBe(true);
    expect(existsSync(join(cache, "models--org--tiny/refs/sharded/v1"))).toBe(true);
  });

  it("is told of while it comes, up to its last byte and file", async () => {
    hub.put("org/tiny", MODEL);
    const seen: PullProgress[] = [];
    await pullModel("org/tiny", { onProgress: (progress) => seen.push(progress) });
    expect(seen[0]).toMatchObject({ filesDone: 0, files: 6, bytesDone: 0 });
    expect(seen.at(-1)).toMatchObject({ filesDone: 6, files: 6, bytesDone: seen[0]!.bytes });
    expect(seen.map(({ bytesDone }) => bytesDone)).toEqual(
      seen.map(({ bytesDone }) => bytesDone).sort((a, b) => a - b),
    );
  });

  it("with weights as pickles alone, as GGUF alone, or without any is refused before anything is downloaded", async () => {
    hub.put("org/pickled", { "config.json": "{}", "pytorch_model.bin": bytes(100) });
    expect(await failureOf(pullModel("org/pickled"))).toMatch(/pickles \(pytorch_model\.bin\).*safetensors alone/);
    hub.put("org/quantised", { "q4.gguf": bytes(100) });
    expect(await failureOf(pullModel("org/quantised"))).toContain("GGUF");
    hub.put("org/empty", { "README.md": "nothing" });
    expect(await failureOf(pullModel("org/empty"))).toContain("It has: README.md");
    expect(hub.requests.some(({ url }) => url.includes("/resolve/"))).toBe(false);
  });

  it("whose list of files leads out of the cache is refused", async () => {
    hub.put("org/evil", { "../../../evil.json": "{}", "model.safetensors": "x", "config.json": "{}" });
    expect(await failureOf(pullModel("org/evil"))).toContain("could lead out of the cache");
    hub.put("org/drive", { "C:evil.json": "{}", "model.safetensors": "x", "config.json": "{}" });
    expect(await failureOf(pullModel("org/drive"))).toContain("could lead out of the cache");
  });
});

describe("a data set", () => {
  it("arrives with the files that hold rows and its card, or those that are asked for", async () => {
    hub.put(
      "org/rows",
      {
        "README.md": "---\nconfigs: []\n---",
        "data/train-00000-of-00001.parquet": bytes(9000),
        "data/test-00000-of-00001.parquet": bytes(50),
        "extra.jsonl": '{"a": 1}\n',
        "table.csv": "a\n1\n",
        "script.py": "print()",
        "image.png": bytes(5),
        ".gitattributes": "",
      },
      { kind: "dataset" },
    );
    const reference = parseHubReference("org/rows", "dataset")!;
    const all = await pull(reference, { settings });
    expect(all.directory).toContain("datasets--org--rows");
    expect(all.files.map(({ path }) => path).sort()).toEqual([
      "README.md",
      "data/test-00000-of-00001.parquet",
      "data/train-00000-of-00001.parquet",
      "extra.jsonl",
      "table.csv",
    ]);
    const some = await pull(reference, { settings, include: ["data/train-*"] });
    expect(some.files.map(({ path }) => path)).toEqual(["README.md", "data/train-00000-of-00001.parquet"]);
    expect(await failureOf(pull(reference, { settings, include: ["*.arrow"] }))).toMatch(
      /matches \*\.arrow.*It has: README/,
    );
  });
});

describe("a connection", () => {
  it("that is cut is made again, from where it ended", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject(cutAfter("/model.safetensors", 100_000), 2);
    const { directory } = await pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const [first, second, third, ...more] = starts();
    expect([first, more]).toEqual([0, []]);
    expect(second).toBeGreaterThan(0);
    expect(second).toBeLessThanOrEqual(100_000);
    expect(third).toBeGreaterThan(second!);
  });

  it("that is cut for good leaves what came, and the next call goes on from there", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject(cutAfter("/model.safetensors", 100_000), 1);
    hub.inject(cutAfter("/model.safetensors", 0), 100);
    const message = await failureOf(pullModel("org/tiny"));
    expect(message).toMatch(/Cannot reach|was cut/);
    expect(existsSync(join(cache, "models--org--tiny/refs/main"))).toBe(false);
    expect(blobsOf("models--org--tiny")).not.toContain(sha256(WEIGHTS));
    await hub.close();

    const again = await HubServer.start();
    hub = again;
    settings = settingsWith({});
    again.put("org/tiny", MODEL);
    const { directory } = await pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const [start, ...more] = starts();
    expect(start).toBeGreaterThan(0);
    expect(more).toEqual([]);
    expect(blobsOf("models--org--tiny").filter((name) => name.includes("incomplete"))).toEqual([]);
  });

  it("that goes silent in the middle of a file is given up and made again", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject((request, response, content) => {
      if (request.server !== "files" || content === undefined) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 1000));
      return true;
    });
    const { directory } = await pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
  });

  it("to a server that knows no ranges starts the file again", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject(cutAfter("/model.safetensors", 100_000));
    hub.inject((request, response, content) => {
      if (request.server !== "files" || request.range === undefined) return false;
      response.writeHead(200, { "content-length": content!.length }).end(content);
      return true;
    });
    const seen: PullProgress[] = [];
    const { directory } = await pullModel("org/tiny", { onProgress: (progress) => seen.push(progress) });
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    expect(seen.at(-1)!.bytesDone).toBe(seen.at(-1)!.bytes);
  });

  it("that cannot be made is an error that names the host and the reason, and offline mode", async () => {
    await hub.close();
    const message = await failureOf(pullModel("org/tiny"));
    expect(message).toMatch(/^Cannot reach 127\.0\.0\.1:\d+: the connection was refused\./);
    expect(message).toContain("HF_HUB_OFFLINE=1");
    hub = await HubServer.start();
  });

  it("that cannot be made is no obstacle where the cache has the branch; that is said", async () => {
    hub.put("org/tiny", MODEL);
    const first = await pullModel("org/tiny");
    await hub.close();
    const notes: string[] = [];
    const second = await pullModel("org/tiny", { onNote: (text) => notes.push(text) });
    expect(second.directory).toBe(first.directory);
    expect(notes.at(-1)).toContain(`as the cache has it (commit ${first.commit})`);
    hub = await HubServer.start();
  });
});

describe("a server", () => {
  it("that asks to wait is asked again after that time", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject(refuse("/revision/main", 429, { "retry-after": "0.2" }));
    hub.inject(refuse("/config.json", 503));
    const begin = performance.now();
    await pullModel("org/tiny");
    expect(performance.now() - begin).toBeGreaterThan(190);
    expect(hub.requestsFor("/revision/main")).toHaveLength(2);
    expect(hub.requestsFor("/config.json")).toHaveLength(2);
  });

  it("that asks for more patience than there is, or fails again and again, is an error", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject(refuse("/revision/main", 429, { "retry-after": "3600" }));
    expect(await failureOf(pullModel("org/tiny"))).toMatch(/refuses more requests.*HF_TOKEN raises the limit/);
    hub.inject(refuse("/revision/main", 500), 100);
    expect(await failureOf(pullModel("org/tiny"))).toMatch(/has a problem \(HTTP 500\).*status 500 for a test/);
    expect(hub.requestsFor("/revision/main")).toHaveLength(1 + 5);
  });

  it("that is no Hub is an error that says so", async () => {
    hub.inject((_request, response) => {
      response.writeHead(200, { "content-type": "text/html" }).end("<html>Log in</html>");
      return true;
    });
    expect(await failureOf(pullModel("org/tiny"))).toMatch(/does not answer .*HF_ENDPOINT right, and no login page/);
  });
});

describe("content", () => {
  it("that is not what the Hub lists is thrown away and nothing is in its place", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject(wrongContent("/config.json"));
    expect(await failureOf(pullModel("org/tiny"))).toMatch(/config\.json of org\/tiny.*its hash differs/);
    hub.inject(wrongContent("/model.safetensors"));
    expect(await failureOf(pullModel("org/tiny"))).toMatch(/model\.safetensors of org\/tiny.*its hash differs/);
    expect(blobsOf("models--org--tiny").filter((name) => name.startsWith(sha256(WEIGHTS)))).toEqual([]);
    await pullModel("org/tiny");
  });

  it("that is longer than listed is thrown away", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject((request, response, content) => {
      if (request.server !== "files") return false;
      response.writeHead(200).end(Buffer.concat([content!, content!]));
      return true;
    });
    expect(await failureOf(pullModel("org/tiny"))).toContain("sends more of model.safetensors than the 300000 bytes");
  });

  it("damaged by a process that was killed is downloaded again from its beginning", async () => {
    hub.put("org/tiny", MODEL);
    await pullModel("org/tiny");
    const blob = join(cache, "models--org--tiny/blobs", sha256(WEIGHTS));
    rmSync(blob);
    writeFileSync(
      `${blob}.${hostname()
        .replace(/[^A-Za-z0-9]/g, "_")
        .slice(0, 40)}-999999999-0.aha.incomplete`,
      bytes(50_000, 9),
    );
    hub.requests.length = 0;
    const { directory } = await pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    expect(hub.requests.filter(({ server }) => server === "files").map(({ range }) => range)).toEqual([
      "bytes=50000-",
      undefined,
    ]);
  });

  it("in the cache that is too short comes again; with verify also that of the right size", async () => {
    hub.put("org/tiny", MODEL);
    const { directory } = await pullModel("org/tiny");
    const blob = join(cache, "models--org--tiny/blobs", sha256(WEIGHTS));
    writeFileSync(blob, WEIGHTS.subarray(0, 10));
    await pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const damaged = Buffer.from(WEIGHTS);
    damaged[7] = damaged[7]! ^ 1;
    writeFileSync(blob, damaged);
    expect((await pullModel("org/tiny")).downloadedBytes).toBe(0);
    expect((await pullModel("org/tiny", { verify: true })).downloadedBytes).toBe(300_000);
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
  });
});

describe("access", () => {
  it("to a gated model without a token says where to accept the terms and what to set", async () => {
    hub.put("org/gated", MODEL, { gated: true });
    const message = await failureOf(pullModel("org/gated"));
    expect(message).toContain("is gated");
    expect(message).toContain(`${hub.endpoint}/org/gated`);
    expect(message).toContain("HF_TOKEN");
    settings = settingsWith({ HF_TOKEN: hub.token });
    await pullModel("org/gated");
  });

  it("with a token sends it to the Hub and never to another origin, and writes it nowhere", async () => {
    hub.put("org/private", MODEL, { private: true });
    expect(await failureOf(pullModel("org/private"))).toMatch(
      /has no model org\/private.*If it is private, set HF_TOKEN/,
    );
    hub.requests.length = 0;
    settings = settingsWith({ HF_TOKEN: ` ${hub.token}\n` });
    await pullModel("org/private");
    for (const { server, authorization } of hub.requests) {
      expect(authorization).toBe(server === "hub" ? `Bearer ${hub.token}` : undefined);
    }
    expect(hub.requests.some(({ server }) => server === "files")).toBe(true);
    for (const path of readdirSync(cache, { recursive: true }) as string[]) {
      const full = join(cache, path);
      if (statSync(full).isFile()) expect(readFileSync(full).includes(hub.token)).toBe(false);
    }
  });

  it("with a wrong token says so without showing it, although the server does", async () => {
    hub.put("org/tiny", MODEL);
    settings = settingsWith({ HF_TOKEN: "hf_wrongwrongwrong" });
    const message = await failureOf(pullModel("org/tiny"));
    expect(message).toContain("does not accept the token in HF_TOKEN");
    expect(message).not.toContain("hf_wrongwrongwrong");
    expect(message).toContain("***");
  });

  it("to a model that does not exist, or a revision, says which, and which revisions there are", async () => {
    hub.put("org/tiny", MODEL);
    hub.put("org/tiny", MODEL, { branch: "v1.0" });
    settings = settingsWith({ HF_TOKEN: hub.token });
    expect(await failureOf(pullModel("org/tinny"))).toMatch(/has no model org\/tinny\. Check the name/);
    expect(await failureOf(pullModel("org/tiny@v2"))).toMatch(
      /has no branch, tag or commit "v2"\. It has: main, v1\.0\./,
    );
    expect(await failureOf(pullModel(`org/tiny@${"a".repeat(40)}`))).toContain("no branch, tag or commit");
    hub.inject(refuse("/revision/v9", 404));
    expect(await failureOf(pullModel("org/tiny@v9"))).toContain('has no model org/tiny, or none with a revision "v9".');
  });

  it("that is forbidden says what the token has to allow", async () => {
    hub.put("org/tiny", MODEL);
    hub.inject(refuse("/revision/main", 403));
    settings = settingsWith({ HF_TOKEN: hub.token });
    expect(await failureOf(pullModel("org/tiny"))).toMatch(/forbids it.*may read org\/tiny/);
  });
});

describe("limits", () => {
  it("on size stop before anything is downloaded, and say how to raise them", async () => {
    hub.put("org/tiny", MODEL);
    const message = await failureOf(pullModel("org/tiny", { maxBytes: 100_000 }));
    expect(message).toMatch(/has 30\d kB in 6 files, more than the limit of 100 kB.*--max-size/);
    expect(hub.requests.some(({ url }) => url.includes("/resolve/"))).toBe(false);
  });

  it("of the disk stop before anything is downloaded", async () => {
    hub.put("org/huge", { "config.json": "{}", "model.safetensors": "x" });
    // A list that lies about sizes, as large as no disk here is.
    hub.inject((request, response) => {
      if (!request.url.includes("/tree/")) return false;
      response.writeHead(200, { "content-type": "application/json" });
      const lfs = { oid: "a".repeat(64), size: 9e15, pointerSize: 130 };
      response.end(
        JSON.stringify([
          { type: "file", path: "config.json", size: 2, oid: gitHash(Buffer.from("{}")) },
          { type: "file", path: "model.safetensors", size: 9e15, oid: "b".repeat(40), lfs },
        ]),
      );
      return true;
    });
    const message = await failureOf(pullModel("org/huge", { maxBytes: 1e16 }));
    expect(message).toMatch(/needs 9000 TB, and .* free.*HF_HUB_CACHE/);
    expect(hub.requests.some(({ url }) => url.includes("/resolve/"))).toBe(false);
  });
});

describe("offline", () => {
  it("uses the cache, and asks nothing of the network", async () => {
    hub.put("org/tiny", MODEL);
    const online = await pullModel("org/tiny");
    hub.requests.length = 0;
    for (const offline of [settingsWith({ HF_HUB_OFFLINE: "1" }), settingsWith({}, true)]) {
      const snapshot = await pullModel("org/tiny", { settings: offline });
      expect(snapshot.directory).toBe(online.directory);
      expect(snapshot.files.map(({ path }) => path)).toContain("model.safetensors");
    }
    expect(hub.requests).toEqual([]);
  });

  it("says that a model is not there, and how to get it", async () => {
    const message = await failureOf(pullModel("org/tiny@v1", { settings: settingsWith({}, true) }));
    expect(message).toMatch(/org\/tiny@v1 is not in the cache .*while online: aha model pull org\/tiny@v1/);
    expect(readdirSync(cache)).toEqual([]);
  });

  it("says which files are missing, with their sizes; without those that are no need it goes on", async () => {
    hub.put("org/tiny", { ...MODEL, "LICENSE.txt": "free" });
    const { directory } = await pullModel("org/tiny");
    const offline = settingsWith({}, true);
    const license = join(cache, "models--org--tiny/blobs", gitHash(Buffer.from("free")));
    rmSync(license);
    expect((await pullModel("org/tiny", { settings: offline })).directory).toBe(directory);
    rmSync(join(cache, "models--org--tiny/blobs", sha256(WEIGHTS)));
    const message = await failureOf(pullModel("org/tiny", { settings: offline }));
    expect(message).toMatch(/lacks files of org\/tiny \(commit \w{12}\): model\.safetensors \(300 kB\)\./);
  });

  it("takes a snapshot that an older huggingface_hub left without a list, and says what such a one lacks", async () => {
    hub.put("org/tiny", MODEL);
    const { directory, commit } = await pullModel("org/tiny");
    rmSync(join(cache, "models--org--tiny/trees"), { recursive: true });
    const offline = settingsWith({}, true);
    expect((await pullModel("org/tiny", { settings: offline })).directory).toBe(directory);
    expect((await pullModel(`org/tiny@${commit}`, { settings: offline })).directory).toBe(directory);
    rmSync(join(directory, "model.safetensors"));
    expect(await failureOf(pullModel("org/tiny", { settings: offline }))).toContain(": the weights.");
    writeFileSync(join(directory, "model.safetensors.index.json"), '{"weight_map": {"a": "model-1-of-2.safetensors"}}');
    expect(await failureOf(pullModel("org/tiny", { settings: offline }))).toContain(": model-1-of-2.safetensors.");
  });
});

describe("a stop by the user", () => {
  it("ends a download with what came kept, and the next one goes on", async () => {
    hub.put("org/tiny", MODEL);
    const controller = new AbortController();
    hub.inject((request, response, content) => {
      if (request.server !== "files") return false;
      response.writeHead(200, { "content-length": content!.length });
      response.write(content!.subarray(0, 65_536));
      setTimeout(() => controller.abort(), 50);
      return true;
    });
    const error = await pullModel("org/tiny", { signal: controller.signal }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RunInterrupted);
    expect((error as Error).message).toContain("the same command goes on from there");
    const { directory } = await pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const [first, second, ...more] = starts();
    expect([first, more]).toEqual([0, []]);
    expect(second).toBeGreaterThan(0);
  });
});

describe("a cache that cannot be written", () => {
  it("is used where it has everything, and named where it has not", async () => {
    hub.put("org/tiny", MODEL);
    const { directory } = await pullModel("org/tiny");
    const folder = join(cache, "models--org--tiny");
    for (const name of ["refs", "trees"]) {
      rmSync(join(folder, name), { recursive: true });
      writeFileSync(join(folder, name), "no folder");
    }
    expect((await pullModel("org/tiny")).directory).toBe(directory);
    rmSync(join(folder, "blobs"), { recursive: true });
    writeFileSync(join(folder, "blobs"), "no folder");
    expect(String(await pullModel("org/tiny").catch((error: unknown) => error))).toMatch(/Cannot write .*blobs: /);
  });
});

describe("two downloads of one model at once", () => {
  it("both end with the whole model and leave nothing unfinished", async () => {
    hub.put("org/tiny", MODEL);
    const both = await Promise.all([pullModel("org/tiny"), pullModel("org/tiny")]);
    for (const { directory } of both) {
      expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    }
    expect(blobsOf("models--org--tiny").filter((name) => name.includes("incomplete"))).toEqual([]);
  });
});
