/** Numbers as CSV (RFC 4180), every value with all of its digits. */

/** `header` over `rows`; names are quoted where they have to be, and null is an empty cell. */
export function csvText(header: readonly string[], rows: readonly (readonly (number | null | undefined)[])[]): string {
  const quoted = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = rows.map((row) => row.map((value) => value ?? "").join(","));
  return `${[header.map(quoted).join(","), ...lines].join("\r\n")}\r\n`;
}
