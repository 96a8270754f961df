/**
 * One request to the Hub, and patience: the token only where it belongs, a limit on how long nothing may come, further
 * attempts after what may pass, and every failure as a HubFailure.
 *
 * `hubFetch` is the `fetch` that @huggingface/hub is given. The library would add the token itself, but also to whatever
 * address an answer names as its next page; here the token goes to the Hub's own origin and nowhere else (on a redirect
 * to another origin, where files lie, fetch itself drops it).
 */

import { setTimeout as sleep } from "node:timers/promises";
import { RunInterrupted } from "../errors.ts";
import { answerFailure, contentFailure, HubFailure, hostOf, networkFailure, type RequestSubject } from "./failure.ts";

/** What requests know besides where they go. */
export interface RequestContext extends RequestSubject {
  /** Aborted when the user stops the command. */
  readonly signal: AbortSignal | undefined;
  /** Called when a request waits, so that the user can be told why. */
  readonly onWait?: ((reason: string) => void) | undefined;
}

/** Attempts in a row that brought nothing, after which a server's failure is final. */
const MAX_ATTEMPTS = 5;
/** The same where no answer came at all: a user without a network should get the error soon. */
const MAX_NETWORK_ATTEMPTS = 3;
/** Answers of the API are lists of files and the like; a list of 100,000 files has about 30 MB. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20;
const MAX_ERROR_BYTES = 64 * 1024;
/** Shorter waits are not reported. */
const MENTIONED_WAIT_MS = 5000;

/**
 * Sends one request and returns its successful answer, its body not yet read. Gives up where no answer begins within
 * the stall limit (not for uploads, whose answer begins when they end).
 *
 * @throws HubFailure; RunInterrupted where the user stopped
 */
export async function sendRequest(url: string, init: RequestInit, context: RequestContext): Promise<Response> {
  const { settings, signal } = context;
  throwIfStopped(signal);
  const headers = new Headers(init.headers);
  headers.set("user-agent", "aha");
  if (new URL(url).origin === new URL(settings.endpoint).origin) {
    if (settings.token === undefined) headers.delete("authorization");
    else headers.set("authorization", `Bearer ${settings.token}`);
  }
  const stall = new AbortController();
  const isUpload = init.method === "PUT";
  const timer = isUpload ? undefined : setTimeout(() => stall.abort(), settings.timing.stallMs);
  try {
    const signals = [stall.signal, signal, init.signal].filter((one) => one !== undefined && one !== null);
    const response = await fetch(url, { ...init, headers, signal: AbortSignal.any(signals) });
    if (response.ok) return response;
    const body = new TextDecoder().decode(await readBody(response, MAX_ERROR_BYTES, context, true));
    throw answerFailure({ status: response.status, headers: response.headers, body }, context);
  } catch (error) {
    throwIfStopped(signal);
    if (error instanceof HubFailure) throw error;
    throw networkFailure(stall.signal.aborted ? new Error("it does not answer") : error, settings);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Does `attempt` again after transient failures, waiting longer each time or as long as the server asks. `progressed`
 * tells whether the last attempt brought anything: then counting starts anew. `networkAttempts` is the number of
 * attempts if the network cannot be reached.
 */
export async function withPatience<T>(
  attempt: () => Promise<T>,
  context: RequestContext,
  options: { readonly progressed?: () => boolean; readonly networkAttempts?: number } = {},
): Promise<T> {
  const { backoffMs, maxWaitMs } = context.settings.timing;
  const { progressed = () => false, networkAttempts = MAX_NETWORK_ATTEMPTS } = options;
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof HubFailure) || !error.transient) throw error;
      if (progressed()) failures = 1;
      if (failures >= (error.kind === "network" ? networkAttempts : MAX_ATTEMPTS)) throw error;
      const waitMs = error.waitMs ?? backoffMs * 2 ** (failures - 1);
      // There is a limit on waiting, and no request is repeated earlier than the server allows.
      if (waitMs > maxWaitMs) throw error;
      if (waitMs >= MENTIONED_WAIT_MS) {
        const reason = error.kind === "network" ? "cannot be reached" : "asks to wait";
        context.onWait?.(`${hostOf(context.settings)} ${reason}: trying again in ${Math.ceil(waitMs / 1000)} s.`);
      }
      await pause(waitMs, context.signal);
    }
  }
}

/**
 * The `fetch` for @huggingface/hub: `sendRequest` with patience, the body of the answer read whole. An answer that is
 * not a success is thrown, so the library never sees one.
 */
export function hubFetch(context: RequestContext): typeof fetch {
  return (input, init = {}) => {
    const url = input instanceof Request ? input.url : String(input);
    const body = countedBody(init);
    // A stream can be sent only once.
    const attempt = async () => {
      const response = await sendRequest(url, { ...init, ...body }, context);
      const bytes = await readBody(response, MAX_ANSWER_BYTES, context);
      const hasBody = bytes.length > 0 && response.status !== 204;
      return new Response(hasBody ? bytes : null, { status: response.status, headers: response.headers });
    };
    return init.body instanceof ReadableStream ? attempt() : withPatience(attempt, context);
  };
}

/**
 * What `call`, a call of @huggingface/hub, returns. The library trusts that answers have the right form; one that has
 * not, a login page for instance, shows as an error of its own.
 */
export async function hubCall<T>(context: RequestContext, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throwIfStopped(context.signal);
    if (error instanceof HubFailure) throw error;
    // The runtime's own errors about files (ENOENT, EACCES) are not about the Hub.
    if (error instanceof Error && "syscall" in error) throw error;
    const detail = error instanceof Error ? error.message : String(error);
    throw contentFailure(
      `${hostOf(context.settings)} answered with something that a Hub does not answer (${detail.slice(0, 200)}). Is ` +
        "HF_ENDPOINT right, and no login page in between?",
    );
  }
}

/** The body of an answer, of at most `maxBytes`: beyond, an error, or the beginning of it. */
async function readBody(response: Response, maxBytes: number, context: RequestContext, cut = false) {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bodyChunks(response, context)) {
    size += chunk.length;
    if (size > maxBytes && !cut) {
      throw contentFailure(
        `${hostOf(context.settings)} sent an answer of more than ${maxBytes} bytes; it was not read.`,
      );
    }
    chunks.push(chunk);
    if (size > maxBytes) break;
  }
  return Buffer.concat(chunks);
}

/**
 * The chunks of an answer's body. A connection that is cut, or brings nothing for as long as the stall limit, is a
 * transient HubFailure.
 */
export async function* bodyChunks(response: Response, context: RequestContext): AsyncGenerator<Uint8Array, void, void> {
  if (response.body === null) return;
  const { settings, signal } = context;
  const reader = response.body.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", stop, { once: true });
  try {
    for (;;) {
      throwIfStopped(signal);
      const next = await withDeadline(reader.read(), settings.timing.stallMs);
      throwIfStopped(signal);
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    throwIfStopped(signal);
    if (error instanceof HubFailure) throw error;
    throw networkFailure(error, settings);
  } finally {
    signal?.removeEventListener("abort", stop);
    // Ends the connection where the body was not read to its end.
    await reader.cancel().catch(() => {});
  }
}

/** @throws RunInterrupted where the user has stopped the command */
export function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new RunInterrupted("Stopped.");
}

async function pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
  } catch {
    throwIfStopped(signal);
  }
}

function withDeadline<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("it stopped in the middle of an answer")), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** A blob that reports how much of it was sent: the library gives `fetch` a hint of whom to tell, which only browsers'
 * requests could follow. */
class CountedBlob extends Blob {
  override readonly size: number;
  private readonly content: Blob;
  private readonly onProgress: (share: number) => void;

  constructor(content: Blob, onProgress: (share: number) => void) {
    super([]);
    this.size = content.size;
    this.content = content;
    this.onProgress = onProgress;
  }

  override stream(): ReturnType<Blob["stream"]> {
    let sent = 0;
    const total = this.size;
    const report = this.onProgress;
    const counter = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        sent += chunk.length;
        report(sent / total);
        controller.enqueue(chunk);
      },
    });
    return this.content.stream().pipeThrough(counter) as ReturnType<Blob["stream"]>;
  }
}

function countedBody(init: RequestInit): { readonly body?: CountedBlob } {
  const hint = (init as { progressHint?: { progressCallback?: (share: number) => void } }).progressHint;
  if (!(init.body instanceof Blob) || hint?.progressCallback === undefined) return {};
  return { body: new CountedBlob(init.body, hint.progressCallback) };
}
