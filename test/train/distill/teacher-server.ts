/** An endpoint that echoes prompts with log-probabilities, as vLLM does; or something else, for what must be refused. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface CompletionRequest {
  readonly model: string;
  readonly prompt: readonly number[];
  readonly max_tokens: number;
  readonly echo: boolean;
}

/** The log-probabilities of a prompt's tokens; null for the first. */
export const constantEcho = ({ prompt }: CompletionRequest) => ({
  choices: [{ text: "", logprobs: { token_logprobs: prompt.map((_, i) => (i === 0 ? null : -1.5)) } }],
});

/** Serves `answer` (a status and a body, or a body) until `close`; `requests` are those that came. */
export async function teacherServer(answer: (request: CompletionRequest) => object | { status: number; body: string }) {
  const requests: { body: CompletionRequest; authorization: string | undefined; url: string | undefined }[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("end", () => {
      const body = JSON.parse(text) as CompletionRequest;
      requests.push({ body, authorization: request.headers.authorization, url: request.url });
      const answered = answer(body);
      if ("status" in answered) response.writeHead(answered.status).end(answered.body);
      else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answered));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  return { url: `http://127.0.0.1:${port}/v1`, requests, close };
}
