/** The page's script and style, from the build beside this file or, where Aha runs from its sources, made now. */

import { readFile } from "node:fs/promises";
import { RunDirError } from "../errors.ts";
import type { PageBundle } from "./page-bundle.ts";

let made: Promise<PageBundle> | undefined;

/** Read or made once. Throws RunDirError where an installation lacks the files. */
export function pageFiles(): Promise<PageBundle> {
  made ??= load();
  return made;
}

/** For a report, which tells a run that is over: without the files it is a page of text, and nothing is lost. */
export async function pageFilesIfThere(): Promise<PageBundle> {
  return pageFiles().catch(() => ({ script: "", style: "" }));
}

async function load(): Promise<PageBundle> {
  if (import.meta.url.endsWith(".ts")) {
    const { bundlePage } = await import("./page-bundle.ts");
    return bundlePage(new URL("../page/", import.meta.url));
  }
  const read = (name: string) => readFile(new URL(`../page/${name}`, import.meta.url), "utf8");
  try {
    return { script: await read("page.js"), style: await read("page.css") };
  } catch {
    throw new RunDirError(
      "The dashboard's page is not in this installation: dist/page/page.js is missing. In a clone, run npm run build.",
    );
  }
}
