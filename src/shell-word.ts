/** Text as a word of a shell like sh, bash or zsh, for commands that people copy and for scripts that shells read. */

/** Between single quotes, where nothing else has a meaning. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** As it is where nothing in it has a meaning, else quoted. */
export function shellWord(text: string): string {
  return /^[\w./=:@%+,-]+$/.test(text) ? text : quoted(text);
}
