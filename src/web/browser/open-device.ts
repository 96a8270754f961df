/** The devices of a tab: the library's, from files of the page's own whose hashes are known. */

import { openWebDevice } from "../../compute/web/open-device.ts";
import { fetchedFile, type ListedFiles } from "../fetched-file.ts";
import type { Backend, LoadingMessage } from "../protocol.ts";
import { LoadError } from "../tab-errors.ts";
import type { OpenDevice } from "../tab-session.ts";

/**
 * Opens what is asked for: `auto` is WASM. A model of this size is done on the processors before a GPU has begun its many
 * small kernels, so WebGPU is for those who ask for it.
 *
 * @throws LoadError where a file does not come
 */
export function openBrowserDevice(
  backend: Backend | "auto",
  listed: ListedFiles,
  onLoading: (loading: LoadingMessage) => void,
  threads?: number,
): Promise<OpenDevice> {
  return openWebDevice({
    files: "./",
    backend: backend === "auto" ? "wasm" : backend,
    ...(threads !== undefined && { threads }),
    fetchFile: async (name) => {
      const file = [listed.wasm, listed.webgpu].find(({ path }) => path === name);
      if (file === undefined) throw LoadError.of(name, "files.json does not list it");
      const bytes = await fetchedFile(file, (loadedBytes) => {
        onLoading({ type: "loading", part: "runtime", loadedBytes, totalBytes: file.bytes });
      });
      return bytes.buffer;
    },
  });
}
