/** A model behind an endpoint, as tests want it to behave. */

import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

/** What was asked. */
export interface Asked {
  readonly headers: IncomingHttpHeaders;
  readonly body: { readonly model: string; readonly messages: readonly { role: string; content: string }[] };
}

/** What it answers: a status with a body, or nothing at all. */
export type Reply =
  | { readonly status: number; readonly body: string; readonly headers?: Record<string, string> }
  | "hang"
  | "close";

export interface FakeEndpoint {
  readonly baseUrl: string;
  readonly asked: Asked[];
  /** Most requests that were under way at once. */
  readonly mostAtOnce: () => number;
  readonly close: () => Promise<void>;
}

/** A whole answer with 10 + 5 tokens. */
export function chatReply(content: string): Reply {
  const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }];
  return { status: 200, body: JSON.stringify({ choices, usage: { prompt_tokens: 10, completion_tokens: 5 } }) };
}

export async function fakeEndpoint(
  reply: (asked: Asked, index: number) => Reply | Promise<Reply>,
): Promise<FakeEndpoint> {
  const asked: Asked[] = [];
  let [now, most] = [0, 0];
  const server = createServer(async (request, response) => {
    most = Math.max(most, ++now);
    response.on("close", () => now--);
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const one: Asked = { headers: request.headers, body: JSON.parse(text) };
    asked.push(one);
    const given = await reply(one, asked.length - 1);
    if (given === "hang") return;
    if (given === "close") {
      request.socket.destroy();
      return;
    }
    response.writeHead(given.status, given.headers).end(given.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    asked,
    mostAtOnce: () => most,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
