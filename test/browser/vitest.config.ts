/** `npm run test:browser`: what only a real browser can tell. One after the other, since they share two cores with it. */

import { defineConfig } from "vitest/config";

const at = (path: string) => new URL(path, import.meta.url).pathname;

export default defineConfig({
  resolve: { alias: [{ find: /^aha-rl$/, replacement: at("../../src/index.ts") }] },
  test: {
    root: at("../.."),
    include: ["test/browser/**/*.browser.ts"],
    globalSetup: [at("./require-chromium.ts")],
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
