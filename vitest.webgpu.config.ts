import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** The tests that need WebGPU: `npm run test:webgpu`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/webgpu/**/*.check.ts"],
    // A software driver computes with all processors.
    maxWorkers: 1,
    // Of this module there is one for each file, and a software driver is slow.
    testTimeout: 900_000,
    hookTimeout: 900_000,
  },
});
