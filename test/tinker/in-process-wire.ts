/** A wire that ends in a server of this process, without a network: requests and answers as node:http hands them out. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { Wire, WireRequest, WireResponse } from "../../src/engine/tinker/transport.ts";
import type { TinkerRoutes } from "../../src/serve/tinker/tinker-routes.ts";

/** Every request is answered by `routes`. */
export function inProcessWire(routes: TinkerRoutes): Wire {
  return ({ method, path, headers, body }: WireRequest) =>
    new Promise<WireResponse>((resolve, reject) => {
      const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(body as Uint8Array);
      const request = Object.assign(Readable.from([bytes]), { method, url: path, headers });
      let status = 200;
      let sent: Readonly<Record<string, unknown>> = {};
      const response = {
        destroyed: false,
        headersSent: false,
        writeHead(code: number, own: Readonly<Record<string, unknown>> = {}) {
          status = code;
          sent = own;
          response.headersSent = true;
          return response;
        },
        end(data?: Uint8Array) {
          const header = (name: string) => (sent[name] === undefined ? null : String(sent[name]));
          resolve({ status, header, body: data ? new Uint8Array(data) : new Uint8Array(0) });
          return response;
        },
      };
      routes
        .answer(
          request as unknown as IncomingMessage,
          response as unknown as ServerResponse,
          path.split("?")[0]!,
          new AbortController().signal,
        )
        .catch(reject);
    });
}
