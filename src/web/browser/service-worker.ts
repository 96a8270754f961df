/**
 * The service worker of R1 in a tab. It keeps the page's files, so that the page opens without a network, and gives them the
 * headers that isolate the page where a host of static files can't.
 *
 * The build puts the list of files and its version in; another build is another version, with a cache of its own.
 */

import { WEB_HEADERS } from "../headers.ts";

/** Filled in by the build. */
declare const AHA_VERSION: string;
/** What the page needs to open; what else it loads is kept when it is first asked for. */
declare const AHA_FIRST_FILES: readonly string[];

interface WorkerEvent {
  waitUntil(done: Promise<unknown>): void;
}

interface FetchEvent extends WorkerEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const scope = globalThis as unknown as {
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listen: (event: WorkerEvent) => void): void;
  addEventListener(type: "fetch", listen: (event: FetchEvent) => void): void;
};

const PREFIX = "aha-web-";
const CACHE = PREFIX + AHA_VERSION;

scope.addEventListener("install", (event) => {
  event.waitUntil(keepFirstFiles().then(() => scope.skipWaiting()));
});

scope.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => scope.clients.claim()));
});

scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && new URL(url).origin === scope.location.origin) event.respondWith(answer(event.request));
});

async function keepFirstFiles(): Promise<void> {
  const cache = await caches.open(CACHE);
  // Past the browser's own cache, which may still have files of another version.
  await cache.addAll(AHA_FIRST_FILES.map((path) => new Request(path, { cache: "reload" })));
}

async function forgetOthers(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(
    names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)),
  );
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  // What stands behind the question mark is for the page and its worker alone.
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept) return isolated(kept);
  const fresh = await fetch(request);
  if (fresh.status === 200) await cache.put(request, fresh.clone());
  return isolated(fresh);
}

/** The response with the page's headers. */
function isolated(response: Response): Response {
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(WEB_HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
