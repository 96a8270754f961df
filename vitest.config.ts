import { defineConfig } from "vitest/config";

export default defineConfig({
  // What the package exports, from source: tests of extensions import it as their authors do.
  resolve: { alias: [{ find: /^aha-rl$/, replacement: new URL("./src/index.ts", import.meta.url).pathname }] },
  test: {
    include: ["test/**/*.test.ts"],
    // Most tests compute with threads of their own: more workers than this would fight over two cores.
    maxWorkers: 2,
    // For a slow machine that has other things to do: a test that hangs fails, one that waits for processes does not.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
