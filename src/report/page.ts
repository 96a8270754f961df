/**
 * The frame of every page: a document of its own that loads nothing. What it says is there without a script; the script
 * that it carries is the dashboard's, and puts charts that can be zoomed and searched in the place of drawn ones. The
 * policy lets that one script run, by its hash, and nothing else.
 */

import { createHash } from "node:crypto";
import type { FrozenRun } from "../inspect/frozen-run.ts";
import type { PageBundle } from "../inspect/page-bundle.ts";
import { Html, html } from "./html.ts";

/** What makes a page more than its text. */
export interface PageParts {
  readonly files: PageBundle;
  /** A run whose charts the script draws. */
  readonly frozen?: FrozenRun | undefined;
}

/** A page of text, where there is nothing else. */
export const TEXT_ALONE: PageParts = { files: { script: "", style: "" } };

/** The whole document, as text. */
export function page(
  title: string,
  content: Html,
  { files: { script, style }, frozen }: PageParts = TEXT_ALONE,
): string {
  const runs = frozen !== undefined && script !== "";
  const hash = `'sha256-${createHash("sha256").update(script).digest("base64")}'`;
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data:${runs ? `; script-src ${hash}` : ""}`;
  // Data, not a script: browsers run nothing of it. "<" is written so that no text in it can end the element.
  const data = JSON.stringify(frozen ?? null).replaceAll("<", "\\u003c");
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${title} · Aha</title>
<style>${new Html(style)}</style>
</head>
<body>
<main class="report">
${content}
</main>
${runs ? html`<script type="application/json" id="frozen">${new Html(data)}</script>\n<script>${new Html(script)}</script>` : undefined}
</body>
</html>
`.text;
}
