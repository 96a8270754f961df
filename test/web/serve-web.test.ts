/** The server of `npm run web`. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveWeb } from "../../release/serve-web.ts";

describe("the server of the page's files", () => {
  let root: string;
  let server: Server;
  let url: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "aha-web-"));
    await writeFile(join(root, "index.html"), "<p>page");
    await writeFile(join(root, "a.wasm"), Uint8Array.of(0, 97));
    ({ server, url } = await serveWeb(0, { folder: pathToFileURL(`${root}/`) }));
  });
  afterAll(async () => {
    server.close();
    await rm(root, { recursive: true, force: true });
  });

  it("isolates the page, lets it load its own files only, and says what each is", async () => {
    const page = await fetch(url);
    expect(await page.text()).toBe("<p>page");
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(page.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    expect(page.headers.get("content-security-policy")).toContain(
      "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'",
    );
    const wasm = await fetch(`${url}a.wasm?threads=2`, { method: "HEAD" });
    expect([wasm.headers.get("content-type"), wasm.headers.get("content-length")]).toEqual(["application/wasm", "2"]);
  });

  it("refuses what is not there, other methods, paths out of the folder, and other names of this machine", async () => {
    expect((await fetch(`${url}nothing.js`)).status).toBe(404);
    expect((await fetch(url, { method: "POST" })).status).toBe(405);
    const raw = (path: string, host: string) =>
      new Promise<number>((resolve, reject) => {
        const { port } = new URL(url);
        const asked = request({ host: "127.0.0.1", port, path, headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode!);
        });
        asked.on("error", reject).end();
      });
    const own = new URL(url).host;
    expect(await raw("/../package.json", own)).toBe(404);
    expect(await raw("/%2e%2e/package.json", own)).toBe(404);
    expect(await raw("/", "evil.example")).toBe(403);
    expect(await raw("/", own)).toBe(200);
  });
});
