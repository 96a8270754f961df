/**
 * Text after Unicode's canonical composition (NFC), with the way back: which characters of the original each character
 * came from. Qwen's tokenizers compose their input first (e + ◌́ becomes é), so the spans of their tokens are those of
 * another text than the one that was given.
 */

export interface ComposedText {
  readonly text: string;
  /** The span of the original that a span of `text` came from, whole characters. */
  readonly originalSpan: (start: number, end: number) => readonly [number, number];
}

/** A base character and what may combine with it: marks, and the later parts of a Korean syllable. */
const CLUSTER = /[^\p{M}\u1160-\u11ff]?[\p{M}\u1160-\u11ff]*/gsu;

/** `text` composed; undefined where that changes nothing. */
export function composeText(text: string): ComposedText | undefined {
  const composed = text.normalize("NFC");
  if (composed === text) return undefined;
  /** For each character of `composed`, where its cluster begins and ends in `text`. */
  const starts: number[] = [];
  const ends: number[] = [];
  let position = 0;
  for (const [cluster] of text.matchAll(CLUSTER)) {
    const length = cluster.normalize("NFC").length;
    // A cluster that stays as it is keeps the places of its characters; one that changes is one place.
    const isSame = length === cluster.length && composed.startsWith(cluster, starts.length);
    for (let i = 0; i < length; i++) {
      starts.push(isSame ? position + i : position);
      ends.push(isSame ? position + i + 1 : position + cluster.length);
    }
    position += cluster.length;
  }
  return {
    text: composed,
    originalSpan: (start, end) =>
      start < end ? [starts[start]!, ends[end - 1]!] : [starts[start] ?? text.length, starts[start] ?? text.length],
  };
}
