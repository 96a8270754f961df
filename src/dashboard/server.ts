/**
 * The server of `aha dashboard`: the page, its data (`routes.ts`) and live events, on 127.0.0.1 alone. It reads run
 * directories; nothing that it answers changes one, but for a question that it passes on to a run: to stop.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AhaError } from "../errors.ts";
import { pageFiles } from "../inspect/page-files.ts";
import { RolloutDesk } from "../inspect/rollout-desk.ts";
import { cannotListen } from "../listening.ts";
import { requireIntent, requireOwnPage, SAFE_HEADERS } from "./access.ts";
import { HttpError } from "./http-error.ts";
import { KnownRuns } from "./known-runs.ts";
import { LiveEvents } from "./live-events.ts";
import { DASHBOARD_ROUTES } from "./routes.ts";

const HOST = "127.0.0.1";
/** Ports that are tried after the first one, where nobody asked for a certain one. */
const FURTHER_PORTS = 20;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Aha</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body><div id="page"><noscript>This page needs JavaScript. The report.html in a run's directory does not.</noscript></div></body>
</html>
`;

export interface DashboardOptions {
  /** Runs, pipelines, or folders of them. */
  readonly roots: readonly string[];
  /** Ids of runs are paths relative to this directory. */
  readonly from: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Where the port is taken, the next free one will do. */
  readonly anyPort?: boolean;
  /** Called with errors that are a defect of ours; the page only learns that there was one. */
  readonly onDefect?: (error: unknown) => void;
}

export class Dashboard {
  private readonly server: Server;
  private readonly runs: KnownRuns;
  private readonly desk = new RolloutDesk();
  private readonly events: LiveEvents;
  private readonly onDefect: (error: unknown) => void;

  private constructor({ roots, from, onDefect = () => {} }: DashboardOptions) {
    this.runs = new KnownRuns(roots, from);
    this.events = new LiveEvents(this.runs);
    this.onDefect = onDefect;
    this.server = createServer((request, response) => void this.answer(request, response));
  }

  /** Starts to listen. Throws ConfigError where the port cannot be had. */
  static async listen(options: DashboardOptions): Promise<Dashboard> {
    const dashboard = new Dashboard(options);
    const last = options.anyPort === true && options.port > 0 ? options.port + FURTHER_PORTS : options.port;
    for (let port = options.port; ; port++) {
      const failure = await dashboard.tryPort(port);
      if (failure === undefined) break;
      if (failure.code === "EADDRINUSE" && port < last) continue;
      throw cannotListen(HOST, port, failure);
    }
    dashboard.server.on("error", dashboard.onDefect);
    return dashboard;
  }

  private tryPort(port: number): Promise<NodeJS.ErrnoException | undefined> {
    return new Promise((resolve) => {
      const onError = (error: NodeJS.ErrnoException) => resolve(error);
      this.server.once("error", onError);
      this.server.listen(port, HOST, () => {
        this.server.off("error", onError);
        resolve(undefined);
      });
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Where a browser finds it. */
  get url(): string {
    return `http://${HOST}:${this.port}/`;
  }

  /** Ends it; pages that are open learn that it is gone. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.events.close();
    await this.desk.close();
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      requireOwnPage(request);
      await this.route(request, response);
    } catch (error) {
      const [status, message] = this.told(error);
      if (!response.headersSent) send(response, status, "application/json", JSON.stringify({ error: message }));
      else response.destroy();
    }
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams: parameters } = addressOf(request);
    const route = DASHBOARD_ROUTES.get(pathname);
    const method = route?.method ?? "GET";
    const isHead = request.method === "HEAD" && method === "GET";
    if (request.method !== method && !isHead) throw new HttpError(405, `${pathname} is asked with ${method}.`);
    if (route === undefined) return this.sendFile(pathname, response);
    if (method === "POST") requireIntent(request);
    request.resume();
    const { runs, desk, events } = this;
    const answer = await route.answer({ runs, desk, events, parameters, response });
    if (answer === undefined) return;
    if ("json" in answer) return send(response, 200, "application/json", JSON.stringify(answer.json));
    response.setHeader("content-disposition", `attachment; filename="${answer.fileName}"`);
    send(response, 200, "text/csv; charset=utf-8", answer.csv);
  }

  private async sendFile(path: string, response: ServerResponse): Promise<void> {
    if (path === "/") return send(response, 200, "text/html; charset=utf-8", PAGE);
    if (path === "/page.js") return send(response, 200, "text/javascript; charset=utf-8", (await pageFiles()).script);
    if (path === "/page.css") return send(response, 200, "text/css; charset=utf-8", (await pageFiles()).style);
    throw new HttpError(404, `There is nothing at ${path}.`);
  }

  /** Status and message of an error, as the page gets them. */
  private told(error: unknown): [number, string] {
    if (error instanceof HttpError) return [error.status, error.message];
    if (error instanceof AhaError) return [422, error.message];
    this.onDefect(error);
    return [500, "This is a defect of Aha, not of your input; the terminal of the dashboard has the details."];
  }
}

function addressOf({ url = "/" }: IncomingMessage): URL {
  try {
    return new URL(url, "http://dashboard");
  } catch {
    throw new HttpError(400, "The address cannot be read.");
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  const headers = { "content-type": type, "cache-control": "no-store", "content-length": Buffer.byteLength(body) };
  response.writeHead(status, { ...SAFE_HEADERS, ...headers });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
