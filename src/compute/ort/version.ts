/**
 * Which versions of ONNX Runtime there are to compute with. Older ones lack calls that are made, and are refused. Which nodes have a
 * kernel, which kernels are wrong and what lowering writes instead (`gpu/kernels.ts`, `graph/target.ts`) was looked at in one
 * version: with another one there is a warning.
 */

import { AhaError } from "../../errors.ts";

/** Names the library to load instead of the installed one: a build with CUDA, for one. */
export const LIBRARY_VARIABLE = "AHA_ORT_LIBRARY";

/** The version whose kernels were looked at: that of the npm package. */
export const EXAMINED_VERSION = "1.30";

/** A library of ONNX Runtime. */
export interface OrtLibrary {
  /** Its version, as `1.30.0`. */
  readonly version: string;
  readonly libraryPath: string;
}

/** What to say of a library whose kernels nobody looked at; undefined of the version that was examined. */
export function versionWarning({ version, libraryPath }: OrtLibrary): string | undefined {
  const [major, minor] = version.split(".");
  if (`${major}.${minor}` === EXAMINED_VERSION) return undefined;
  return (
    `${libraryPath} is ONNX Runtime ${version}, and what Aha knows of missing and faulty kernels is of ${EXAMINED_VERSION}: ` +
    `numbers may be wrong without an error. Install ${EXAMINED_VERSION}, or unset ${LIBRARY_VARIABLE}; in a clone of Aha ` +
    "`npm run test:webgpu` compares a device with the processors (AHA_CHECKED_DEVICE=cuda for CUDA)."
  );
}

/** The error for a library that has no table of calls of version `needed` (`1.24` has the first with all of them). */
export function tooOld({ version, libraryPath }: OrtLibrary, needed: number): AhaError {
  return new AhaError(
    `${libraryPath} is ONNX Runtime ${version}, and Aha needs 1.${needed} or later. Install ${EXAMINED_VERSION}, or unset ` +
      `${LIBRARY_VARIABLE}.`,
  );
}
