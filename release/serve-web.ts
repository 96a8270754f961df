/**
 * `npm run web [-- --port N]`: serves dist/web/ on 127.0.0.1 with the headers that isolate the page. Only the files that were
 * there when it started are served.
 */

import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { requireOwnPage } from "../src/dashboard/access.ts";
import { HttpError } from "../src/dashboard/http-error.ts";
import { ConfigError } from "../src/errors.ts";
import { cannotListen } from "../src/listening.ts";
import { contentTypeOf, WEB_HEADERS } from "../src/web/headers.ts";

const FOLDER = new URL("../dist/web/", import.meta.url);
const HOST = "127.0.0.1";
const DEFAULT_PORT = 7862;

/** A server of the page's files; `headers` go with every answer. It listens on 127.0.0.1 alone. */
export async function serveWeb(
  port: number,
  {
    folder = FOLDER,
    headers = WEB_HEADERS,
  }: { readonly folder?: URL; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<{ readonly url: string; readonly server: Server }> {
  const names = new Set(await readdir(folder));
  const server = createServer((request, response) => {
    answer(request, response, { names, folder, headers }).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(HOST, port, error))).listen(port, HOST, resolve);
  });
  return { url: `http://${HOST}:${(server.address() as AddressInfo).port}/`, server };
}

interface Served {
  readonly names: ReadonlySet<string>;
  readonly folder: URL;
  readonly headers: Readonly<Record<string, string>>;
}

async function answer(request: IncomingMessage, response: ServerResponse, { names, folder, headers }: Served) {
  const refuse = (status: number, message: string) => response.writeHead(status, headers).end(`${message}\n`);
  try {
    requireOwnPage(request, "This server");
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return refuse(error.status, error.message);
  }
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(405, "Only GET and HEAD.");
  const path = (request.url ?? "/").split(/[?#]/, 1)[0]!;
  const name = path === "/" ? "index.html" : path.slice(1);
  if (!names.has(name)) return refuse(404, "There is no such file.");
  const bytes = await readFile(new URL(name, folder));
  const about = { "content-type": contentTypeOf(name), "content-length": bytes.length, "cache-control": "no-cache" };
  return response.writeHead(200, { ...headers, ...about }).end(request.method === "HEAD" ? undefined : bytes);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { port: { type: "string", default: String(DEFAULT_PORT) } } });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error(`--port: expected 0 to 65535, not ${values.port}`);
  const { url } = await serveWeb(port);
  console.log(`R1 in a browser tab: ${url}  (Ctrl-C ends it)`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main().catch((error: unknown) => {
    const { message } = error as Error;
    const how = error instanceof ConfigError ? " With npm that is npm run web -- --port 0." : "";
    console.error(`${message}${how}`);
    process.exitCode = 1;
  });
}
