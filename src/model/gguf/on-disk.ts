/** GGUF files on this machine's disk, by their paths. */

import { diskFile, diskFolder } from "../../disk-folder.ts";
import { exportGgufFrom, type GgufExport, type GgufExportOptions } from "./export.ts";
import { type GgufImport, type GgufImportOptions, importGgufFrom } from "./import.ts";

/** `importGgufFrom` the file `path` into an existing directory. Throws CheckpointError. */
export function importGguf(path: string, directory: string, options: GgufImportOptions = {}): Promise<GgufImport> {
  const [folder, name] = diskFile(path);
  return importGgufFrom(folder, name, diskFolder(directory), options);
}

/** `exportGgufFrom` the model in `directory` to the file `path`. Throws CheckpointError. */
export function exportGguf(directory: string, path: string, options: GgufExportOptions): Promise<GgufExport> {
  const [into, name] = diskFile(path);
  return exportGgufFrom(diskFolder(directory), into, name, options);
}
