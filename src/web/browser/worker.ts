/**
 * The worker of R1 in a tab: everything is computed here, so that the page answers at once. It is the browser's side of
 * `tab-session.ts`: messages, the private file system, the page's own files, and the devices.
 */

import recipeText from "raw:../recipes/countdown/tiny/recipe.yaml";
import { MemoryFolder } from "../../folder.ts";
import { OpfsFolder } from "../../opfs-folder.ts";
import { fetchedFile, type ListedFiles } from "../fetched-file.ts";
import type { PageMessage, WorkerMessage } from "../protocol.ts";
import { errorMessage, LoadError } from "../tab-errors.ts";
import { TabSession } from "../tab-session.ts";
import { holdAlone } from "./alone.ts";
import { openBrowserDevice } from "./open-device.ts";

const scope = globalThis as unknown as {
  onmessage: ((event: { readonly data: PageMessage }) => void) | null;
  postMessage(message: WorkerMessage): void;
  close(): void;
};
const post = (message: WorkerMessage) => scope.postMessage(message);

/** What tests set by the worker's own address: values of the recipe, and where it keeps what it makes. */
const query = new URLSearchParams(globalThis.location.search);

async function begin(): Promise<TabSession> {
  const files = await listedFiles();
  await holdAlone(query.get("store") ?? "aha");
  const kept = await OpfsFolder.open(query.get("store") ?? "aha");
  return new TabSession({
    recipeText,
    overrides: query.getAll("set"),
    isIsolated: globalThis.crossOriginIsolated === true,
    folder: kept ?? new MemoryFolder("memory:tab"),
    isKept: kept !== undefined,
    openDevice: (backend, onLoading) => openBrowserDevice(backend, files, onLoading, threadsAsked()),
    coldStart: (onLoading) =>
      fetchedFile(files.coldStart, (loadedBytes) => {
        onLoading({ type: "loading", part: "model", loadedBytes, totalBytes: files.coldStart.bytes });
      }),
    storage: async () => {
      const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.()) ?? {};
      return { usedBytes: usage, quotaBytes: quota };
    },
    post,
  });
}

/** More are a slip, and would only cost memory. */
const MOST_THREADS_ASKED = 32;

/** Undefined where nobody asks for a number that can be. */
function threadsAsked(): number | undefined {
  const asked = Math.floor(Number(query.get("threads") ?? 0));
  return asked >= 1 && globalThis.crossOriginIsolated === true ? Math.min(asked, MOST_THREADS_ASKED) : undefined;
}

async function listedFiles(): Promise<ListedFiles> {
  try {
    const response = await fetch("files.json");
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return (await response.json()) as ListedFiles;
  } catch (error) {
    throw LoadError.of("files.json", error);
  }
}

const session = begin();
session.catch((error: unknown) => post(errorMessage(error, { isFatal: true })));

scope.onmessage = async ({ data }) => {
  try {
    const open = await session;
    await open.receive(data);
  } catch {
    // That it could not begin was told.
  }
  if (data.type === "dispose") scope.close();
};
