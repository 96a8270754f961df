/** Downloads that go wrong: connections, servers, contents, permissions, and a user who stops. */

import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RunInterrupted } from "../../src/errors.ts";
import { proxyNote } from "../../src/hub/failure.ts";
import type { PullProgress } from "../../src/hub/pull.ts";
import { cutAfter, refuse, wrongContent } from "./hub-faults.ts";
import { sha256 } from "./hub-repository.ts";
import { bytes, failureOf, hubSession, MODEL, WEIGHTS } from "./hub-session.ts";

const session = hubSession();

describe("a connection", () => {
  it("that is cut is made again, from where it ended", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject(cutAfter("/model.safetensors", 100_000), 2);
    const { directory } = await session.pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const [first, second, third, ...more] = session.starts();
    expect([first, more]).toEqual([0, []]);
    expect(second).toBeGreaterThan(0);
    expect(second).toBeLessThanOrEqual(100_000);
    expect(third).toBeGreaterThan(second!);
  });

  it("that is cut for good leaves what came, and the next call goes on from there", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject(cutAfter("/model.safetensors", 100_000), 1);
    session.hub.inject(cutAfter("/model.safetensors", 0), 100);
    const message = await failureOf(session.pullModel("org/tiny"));
    expect(message).toMatch(/Cannot reach|was cut/);
    expect(existsSync(join(session.cache, "models--org--tiny/refs/main"))).toBe(false);
    expect(session.blobsOf("models--org--tiny")).not.toContain(sha256(WEIGHTS));
    await session.restart();
    session.hub.put("org/tiny", MODEL);
    const { directory } = await session.pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const [start, ...more] = session.starts();
    expect(start).toBeGreaterThan(0);
    expect(more).toEqual([]);
    expect(session.blobsOf("models--org--tiny").filter((name) => name.includes("incomplete"))).toEqual([]);
  });

  it("that goes silent in the middle of a file is given up and made again", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject((request, response, content) => {
      if (request.server !== "files" || content === undefined) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 1000));
      return true;
    });
    const { directory } = await session.pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
  });

  it("to a server that knows no ranges starts the file again", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject(cutAfter("/model.safetensors", 100_000));
    session.hub.inject((request, response, content) => {
      if (request.server !== "files" || request.range === undefined) return false;
      response.writeHead(200, { "content-length": content!.length }).end(content);
      return true;
    });
    const seen: PullProgress[] = [];
    const { directory } = await session.pullModel("org/tiny", { onProgress: (progress) => seen.push(progress) });
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    expect(seen.at(-1)!.bytesDone).toBe(seen.at(-1)!.bytes);
  });

  it("that cannot be made is an error that names the host and the reason, and offline mode", async () => {
    await session.hub.close();
    const message = await failureOf(session.pullModel("org/tiny"));
    expect(message).toMatch(/^Cannot reach 127\.0\.0\.1:\d+: the connection was refused\./);
    expect(proxyNote({})).toBe("");
    expect(proxyNote({ https_proxy: "http://proxy:3128" })).toMatch(/^ https_proxy is set, but Node\.js uses it only/);
    expect(proxyNote({ HTTPS_PROXY: "http://proxy:3128", NODE_USE_ENV_PROXY: "1" })).toBe("");
    expect(message).toContain("HF_HUB_OFFLINE=1");
    await session.restart();
  });

  it("that cannot be made is no obstacle where the cache has the branch; that is said", async () => {
    session.hub.put("org/tiny", MODEL);
    const first = await session.pullModel("org/tiny");
    await session.hub.close();
    const notes: string[] = [];
    const second = await session.pullModel("org/tiny", { onNote: (text) => notes.push(text) });
    expect(second.directory).toBe(first.directory);
    expect(notes.at(-1)).toContain(`as the cache has it (commit ${first.commit})`);
    await session.restart();
  });
});

describe("a server", () => {
  it("that asks to wait is asked again after that time", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject(refuse("/revision/main", 429, { "retry-after": "0.2" }));
    session.hub.inject(refuse("/config.json", 503));
    const begin = performance.now();
    await session.pullModel("org/tiny");
    expect(performance.now() - begin).toBeGreaterThan(190);
    expect(session.hub.requestsFor("/revision/main")).toHaveLength(2);
    expect(session.hub.requestsFor("/config.json")).toHaveLength(2);
  });

  it("that asks for more patience than there is, or fails again and again, is an error", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject(refuse("/revision/main", 429, { "retry-after": "3600" }));
    expect(await failureOf(session.pullModel("org/tiny"))).toMatch(/refuses more requests.*HF_TOKEN raises the limit/);
    session.hub.inject(refuse("/revision/main", 500), 100);
    expect(await failureOf(session.pullModel("org/tiny"))).toMatch(/has a problem \(HTTP 500\).*status 500 for a test/);
    expect(session.hub.requestsFor("/revision/main")).toHaveLength(1 + 5);
  });

  it("that is no Hub is an error that says so", async () => {
    session.hub.inject((_request, response) => {
      response.writeHead(200, { "content-type": "text/html" }).end("<html>Log in</html>");
      return true;
    });
    expect(await failureOf(session.pullModel("org/tiny"))).toMatch(
      /does not answer .*HF_ENDPOINT right, and no login page/,
    );
  });
});

describe("content", () => {
  it("that is not what the Hub lists is thrown away and nothing is in its place", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject(wrongContent("/config.json"));
    expect(await failureOf(session.pullModel("org/tiny"))).toMatch(/config\.json of org\/tiny.*its hash differs/);
    session.hub.inject(wrongContent("/model.safetensors"));
    expect(await failureOf(session.pullModel("org/tiny"))).toMatch(/model\.safetensors of org\/tiny.*its hash differs/);
    expect(session.blobsOf("models--org--tiny").filter((name) => name.startsWith(sha256(WEIGHTS)))).toEqual([]);
    await session.pullModel("org/tiny");
  });

  it("that is longer than listed is thrown away", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject((request, response, content) => {
      if (request.server !== "files") return false;
      response.writeHead(200).end(Buffer.concat([content!, content!]));
      return true;
    });
    expect(await failureOf(session.pullModel("org/tiny"))).toContain(
      "sends more of model.safetensors than the 300000 bytes",
    );
  });

  it("damaged by a process that was killed is downloaded again from its beginning", async () => {
    session.hub.put("org/tiny", MODEL);
    await session.pullModel("org/tiny");
    const blob = join(session.cache, "models--org--tiny/blobs", sha256(WEIGHTS));
    rmSync(blob);
    writeFileSync(
      `${blob}.${hostname()
        .replace(/[^A-Za-z0-9]/g, "_")
        .slice(0, 40)}-999999999-0.aha.incomplete`,
      bytes(50_000, 9),
    );
    session.hub.requests.length = 0;
    const { directory } = await session.pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    expect(session.hub.requests.filter(({ server }) => server === "files").map(({ range }) => range)).toEqual([
      "bytes=50000-",
      undefined,
    ]);
  });

  it("in the cache that is too short comes again; with verify also that of the right size", async () => {
    session.hub.put("org/tiny", MODEL);
    const { directory } = await session.pullModel("org/tiny");
    const blob = join(session.cache, "models--org--tiny/blobs", sha256(WEIGHTS));
    writeFileSync(blob, WEIGHTS.subarray(0, 10));
    await session.pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const damaged = Buffer.from(WEIGHTS);
    damaged[7] = damaged[7]! ^ 1;
    writeFileSync(blob, damaged);
    expect((await session.pullModel("org/tiny")).downloadedBytes).toBe(0);
    expect((await session.pullModel("org/tiny", { verify: true })).downloadedBytes).toBe(300_000);
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
  });
});

describe("access", () => {
  it("to a gated model without a token says where to accept the terms and what to set", async () => {
    session.hub.put("org/gated", MODEL, { gated: true });
    const message = await failureOf(session.pullModel("org/gated"));
    expect(message).toContain("is gated");
    expect(message).toContain(`${session.hub.endpoint}/org/gated`);
    expect(message).toContain("HF_TOKEN");
    session.settings = session.settingsWith({ HF_TOKEN: session.hub.token });
    await session.pullModel("org/gated");
  });

  it("with a token sends it to the Hub and never to another origin, and writes it nowhere", async () => {
    session.hub.put("org/private", MODEL, { private: true });
    expect(await failureOf(session.pullModel("org/private"))).toMatch(
      /has no model org\/private.*If it is private, set HF_TOKEN/,
    );
    session.hub.requests.length = 0;
    session.settings = session.settingsWith({ HF_TOKEN: ` ${session.hub.token}\n` });
    await session.pullModel("org/private");
    for (const { server, authorization } of session.hub.requests) {
      expect(authorization).toBe(server === "hub" ? `Bearer ${session.hub.token}` : undefined);
    }
    expect(session.hub.requests.some(({ server }) => server === "files")).toBe(true);
    for (const path of readdirSync(session.cache, { recursive: true }) as string[]) {
      const full = join(session.cache, path);
      if (statSync(full).isFile()) expect(readFileSync(full).includes(session.hub.token)).toBe(false);
    }
  });

  it("with a wrong token says so without showing it, although the server does", async () => {
    session.hub.put("org/tiny", MODEL);
    session.settings = session.settingsWith({ HF_TOKEN: "hf_wrongwrongwrong" });
    const message = await failureOf(session.pullModel("org/tiny"));
    expect(message).toContain("does not accept the token in HF_TOKEN");
    expect(message).not.toContain("hf_wrongwrongwrong");
    expect(message).toContain("***");
  });

  it("to a model that does not exist, or a revision, says which, and which revisions there are", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.put("org/tiny", MODEL, { branch: "v1.0" });
    session.settings = session.settingsWith({ HF_TOKEN: session.hub.token });
    expect(await failureOf(session.pullModel("org/tinny"))).toMatch(/has no model org\/tinny\. Check the name/);
    expect(await failureOf(session.pullModel("org/tiny@v2"))).toMatch(
      /has no branch, tag or commit "v2"\. It has: main, v1\.0\./,
    );
    expect(await failureOf(session.pullModel(`org/tiny@${"a".repeat(40)}`))).toContain("no branch, tag or commit");
    session.hub.inject(refuse("/revision/v9", 404));
    expect(await failureOf(session.pullModel("org/tiny@v9"))).toContain(
      'has no model org/tiny, or none with a revision "v9".',
    );
  });

  it("that is forbidden says what the token has to allow", async () => {
    session.hub.put("org/tiny", MODEL);
    session.hub.inject(refuse("/revision/main", 403));
    session.settings = session.settingsWith({ HF_TOKEN: session.hub.token });
    expect(await failureOf(session.pullModel("org/tiny"))).toMatch(/forbids it.*may read org\/tiny/);
  });
});

describe("a stop by the user", () => {
  it("ends a download with what came kept, and the next one goes on", async () => {
    session.hub.put("org/tiny", MODEL);
    const controller = new AbortController();
    session.hub.inject((request, response, content) => {
      if (request.server !== "files") return false;
      response.writeHead(200, { "content-length": content!.length });
      response.write(content!.subarray(0, 65_536));
      setTimeout(() => controller.abort(), 50);
      return true;
    });
    const error = await session.pullModel("org/tiny", { signal: controller.signal }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RunInterrupted);
    expect((error as Error).message).toContain("the same command goes on from there");
    const { directory } = await session.pullModel("org/tiny");
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const [first, second, ...more] = session.starts();
    expect([first, more]).toEqual([0, []]);
    expect(second).toBeGreaterThan(0);
  });
});
