/** Names, settings, sizes and waiting times: what is accepted, what it means, what is refused. */

import { homedir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { requestedWait } from "../../src/hub/failure.ts";
import { formatHubReference, parseHubReference, requireHubReference } from "../../src/hub/reference.ts";
import { isSafePath } from "../../src/hub/remote-file.ts";
import { hubReferenceOf } from "../../src/hub/resolve.ts";
import { hubSettings } from "../../src/hub/settings.ts";
import { parseSize, sizeText } from "../../src/number-text.ts";

describe("a reference", () => {
  it("is org/name with or without a revision, and is written back as it was", () => {
    for (const text of ["Qwen/Qwen2.5-0.5B", "a/b@main", "my_org/x.y@refs/pr/3", `o/n@${"0".repeat(40)}`, "_a/b_"]) {
      expect(formatHubReference(parseHubReference(text, "model")!)).toBe(text);
    }
    expect(parseHubReference("a/b@v1.0", "dataset")).toEqual({ kind: "dataset", name: "a/b", revision: "v1.0" });
  });

  it("is nothing that leads out of a folder, has other parts, or is empty", () => {
    const strange = ["", "gpt2", "/a/b", "a/b/c", "./a", "../a", "a/..", "a/b@", "a/b@../x", "a/b@x//y", "a/b@-x"];
    const characters = [
      "a b/c",
      "a/b\n",
      "a\\b/c",
      "a/b--c",
      "a/.b",
      "a/b.git",
      "-a/b",
      "a/b@x y",
      `a/${"b".repeat(97)}`,
    ];
    for (const text of [...strange, ...characters]) expect(parseHubReference(text, "model"), text).toBeUndefined();
    expect(() => requireHubReference("gpt2", "model")).toThrow(/"gpt2" does not name a model.*org\/name@revision/);
  });

  it("is not looked for where a path exists or a file is meant", () => {
    expect(hubReferenceOf("src/hub", "model")).toBeUndefined();
    expect(hubReferenceOf("data/train.jsonl", "dataset")).toBeUndefined();
    expect(hubReferenceOf("data/part.parquet", "dataset")).toBeUndefined();
    expect(hubReferenceOf("no-org/no-name", "model")?.name).toBe("no-org/no-name");
  });
});

describe("settings", () => {
  const settings = (environment: Record<string, string>) => hubSettings({ environment });

  it("have the names and the order of huggingface_hub for the cache", () => {
    const home = join(homedir(), ".cache/huggingface/hub");
    expect(settings({}).cacheDirectory).toBe(home);
    expect(settings({ XDG_CACHE_HOME: "/x" }).cacheDirectory).toBe("/x/huggingface/hub");
    expect(settings({ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }).cacheDirectory).toBe("/h/hub");
    expect(settings({ HF_HOME: "~/hf" }).cacheDirectory).toBe(join(homedir(), "hf/hub"));
    expect(settings({ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }).cacheDirectory).toBe("/old");
    expect(settings({ HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/c" }).cacheDirectory).toBe("/c");
  });

  it("take the endpoint and offline mode as they are meant", () => {
    expect(settings({}).endpoint).toBe("https://huggingface.co");
    expect(settings({ HF_ENDPOINT: "https://hub.example/base/" }).endpoint).toBe("https://hub.example/base");
    for (const bad of ["hub.example", "ftp://x", "https://user:hidden/word@x", "https://x?y"]) {
      expect(() => settings({ HF_ENDPOINT: bad }), bad).toThrow(/HF_ENDPOINT must be the address of a Hub(?!.*hidden)/);
    }
    for (const bad of ["https://user:hidden@x", "https://:hidden@x", "https://hidden@x", "ftp://user:hidden@x"]) {
      expect(() => settings({ HF_ENDPOINT: bad }), bad).toThrow(/holds a user name or password(?!.*hidden)/);
    }
    expect(["1", "true", "YES", "on"].map((text) => settings({ HF_HUB_OFFLINE: text }).offline)).not.toContain(false);
    expect(["", "0", "false", "no"].map((text) => settings({ HF_HUB_OFFLINE: text }).offline)).not.toContain(true);
  });

  it("take a token without the line break of a file, and refuse what is none without showing it", () => {
    expect(settings({ HF_TOKEN: "hf_abc\n" }).token).toBe("hf_abc");
    expect(settings({ HF_TOKEN: "" }).token).toBeUndefined();
    expect(() => settings({ HF_TOKEN: "hf_ab\ncd" })).toThrow(/^(?!.*hf_ab).*HF_TOKEN holds characters/);
  });
});

describe("sizes", () => {
  it("are written in the Hub's units and read in the usual ones", () => {
    expect([0, 999, 1000, 988_097_824, 15_231_233_024, 9e15].map(sizeText)).toEqual([
      "0 bytes",
      "999 bytes",
      "1.00 kB",
      "988 MB",
      "15.2 GB",
      "9000 TB",
    ]);
    expect(["50GB", "1.5 tb", "4GiB", "100", "2kB"].map(parseSize)).toEqual([50e9, 1.5e12, 4 * 2 ** 30, 100, 2000]);
    expect(["", "GB", "-1", "1.5.2GB", "5iB", "five"].map(parseSize)).toEqual(Array(6).fill(undefined));
  });
});

describe("waiting", () => {
  it("is as long as Retry-After, in seconds or as a date, or the Hub's RateLimit says", () => {
    const wait = (headers: Record<string, string>) => requestedWait(new Headers(headers), Date.UTC(2025, 0, 1));
    expect(wait({ "retry-after": "7" })).toBe(7000);
    expect(wait({ "retry-after": "Wed, 01 Jan 2025 00:00:30 GMT" })).toBe(30_000);
    expect(wait({ "retry-after": "Tue, 31 Dec 2024 00:00:00 GMT" })).toBe(0);
    expect(wait({ ratelimit: '"api";r=0;t=55' })).toBe(55_000);
    expect(wait({})).toBeUndefined();
    expect(wait({ "retry-after": "soon" })).toBeUndefined();
  });
});

describe("paths of a repository", () => {
  it("are safe where they stay in a folder on every system", () => {
    expect(["config.json", "data/train-00000.parquet", "..a/b..", "a b/ü.json"].every(isSafePath)).toBe(true);
    const unsafe = ["", "/etc/x", "../x", "a/../x", "a//b", "a/", "./a", "C:x", "a\\..\\b", "a\u0000b", "a\u001b[2J"];
    expect(unsafe.filter(isSafePath)).toEqual([]);
  });
});
