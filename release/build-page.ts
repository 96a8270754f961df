/** Writes the dashboard's page into dist/page/: the second half of `npm run build`. */

import { mkdir, writeFile } from "node:fs/promises";
import { bundlePage } from "../src/inspect/page-bundle.ts";

const target = new URL("../dist/page/", import.meta.url);
const { script, style } = await bundlePage(new URL("../src/page/", import.meta.url));
await mkdir(target, { recursive: true });
await writeFile(new URL("page.js", target), script);
await writeFile(new URL("page.css", target), style);
