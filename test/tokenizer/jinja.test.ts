/** The interpreter of chat templates against transformers' Jinja2 (test/golden/make_jinja_golden.py). */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { TemplateError, TemplateSyntaxError, UnsupportedTemplateError } from "../../src/tokenizer/jinja/errors.ts";
import { Template } from "../../src/tokenizer/jinja/template.ts";

const golden = JSON.parse(readFileSync(new URL("../golden/jinja.json", import.meta.url), "utf8")) as {
  variables: Record<string, unknown>;
  cases: [template: string, text: string | null][];
};
const render = (source: string, variables: Record<string, unknown> = {}) =>
  new Template(source).render(variables, new Date(2024, 6, 26, 12));

/** The text; null where it fails as Jinja2 does. What is refused by name is thrown on. */
function outcome(source: string): string | null {
  try {
    return render(source, golden.variables);
  } catch (error) {
    if (error instanceof TemplateError || error instanceof TemplateSyntaxError) return null;
    throw error;
  }
}

/** Templates that Jinja2 renders, or that print an address in memory, and that are refused here by name. */
const REFUSED_BY_NAME = new Map([
  ["{{ zero.real }}", /int\.real/],
  ["{{ name.upper ~ 1 }}", /printing a function/],
  ["{{ person.items }}", /printing a function/],
  ["{{ person.get }}", /printing a function/],
  ["{{ words | map }}", /printing a generator/],
  ["{{ numbers | reverse }}", /printing a reverse iterator/],
  ["{{ (words | map('upper')) ~ '' }}", /printing a generator/],
  ["{% block a %}x{% endblock %}", /\{% block %\}/],
  ["{% include 'x' %}", /\{% include %\}/],
]);

describe("templates", () => {
  it.each(golden.cases.filter(([source]) => !REFUSED_BY_NAME.has(source)))("%j", (source, text) => {
    expect(outcome(source)).toBe(text);
  });

  it.each([...REFUSED_BY_NAME])("%j is refused by name", (source, message) => {
    expect(() => outcome(source)).toThrow(UnsupportedTemplateError);
    expect(() => outcome(source)).toThrow(message);
  });
});

describe("limits", () => {
  it.each([
    ["loops without end", "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"],
    [
      "texts that double",
      "{% set ns = namespace(t='ab') %}{% for i in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
    ],
    ["repetition", "{{ 'ab' * 1000000000 }}"],
    ["lists that are repeated", "{{ ([1] * 100000 * 100000) | length }}"],
    ["macros without end", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    ["padding", "{{ 'a'.center(10000000000) }}"],
  ])("%s end with an error", (_, source) => {
    expect(() => render(source)).toThrow(TemplateError);
  });

  it("deep nesting is refused, not a crash", () => {
    expect(() => render(`{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`)).toThrow(TemplateSyntaxError);
    expect(() => render(`{{ ${"[".repeat(100_000)}`)).toThrow(TemplateSyntaxError);
  });

  it("powers beyond what Python can write are refused by name", () => {
    expect(() => render("{{ 9 ** (9 ** 9) }}")).toThrow(UnsupportedTemplateError);
  });
});

describe("values", () => {
  it("numbers beyond 2^53 keep their value where they come as bigints", () => {
    expect(render("{{ x }} {{ x | tojson }} {{ y }}", { x: 9007199254740993n, y: 1e21 })).toBe(
      "9007199254740993 9007199254740993 1e+21",
    );
  });

  it("dictionaries keep the order of a Map, and fields without a value are not there", () => {
    const map = new Map([
      ["2", "b"],
      ["1", "a"],
    ]);
    expect(render("{{ x | tojson }} {{ 'u' in y }}", { x: map, y: { u: undefined } })).toBe(
      '{"2": "b", "1": "a"} False',
    );
  });
});
