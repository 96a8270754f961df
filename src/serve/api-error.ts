/**
 * Errors in OpenAI's shape: a status and {"error": {message, type, param, code}}. The official clients make their error
 * classes from the status alone; programs look at `code`. Nothing of the server's inside (paths, stacks) is in them.
 */

import { AhaError } from "../errors.ts";

export interface ApiErrorDetails {
  /** OpenAI's family of the error; by default `invalid_request_error` below 500, `server_error` from there on. */
  readonly type?: string;
  /** The request's parameter that is at fault. */
  readonly param?: string;
  readonly code?: string;
  /** Further response headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a request is answered with where it cannot be served. */
export class ApiError extends AhaError {
  override name = "ApiError";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly details: ApiErrorDetails;

  constructor(status: number, message: string, details: ApiErrorDetails = {}) {
    super(message);
    this.status = status;
    this.headers = details.headers ?? {};
    this.details = details;
  }

  /** The body of the response, or the data of an event where a stream has begun. */
  get body(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    const { type, param, code } = this.details;
    return {
      error: {
        message: this.message,
        type: type ?? (this.status < 500 ? "invalid_request_error" : "server_error"),
        param: param ?? null,
        code: code ?? null,
      },
    };
  }
}

/** 400, or another status, for a parameter that makes no sense, or that this server does not have. */
export function invalidParameter(param: string, message: string, code = "invalid_value", status = 400): ApiError {
  return new ApiError(status, message, { param, code });
}

/** The client closed the connection: nobody reads it. */
export function goneError(): ApiError {
  return new ApiError(499, "The client closed the connection.");
}

/** 504 after the most time that a request has. */
export function timeoutError(milliseconds: number): ApiError {
  return new ApiError(504, `The request took longer than ${milliseconds / 1000} s and was ended.`, {
    code: "timeout",
    // A retry of the same request would take as long again, so clients are told not to retry.
    headers: { "x-should-retry": "false" },
  });
}

/** 503 once the server is to stop. */
export function stoppingError(): ApiError {
  return new ApiError(503, "The server is shutting down.", { code: "shutting_down", headers: { connection: "close" } });
}
