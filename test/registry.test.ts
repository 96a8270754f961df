import { describe, expect, it } from "vitest";
import { ConfigError } from "../src/errors.ts";
import { Registry } from "../src/registry.ts";

describe("a registry", () => {
  it("has its entries by name, in the order in which they came", () => {
    const registry = new Registry("reward", [{ name: "format" }, { name: "equation" }]);
    registry.add({ name: "mine" });
    expect(registry.names).toEqual(["format", "equation", "mine"]);
    expect(registry.get("mine")).toBe(registry.all[2]);
    expect(registry.find("other")).toBeUndefined();
  });

  it("grows in version with every entry", () => {
    const registry = new Registry("reward", [{ name: "format" }]);
    const before = registry.version;
    registry.add({ name: "mine" });
    expect(registry.version).toBeGreaterThan(before);
  });

  it("refuses a name that is taken, and keeps what it had", () => {
    const first = { name: "format" };
    const registry = new Registry("reward", [first]);
    expect(() => registry.add({ name: "format" })).toThrow(ConfigError);
    expect(() => registry.add({ name: "format" })).toThrow(/a reward named format already.*taken: format/);
    expect(registry.get("format")).toBe(first);
  });

  it.each(["", "9lives", "a b", "a/b", "a.b", "ä", "x".repeat(65)])("refuses the name %j", (name) => {
    expect(() => new Registry("task").add({ name })).toThrow(/cannot name a task: expected a letter/);
  });

  it("names what it knows where a name is not known, and the nearest", () => {
    const registry = new Registry("reward", [{ name: "format" }, { name: "equation" }]);
    expect(() => registry.get("formt")).toThrow(
      'There is no reward "formt"; known: format, equation. Did you mean format?',
    );
    expect(() => new Registry("tracker").get("x")).toThrow('There is no tracker "x"; none is registered.');
  });
});
