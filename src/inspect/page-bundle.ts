/**
 * Makes one script and one style sheet of the page's sources (`src/page/`), the libraries inside, so that nothing is loaded
 * from anywhere else. `npm run build` leaves them in dist/page/; a dashboard that runs from the sources makes them when it
 * starts. esbuild is a development dependency: an installed package has the finished files.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { rawTexts } from "./raw-texts.ts";

/** The finished page. */
export interface PageBundle {
  readonly script: string;
  readonly style: string;
}

/** What MIT asks for: the notice stays with the copy. */
const LICENSES = `/*! This file has in it:
preact (MIT, Copyright (c) 2015-present Jason Miller), uPlot (MIT, Copyright (c) 2022 Leon Sorokin),
@tanstack/virtual-core (MIT, Copyright (c) 2021-present Tanner Linsley).
MIT: Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to
whom the Software is furnished to do so, subject to the following conditions: The above copyright notice and this permission
notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT
WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A
PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE. */`;

/** Bundles the entry `main` of `src/page/`. */
export async function bundlePage(sources: URL): Promise<PageBundle> {
  return bundleEntry(sources, "main.tsx");
}

/** Bundles the page of R1 in a browser tab, `src/page/tab/`. */
export async function bundleTab(sources: URL): Promise<PageBundle & { readonly html: string }> {
  const bundle = await bundleEntry(sources, "tab/main.tsx");
  return { ...bundle, html: await readFile(new URL("tab/index.html", sources), "utf8") };
}

async function bundleEntry(sources: URL, entry: string): Promise<PageBundle> {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, sources))],
    bundle: true,
    write: false,
    outdir: "page",
    format: "iife",
    target: "es2022",
    minify: true,
    charset: "utf8",
    legalComments: "none",
    banner: { js: LICENSES },
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "silent",
    plugins: [rawTexts(new URL("../", sources))],
  });
  const textOf = (ending: string) => outputFiles.find(({ path }) => path.endsWith(ending))!.text;
  return { script: textOf(".js"), style: textOf(".css") };
}
