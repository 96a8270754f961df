/** What a release checks, and what package.json becomes. Nothing is fetched or published here. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type ReleaseState, releaseFaults } from "../../release/checks.ts";
import { checkIntegrity, lockedPackage } from "../../release/official-package.ts";
import { type Manifest, platformManifest, publishedManifest } from "../../release/pack.ts";
import { PLATFORMS } from "../../release/platforms.ts";
import { REQUIRED_VERSION } from "../../src/compute/web/ort-module.ts";

const ROOT = join(import.meta.dirname, "../..");
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Manifest;

const READY: ReleaseState = {
  version: "1.2.0",
  isPrivate: false,
  repository: "https://example.org/aha.git",
  changedFiles: [],
  tags: ["v1.2.0"],
  changelog: "# Changelog\n\n## 1.2.0 (2026-12-01)\n\n- Faster.\n\n## 1.1.0 (2026-11-01)\n\n- Older.\n",
  lockedVersion: "1.2.0",
  published: ["1.1.0"],
  canAttest: true,
};

describe("a release", () => {
  it("that is ready has no faults", () => {
    expect(releaseFaults(READY)).toEqual([]);
  });

  it.each<[string, Partial<ReleaseState>, RegExp]>([
    ["a changed file", { changedFiles: ["src/index.ts"] }, /not clean: src\/index\.ts/],
    ["no tag", { tags: [] }, /must be tagged v1\.2\.0; it has no tag/],
    ["another tag", { tags: ["v1.1.9"] }, /it is tagged v1\.1\.9/],
    ["no section", { changelog: "## Unreleased\n\n- x\n" }, /no section "## 1\.2\.0 \(DATE\)"/],
    ["no date", { changelog: "## 1.2.0\n\n- x\n" }, /must begin "## 1\.2\.0 \(YYYY-MM-DD\)"/],
    ["an empty section", { changelog: "## 1.2.0 (2026-12-01)\n\n## 1.1.0 (2026-11-01)\n\n- x\n" }, /says nothing/],
    [
      "an old section",
      { changelog: "## 1.3.0 (2026-12-02)\n\n- y\n\n## 1.2.0 (2026-12-01)\n\n- x\n" },
      /not the first/,
    ],
    ["a lock of another version", { lockedVersion: "1.1.0" }, /package-lock\.json has the version 1\.1\.0/],
    ["a version that is out", { published: ["1.2.0"] }, /has 1\.2\.0 already/],
    ["a version that is none", { version: "1.2", tags: ["v1.2"] }, /not a version/],
    ["the owner's lock", { isPrivate: true }, /"private"/],
    ["no repository", { repository: undefined }, /"repository"/],
    ["no identity", { canAttest: false }, /provenance/],
  ])("is refused for %s", (_, change, message) => {
    expect(releaseFaults({ ...READY, ...change }).join("\n")).toMatch(message);
  });
});

describe("what is published", () => {
  it("has no part of the clone, and every platform's library", () => {
    const published = publishedManifest(manifest, "1.30.0");
    for (const key of ["private", "scripts", "devDependencies"]) expect(published).not.toHaveProperty(key);
    expect(published.dependencies).not.toHaveProperty("onnxruntime-node");
    expect(Object.keys(published.optionalDependencies as object)).toHaveLength(PLATFORMS.length);
    expect(manifest.private).toBe(true);
    // The version whose functions are called, and only for those who install it.
    expect(published.peerDependencies).toEqual({ "onnxruntime-web": REQUIRED_VERSION });
    expect(published.peerDependenciesMeta).toEqual({ "onnxruntime-web": { optional: true } });
    expect(manifest.files).toEqual(expect.arrayContaining(["dist", "recipes", "schema", "CHANGELOG.md"]));
  });

  it("says where a library's sources are, as provenance asks of every package", () => {
    expect(platformManifest(PLATFORMS[0]!, "1.30.0", READY.repository)).toMatchObject({
      name: "@aha-rl/onnxruntime-linux-x64",
      repository: READY.repository,
    });
  });

  it("has a hash of the official package that other bytes do not have", async () => {
    const { integrity } = await lockedPackage(ROOT);
    expect(integrity).toMatch(/^sha512-/);
    expect(() => checkIntegrity(new TextEncoder().encode("other"), integrity, "x.tgz")).toThrow(
      /package-lock\.json says/,
    );
  });
});

describe("the workflow", () => {
  const text = readFileSync(join(ROOT, ".github/workflows/release.yml"), "utf8");
  it("may attest, is started by hand, and publishes by the script alone", () => {
    const workflow = parse(text) as {
      on: object;
      jobs: { release: { permissions: object; steps: { run?: string }[] } };
    };
    expect(Object.keys(workflow.on)).toEqual(["workflow_dispatch"]);
    expect(workflow.jobs.release.permissions).toEqual({ contents: "read", "id-token": "write" });
    const runs = workflow.jobs.release.steps.flatMap(({ run = "" }) => (run === "" ? [] : [run.split(" -- ")[0]]));
    expect(runs).toEqual(["bash .ci/run", "npm run test:install", "npm run release"]);
  });
});
