/** Downloads from a Hub on this machine: what arrives, what is asked for, what the cache gives offline. */

import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type PullProgress, pull } from "../../src/hub/pull.ts";
import { parseHubReference } from "../../src/hub/reference.ts";
import { gitHash, sha256 } from "./hub-repository.ts";
import { bytes, failureOf, hubSession, MODEL, WEIGHTS } from "./hub-session.ts";

const session = hubSession();

describe("a model", () => {
  it("arrives with the files that it needs and no others, in huggingface_hub's layout", async () => {
    const commit = session.hub.put("org/tiny", MODEL);
    const snapshot = await session.pullModel("org/tiny");
    const folder = join(session.cache, "models--org--tiny");
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
    expect(session.blobsOf("models--org--tiny")).toContain(sha256(WEIGHTS));
    expect(session.blobsOf("models--org--tiny")).toContain(gitHash(Buffer.from(MODEL["config.json"])));
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
    const commit = session.hub.put("org/tiny", MODEL);
    const first = await session.pullModel("org/tiny");
    expect(first.downloadedBytes).toBeGreaterThan(WEIGHTS.length);
    session.hub.requests.length = 0;
    const second = await session.pullModel("org/tiny@main");
    expect(second.directory).toBe(first.directory);
    expect(second.downloadedBytes).toBe(0);
    expect(session.hub.requests.map(({ url }) => url.split("?")[0])).toEqual(["/api/models/org/tiny/revision/main"]);
    session.hub.requests.length = 0;
    expect((await session.pullModel(`org/tiny@${commit}`)).directory).toBe(first.directory);
    expect(session.hub.requests).toEqual([]);
  });

  it("at a new commit shares the files that did not change", async () => {
    session.hub.put("org/tiny", MODEL);
    await session.pullModel("org/tiny");
    const commit = session.hub.put("org/tiny", { ...MODEL, "config.json": '{"model_type": "qwen3"}' });
    session.hub.requests.length = 0;
    const snapshot = await session.pullModel("org/tiny");
    expect(snapshot.commit).toBe(commit);
    expect(
      session.hub.requests.filter(({ url }) => url.includes("/resolve/")).map(({ url }) => url.split("/").at(-1)),
    ).toEqual(["config.json"]);
    expect(readFileSync(join(snapshot.directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
  });

  it("of a branch, and with its tree in pages, is that branch's", async () => {
    session.hub.put("org/tiny", MODEL);
    const shards = Object.fromEntries(
      Array.from({ length: 7 }, (_, i) => [`model-0000${i + 1}-of-00007.safetensors`, bytes(1000, i + 2)]),
    );
    const index = { weight_map: Object.fromEntries(Object.keys(shards).map((name, i) => [`t${i}`, name])) };
    session.hub.put(
      "org/tiny",
      { ...shards, "config.json": "{}", "model.safetensors.index.json": JSON.stringify(index), "x.safetensors": "x" },
      { branch: "sharded/v1" },
    );
    const { directory, files } = await session.pullModel("org/tiny@sharded/v1");
    expect(files.map(({ path }) => path).sort()).toEqual(
      ["config.json", ...Object.keys(shards), "model.safetensors.index.json"].sort(),
    );
    expect(readFileSync(join(directory, "model-00007-of-00007.safetensors")).equals(bytes(1000, 8))).toBe(true);
    expect(existsSync(join(session.cache, "models--org--tiny/refs/sharded/v1"))).toBe(true);
  });

  it("is told of while it comes, up to its last byte and file", async () => {
    session.hub.put("org/tiny", MODEL);
    const seen: PullProgress[] = [];
    await session.pullModel("org/tiny", { onProgress: (progress) => seen.push(progress) });
    expect(seen[0]).toMatchObject({ filesDone: 0, files: 6, bytesDone: 0 });
    expect(seen.at(-1)).toMatchObject({ filesDone: 6, files: 6, bytesDone: seen[0]!.bytes });
    expect(seen.map(({ bytesDone }) => bytesDone)).toEqual(
      seen.map(({ bytesDone }) => bytesDone).sort((a, b) => a - b),
    );
  });

  it("with weights as pickles alone, as GGUF alone, or without any is refused before anything is downloaded", async () => {
    session.hub.put("org/pickled", { "config.json": "{}", "pytorch_model.bin": bytes(100) });
    expect(await failureOf(session.pullModel("org/pickled"))).toMatch(
      /pickles \(pytorch_model\.bin\).*safetensors alone/,
    );
    session.hub.put("org/quantised", { "q4.gguf": bytes(100) });
    expect(await failureOf(session.pullModel("org/quantised"))).toContain("GGUF");
    session.hub.put("org/empty", { "README.md": "nothing" });
    expect(await failureOf(session.pullModel("org/empty"))).toContain("It has: README.md");
    expect(session.hub.requests.some(({ url }) => url.includes("/resolve/"))).toBe(false);
  });

  it("whose list of files leads out of the cache is refused", async () => {
    session.hub.put("org/evil", { "../../../evil.json": "{}", "model.safetensors": "x", "config.json": "{}" });
    expect(await failureOf(session.pullModel("org/evil"))).toContain("could lead out of the cache");
    session.hub.put("org/drive", { "C:evil.json": "{}", "model.safetensors": "x", "config.json": "{}" });
    expect(await failureOf(session.pullModel("org/drive"))).toContain("could lead out of the cache");
  });
});

describe("a data set", () => {
  it("arrives with the files that hold rows and its card, or those that are asked for", async () => {
    session.hub.put(
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
    const all = await pull(reference, { settings: session.settings });
    expect(all.directory).toContain("datasets--org--rows");
    expect(all.files.map(({ path }) => path).sort()).toEqual([
      "README.md",
      "data/test-00000-of-00001.parquet",
      "data/train-00000-of-00001.parquet",
      "extra.jsonl",
      "table.csv",
    ]);
    const some = await pull(reference, { settings: session.settings, include: ["data/train-*"] });
    expect(some.files.map(({ path }) => path)).toEqual(["README.md", "data/train-00000-of-00001.parquet"]);
    expect(await failureOf(pull(reference, { settings: session.settings, include: ["*.arrow"] }))).toMatch(
      /matches \*\.arrow.*It has: README/,
    );
  });
});

describe("limits", () => {
  it("on size stop before anything is downloaded, and say how to raise them", async () => {
    session.hub.put("org/tiny", MODEL);
    const message = await failureOf(session.pullModel("org/tiny", { maxBytes: 100_000 }));
    expect(message).toMatch(/has 30\d kB in 6 files, more than the limit of 100 kB.*--max-size/);
    expect(session.hub.requests.some(({ url }) => url.includes("/resolve/"))).toBe(false);
  });

  it("of the disk stop before anything is downloaded", async () => {
    session.hub.put("org/huge", { "config.json": "{}", "model.safetensors": "x" });
    // A list that lies about sizes, as large as no disk here is.
    session.hub.inject((request, response) => {
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
    const message = await failureOf(session.pullModel("org/huge", { maxBytes: 1e16 }));
    expect(message).toMatch(/needs 9000 TB, and .* free.*HF_HUB_CACHE/);
    expect(session.hub.requests.some(({ url }) => url.includes("/resolve/"))).toBe(false);
  });
});

describe("offline", () => {
  it("uses the session.cache, and asks nothing of the network", async () => {
    session.hub.put("org/tiny", MODEL);
    const online = await session.pullModel("org/tiny");
    session.hub.requests.length = 0;
    for (const offline of [session.settingsWith({ HF_HUB_OFFLINE: "1" }), session.settingsWith({}, true)]) {
      const snapshot = await session.pullModel("org/tiny", { settings: offline });
      expect(snapshot.directory).toBe(online.directory);
      expect(snapshot.files.map(({ path }) => path)).toContain("model.safetensors");
    }
    expect(session.hub.requests).toEqual([]);
  });

  it("says that a model is not there, and how to get it", async () => {
    const message = await failureOf(session.pullModel("org/tiny@v1", { settings: session.settingsWith({}, true) }));
    expect(message).toMatch(/org\/tiny@v1 is not in the cache .*while online: aha model pull org\/tiny@v1/);
    expect(readdirSync(session.cache)).toEqual([]);
  });

  it("says which files are missing, with their sizes; without those that are no need it goes on", async () => {
    session.hub.put("org/tiny", { ...MODEL, "LICENSE.txt": "free" });
    const { directory } = await session.pullModel("org/tiny");
    const offline = session.settingsWith({}, true);
    const license = join(session.cache, "models--org--tiny/blobs", gitHash(Buffer.from("free")));
    rmSync(license);
    expect((await session.pullModel("org/tiny", { settings: offline })).directory).toBe(directory);
    rmSync(join(session.cache, "models--org--tiny/blobs", sha256(WEIGHTS)));
    const message = await failureOf(session.pullModel("org/tiny", { settings: offline }));
    expect(message).toMatch(/lacks files of org\/tiny \(commit \w{12}\): model\.safetensors \(300 kB\)\./);
  });

  it("takes a snapshot that an older huggingface_hub left without a list, and says what such a one lacks", async () => {
    session.hub.put("org/tiny", MODEL);
    const { directory, commit } = await session.pullModel("org/tiny");
    rmSync(join(session.cache, "models--org--tiny/trees"), { recursive: true });
    const offline = session.settingsWith({}, true);
    expect((await session.pullModel("org/tiny", { settings: offline })).directory).toBe(directory);
    expect((await session.pullModel(`org/tiny@${commit}`, { settings: offline })).directory).toBe(directory);
    rmSync(join(directory, "model.safetensors"));
    expect(await failureOf(session.pullModel("org/tiny", { settings: offline }))).toContain(": the weights.");
    writeFileSync(join(directory, "model.safetensors.index.json"), '{"weight_map": {"a": "model-1-of-2.safetensors"}}');
    expect(await failureOf(session.pullModel("org/tiny", { settings: offline }))).toContain(
      ": model-1-of-2.safetensors.",
    );
  });
});

describe("a cache that cannot be written", () => {
  it("is used where it has everything, and named where it has not", async () => {
    session.hub.put("org/tiny", MODEL);
    const { directory } = await session.pullModel("org/tiny");
    const folder = join(session.cache, "models--org--tiny");
    for (const name of ["refs", "trees"]) {
      rmSync(join(folder, name), { recursive: true });
      writeFileSync(join(folder, name), "no folder");
    }
    expect((await session.pullModel("org/tiny")).directory).toBe(directory);
    rmSync(join(folder, "blobs"), { recursive: true });
    writeFileSync(join(folder, "blobs"), "no folder");
    expect(String(await session.pullModel("org/tiny").catch((error: unknown) => error))).toMatch(
      /Cannot write .*blobs: /,
    );
  });
});

describe("two downloads of one model at once", () => {
  it("both end with the whole model and leave nothing unfinished", async () => {
    session.hub.put("org/tiny", MODEL);
    const both = await Promise.all([session.pullModel("org/tiny"), session.pullModel("org/tiny")]);
    for (const { directory } of both) {
      expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    }
    expect(session.blobsOf("models--org--tiny").filter((name) => name.includes("incomplete"))).toEqual([]);
  });
});
