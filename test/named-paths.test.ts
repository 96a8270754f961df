import { expect, it } from "vitest";
import { pathAt, pathsBelow, valueAt, withPaths, withValueAt } from "../src/named-paths.ts";

const config = { model: { path: "m" }, parts: [{ file: "a" }, { file: "b", weight: 2 }] };
const paths = [
  ...pathAt(config, ["model", "path"], "model", { hub: true }),
  ...config.parts.flatMap((part, i) => pathsBelow(["parts", i], pathAt(part, ["file"], "file"))),
];

it("lists the paths that are there, each with where it stands", () => {
  expect(paths).toEqual([
    { keys: ["model", "path"], path: "m", kind: "model", hub: true },
    { keys: ["parts", 0, "file"], path: "a", kind: "file", hub: false },
    { keys: ["parts", 1, "file"], path: "b", kind: "file", hub: false },
  ]);
  expect(pathAt(config, ["model", "adapter"], "adapter")).toEqual([]);
  expect(pathAt(config, ["parts", 1, "weight"], "file")).toEqual([]);
});

it("replaces each of them in a copy", () => {
  const changed = withPaths(config, paths, ({ path }) => `/root/${path}`);
  expect(changed).toEqual({ model: { path: "/root/m" }, parts: [{ file: "/root/a" }, { file: "/root/b", weight: 2 }] });
  expect(config.model.path).toBe("m");
});

it("changes nothing where there is nothing to change", () => {
  expect(withValueAt(config, ["model", "init", "path"], "x")).toEqual(config);
  expect(valueAt(config, ["parts", 7, "file"])).toBeUndefined();
});
