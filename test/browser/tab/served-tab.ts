/** The tab's page on a server of its own, with the headers of `npm run web` and a scripted worker. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "esbuild";
import { bundleTab } from "../../../src/inspect/page-bundle.ts";
import { contentTypeOf } from "../../../src/web/headers.ts";

const root = new URL("../../../", import.meta.url);

/** A page that is served. */
export interface ServedTab {
  /** The page with a worker that has this fault; none by default. */
  address(fault?: string): string;
  close(): void;
}

async function workerScript(fault: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL("scripted-worker.ts", import.meta.url).pathname],
    bundle: true,
    write: false,
    format: "esm",
    define: { FAULT: JSON.stringify(fault) },
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}

/** Serves `/FAULT/`: the page beside a worker with that fault. */
export async function serveTab(): Promise<ServedTab> {
  const { script, style, html } = await bundleTab(new URL("src/page/", root));
  const server: Server = createServer(async ({ url = "/" }, response) => {
    const [, fault = "", name = ""] = new URL(url, "http://localhost").pathname.split("/");
    const texts: Record<string, string> = { "": html, "page.js": script, "page.css": style, "service-worker.js": "" };
    const text = name === "worker.js" && fault !== "lost" ? await workerScript(fault) : texts[name];
    if (text === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "content-type": contentTypeOf(name || "index.html"),
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    });
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: (fault = "fine") => `http://127.0.0.1:${port}/${fault}/`,
    close: () => server.close(),
  };
}
