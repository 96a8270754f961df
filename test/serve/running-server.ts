/** A server on a free port, with limits that a test can change; all of them end with the tests of the file. */

import { afterAll } from "vitest";
import type { RequestRecord } from "../../src/serve/metrics.ts";
import type { ServedModel } from "../../src/serve/served-model.ts";
import { ApiServer, type ServerOptions } from "../../src/serve/server.ts";

const opened: ApiServer[] = [];

afterAll(async () => {
  await Promise.all(opened.map((server) => server.close(0)));
});

export interface StartedServer {
  readonly server: ApiServer;
  readonly url: string;
  /** Requests that are over, and errors that were reported as defects. */
  readonly records: RequestRecord[];
  readonly defects: unknown[];
  /** Posts a JSON body; the answer's status, headers and JSON. */
  readonly post: (path: string, body: unknown, headers?: Record<string, string>) => Promise<Answer>;
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many shapes
  readonly json: any;
}

export async function startServer(model: ServedModel, options: Partial<ServerOptions> = {}): Promise<StartedServer> {
  const records: RequestRecord[] = [];
  const defects: unknown[] = [];
  const server = await ApiServer.listen(model, {
    host: "127.0.0.1",
    port: 0,
    apiKey: undefined,
    corsOrigin: undefined,
    maxBodyBytes: 2 ** 20,
    maxSequences: 64,
    requestTimeoutMs: 20_000,
    onRequest: (record) => records.push(record),
    onDefect: (error) => defects.push(error),
    ...options,
  });
  opened.push(server);
  const ask = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(server.url + path, init);
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  };
  return {
    server,
    url: server.url,
    records,
    defects,
    get: (path, headers = {}) => ask(path, { headers }),
    post: (path, body, headers = {}) =>
      ask(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
  };
}

/** Resolves as soon as the condition holds; fails after a minute of a busy machine. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 50_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never came true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
