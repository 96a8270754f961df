/**
 * Requests to an MLflow server by its REST API (mlflow.org/docs/latest/rest-api.html).
 *
 * Credentials come from the variables that MLflow's own client reads, and go nowhere but into the `Authorization` header of the
 * server that MLFLOW_TRACKING_URI names: redirects to another origin are refused, and what a server repeats of them is taken
 * out of messages.
 *
 * Why not npm's `mlflow`: it is a wrapper of one release around `fetch`, without time limits, artifacts or bounds on answers.
 */

import { quotedText } from "../../endpoint/chat.ts";
import { boundedText } from "../../endpoint/client.ts";
import { fetchFailure } from "../../endpoint/fetch-failure.ts";
import { addressFault } from "../../endpoint/options.ts";
import { EndpointError } from "../../errors.ts";

const TIMEOUT_MS = 10_000;
const MAX_REDIRECTS = 3;

/** What the server answered to a request that it refused. */
export class MlflowRefusal extends EndpointError {
  readonly status: number;
  /** MLflow's word for it, e.g. RESOURCE_DOES_NOT_EXIST. */
  readonly code: string;

  constructor(message: string, status: number, code: string) {
    super("refused", message);
    this.status = status;
    this.code = code;
  }
}

/** What is wrong with a server's address; undefined where nothing is. */
export function serverFault(uri: string): string | undefined {
  return addressFault(uri, "http://127.0.0.1:5000");
}

/** A server, and who asks. */
export class MlflowClient {
  readonly server: string;
  private readonly authorization: string | undefined;
  private readonly secrets: readonly string[];

  /** `server`: an address without a fault. */
  constructor(server: string, environment: Readonly<Record<string, string | undefined>> = process.env) {
    this.server = new URL(server).href.replace(/\/+$/, "");
    this.secrets = [];
    // A recipe may come from anybody: the server that it names does not get what is meant for the user's own.
    if (!isSameOrigin(server, environment.MLFLOW_TRACKING_URI?.trim())) return;
    const token = environment.MLFLOW_TRACKING_TOKEN?.trim();
    const { MLFLOW_TRACKING_USERNAME: user, MLFLOW_TRACKING_PASSWORD: password } = environment;
    const basic = user && password ? Buffer.from(`${user}:${password}`, "utf8").toString("base64") : undefined;
    this.authorization = basic !== undefined ? `Basic ${basic}` : token ? `Bearer ${token}` : undefined;
    this.secrets = [token, password, basic].filter((secret): secret is string => Boolean(secret));
  }

  /** A request to a route below `/api/2.0/mlflow/`. Throws MlflowRefusal, EndpointError. */
  async call(
    route: string,
    request: { readonly query?: Record<string, string>; readonly body?: object },
  ): Promise<unknown> {
    const url = new URL(`${this.server}/api/2.0/mlflow/${route}`);
    for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value);
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const text = await this.send(url, body === undefined ? "GET" : "POST", body, "application/json");
    try {
      return JSON.parse(text);
    } catch {
      throw new EndpointError(
        "malformed",
        `${url.href} answered ${quotedText(text)}, which is not JSON: is it an MLflow server?`,
      );
    }
  }

  /** Puts a file of a run where the server keeps artifacts for its clients; `path` is below their root. */
  async putArtifact(path: string, content: string): Promise<void> {
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    const url = new URL(`${this.server}/api/2.0/mlflow-artifacts/artifacts/${encoded}`);
    await this.send(url, "PUT", content, "application/octet-stream");
  }

  private async send(url: URL, method: string, body: string | undefined, contentType: string): Promise<string> {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const headers = {
      ...(body !== undefined && { "content-type": contentType }),
      ...(this.authorization !== undefined && { authorization: this.authorization }),
    };
    let at = url;
    for (let redirects = 0; ; redirects++) {
      const response = await this.fetched(at, {
        method,
        headers,
        signal,
        redirect: "manual",
        ...(body !== undefined && { body }),
      });
      const text = await this.read(at, response);
      const target = this.redirection(at, response, method);
      if (target === undefined) return this.accepted(at, response, text);
      if (redirects === MAX_REDIRECTS)
        throw new EndpointError("refused", `${url.href} redirects more than ${MAX_REDIRECTS} times`);
      at = target;
    }
  }

  private async fetched(url: URL, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, init);
    } catch (error) {
      throw this.failure(url, error);
    }
  }

  private async read(url: URL, response: Response): Promise<string> {
    try {
      return await boundedText(response);
    } catch (error) {
      throw error instanceof EndpointError ? error : this.failure(url, error);
    }
  }

  private failure(url: URL, error: unknown): EndpointError {
    if (error instanceof Error && error.name === "TimeoutError") {
      return new EndpointError("timeout", `${url.origin} did not answer within ${TIMEOUT_MS / 1000} seconds`);
    }
    return new EndpointError("unreachable", this.redacted(`${url.origin} cannot be reached: ${fetchFailure(error)}`));
  }

  /** Where to ask instead. Throws EndpointError for another server, which must not see the credentials. */
  private redirection(url: URL, response: Response, method: string): URL | undefined {
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || location === null) return undefined;
    const target = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
    const keepsMethod = method === "GET" || response.status === 307 || response.status === 308;
    if (target?.origin === url.origin && keepsMethod) return target;
    throw new EndpointError("refused", `${url.href} redirects to ${quotedText(location)}; name that server itself`);
  }

  private accepted(url: URL, response: Response, text: string): string {
    if (response.ok) return text;
    const { error_code: code = "", message = text } = errorBody(text);
    const isRefusedKey = response.status === 401 || response.status === 403;
    const hint = isRefusedKey
      ? " (MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, say who asks; they are sent to " +
        "the server in MLFLOW_TRACKING_URI only)"
      : "";
    const said = this.redacted(
      `${url.origin}${url.pathname} answered ${response.status}: ${quotedText(message)}${hint}`,
    );
    throw new MlflowRefusal(said, response.status, code);
  }

  private redacted(text: string): string {
    return this.secrets.reduce((left, secret) => left.replaceAll(secret, "[secret]"), text);
  }
}

function isSameOrigin(server: string, other: string | undefined): boolean {
  return other !== undefined && URL.canParse(other) && new URL(other).origin === new URL(server).origin;
}

function errorBody(text: string): { readonly error_code?: string; readonly message?: string } {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null) return {};
    const { error_code: code, message } = body as Record<string, unknown>;
    return {
      ...(typeof code === "string" && { error_code: code }),
      ...(typeof message === "string" && { message }),
    };
  } catch {
    return {};
  }
}
