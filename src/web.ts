/**
 * Aha in a browser, as a library: the core (`aha-rl/core`), and what a browser has to hand in to it. A device over ONNX Runtime
 * as WebAssembly, on the processors or on the GPU, and folders that survive the tab. In a web worker:
 *
 *     const { device, threads } = await openWebDevice({ files: "/ort/" });
 *     const folder = (await OpfsFolder.open("aha")) ?? new MemoryFolder();
 *     const compute = computingOn(device, (path) => folder.at(path), threads);
 *     const recipe = recipeOfText(text, "recipe.yaml");
 *     const run = await openRun(recipe, await FolderRun.create(folder.folder("run"), recipe), { compute });
 *     const summary = await runRecipe(run);
 *
 * `files` is where the files of the npm package onnxruntime-web are served, of the version that this package names as its
 * (optional) peer. docs/browser.md has the whole of it. The page of `npm run web` is `src/page/tab/`, over `src/web/`, and not
 * a part of the package.
 */

export {
  type OpenWebDevice,
  openWebDevice,
  RUNTIME_FILES,
  RuntimeFileError,
  threadsHere,
  type WebBackend,
  type WebDeviceOptions,
} from "./compute/web/open-device.ts";
export * from "./core.ts";
export { OpfsFolder, StorageFullError } from "./opfs-folder.ts";
