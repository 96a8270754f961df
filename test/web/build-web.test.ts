/** The build of R1 in a tab. */

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import { buildWeb } from "../../release/build-web.ts";
import { rawTexts } from "../../src/inspect/raw-texts.ts";
import type { ListedFiles } from "../../src/web/fetched-file.ts";
import { WEB_HEADERS } from "../../src/web/headers.ts";

describe("the files of the page", () => {
  let made: Awaited<ReturnType<typeof buildWeb>>;
  const text = (name: string) => new TextDecoder().decode(made.files.get(name));
  beforeAll(async () => {
    made = await buildWeb();
  }, 60_000);

  it("are all that the page names, and less than 20 MB at first, compressed", () => {
    expect([...made.files.keys()].sort()).toEqual([
      ...["cold-start.safetensors", "files.json", "index.html", "licenses.txt"],
      ...["ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"],
      ...["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"],
      ...["page.css", "page.js", "service-worker.js", "worker.js"],
    ]);
    expect(made.firstBytes).toBeLessThan(20_000_000);
    expect(made.firstBytes).toBeGreaterThan(gzipSync(made.files.get("ort-wasm-simd-threaded.wasm")!).length);
    const listed = JSON.parse(text("files.json")) as ListedFiles;
    for (const { path, bytes, sha256 } of Object.values(listed)) {
      expect(made.files.get(path)!.length).toBe(bytes);
      expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    for (const name of ["onnxruntime-web", "fflate", "zod", "yaml"]) expect(text("licenses.txt")).toContain(name);
  });

  it("have no module of Node in them, nothing inline, and no address of elsewhere that is loaded", () => {
    for (const name of ["page.js", "worker.js", "service-worker.js"]) {
      expect(text(name), name).not.toMatch(/(?:from|import|require)\s*\(?\s*["']node:/);
    }
    const html = text("index.html");
    expect(html).not.toMatch(/<script>|<style|\son\w+=|https?:\/\//);
    // The page's own policy is the one that the server and the service worker send.
    const [, policy] = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/.exec(html)!;
    expect(WEB_HEADERS["content-security-policy"]).toBe(`${policy}; frame-ancestors 'none'`);
  });

  it("are of one version, which the service worker keeps: every file of the first visit is among its own", () => {
    const worker = text("service-worker.js");
    for (const name of ["index.html", "page.js", "page.css", "worker.js", "cold-start.safetensors", "files.json"]) {
      expect(worker).toContain(name);
    }
    expect(worker).toMatch(/[0-9a-f]{16}/);
    expect(worker).not.toContain("jspi");
  });
});

describe("a bundle that pulls a module of Node", () => {
  it("fails, by the name of the module", async () => {
    const src = new URL("../../src/", import.meta.url);
    const pulling = build({
      stdin: {
        contents: 'export * from "./web/browser/worker.ts"; export * from "./disk-folder.ts";',
        resolveDir: fileURLToPath(src),
        loader: "ts",
      },
      ...{
        bundle: true,
        write: false,
        platform: "browser",
        format: "esm",
        logLevel: "silent",
        plugins: [rawTexts(src)],
      },
    });
    await expect(pulling).rejects.toThrow(/node:fs\/promises/);
  });
});
