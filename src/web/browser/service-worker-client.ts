/** The page's side of the service worker. */

const RELOADED = "aha-reloaded-for-isolation";

/**
 * Registers the service worker, where the browser has such a thing. A page that its host did not isolate is loaded once more
 * as soon as the service worker is there, and is isolated then. Settles when there is nothing left to wait for; it never
 * rejects, for the page works without.
 */
export async function registerServiceWorker(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("service-worker.js");
    await navigator.serviceWorker.ready;
  } catch {
    return;
  }
  if (globalThis.crossOriginIsolated || sessionStorage.getItem(RELOADED) !== null) return;
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
}
