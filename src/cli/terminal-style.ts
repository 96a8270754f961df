/** Colour for people: only where the output is a terminal, and never where NO_COLOR (no-color.org) is set. */

import { styleText } from "node:util";

/** Puts emphasis on text; the plain text where there is no colour. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
}

/** `interactive`: whether the output is a terminal. */
export function styleFor(interactive: boolean, environment: NodeJS.ProcessEnv = process.env): Style {
  const colours = interactive && !environment.NO_COLOR && environment.TERM !== "dumb";
  const styled = (format: Parameters<typeof styleText>[0]) => (text: string) =>
    colours ? styleText(format, text, { validateStream: false }) : text;
  return { bold: styled("bold"), dim: styled("dim"), good: styled("green"), bad: styled("red") };
}

/** Breaks text into lines of at most `width` characters at its spaces. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return line === "" ? lines : [...lines, line];
}

/**
 * Text that a model or a file brought, safe to print: control characters, which could move the cursor or retitle the
 * terminal, become visible signs.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, "\u{fffd}");
}
