import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { dayOf, formatDate } from "../../src/tokenizer/format-date.ts";

const golden = JSON.parse(await readFile(new URL("../golden/tokenizers.json", import.meta.url), "utf8")) as {
  dates: { date: [number, number, number, number, number, number]; format: string; text: string }[];
};

describe("formatDate", () => {
  it.each(golden.dates)("$date as $format is what Python's strftime writes", ({ date, format, text }) => {
    const [year, month, ...rest] = date;
    expect(formatDate(new Date(year, month - 1, ...rest), format)).toBe(text);
  });

  it("gives a recipe's day back, in whatever time zone", () => {
    expect(formatDate(dayOf("2024-07-26"), "%d %b %Y")).toBe("26 Jul 2024");
    expect(formatDate(dayOf("2025-01-01"), "%F")).toBe("2025-01-01");
  });

  it("leaves what is no directive that it knows", () => {
    expect(formatDate(new Date(2024, 0, 1), "100% of %Q, 5%")).toBe("100% of %Q, 5%");
  });
});
