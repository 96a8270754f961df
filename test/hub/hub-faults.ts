/** What can go wrong between a client and the Hub on this machine: to be put in front of its routes. */

import { head, type LoggedRequest, sendContent } from "./hub-answers.ts";
import { isLarge } from "./hub-repository.ts";
import type { Fault } from "./hub-server.ts";

/** Sends `bytes` of the content with the right headers and cuts the connection: matches requests whose path ends so. */
export function cutAfter(ending: string, bytes: number): Fault {
  return (request, response, content) => {
    if (!request.url.endsWith(ending) || content === undefined || request.method !== "GET") return false;
    if (isRedirected(request, ending, content)) return false;
    const from = Number(/bytes=(\d+)-/.exec(request.range ?? "")?.[1] ?? 0);
    head(response, request, content);
    response.write(content.subarray(from, from + bytes), () => response.socket?.end());
    return true;
  };
}

/** Sends the content with one byte changed. */
export function wrongContent(ending: string): Fault {
  return (request, response, content) => {
    if (!request.url.endsWith(ending) || content === undefined) return false;
    if (isRedirected(request, ending, content)) return false;
    const wrong = Buffer.from(content);
    wrong[0] = wrong[0]! ^ 1;
    sendContent(response, request, wrong);
    return true;
  };
}

/** Answers with an error status. */
export function refuse(ending: string, status: number, headers: Readonly<Record<string, string>> = {}): Fault {
  return (request, response) => {
    if (!request.url.split("?")[0]!.endsWith(ending)) return false;
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ error: `status ${status} for a test` }));
    return true;
  };
}

/** Large files are served by the other origin: a fault about content belongs there. */
function isRedirected(request: LoggedRequest, ending: string, content: Buffer): boolean {
  return request.server === "hub" && isLarge(ending, content.length);
}
