/** What the scripts for all shells have in common. */

/**
 * A function of bash and zsh: the stages in the file $1, as \`--set\` addresses them: \`stages.NAME\` in a recipe, \`NAME\` in a
 * pipeline. Stages stand at most two spaces deep, as in every recipe that Aha brings; another layout gets no names.
 */
export const STAGE_NAMES = `__aha_stage_names() {
  [ -f "$1" ] || return 0
  awk '${stageNamesProgram()}' "$1"
}`;

/** The program of awk behind it, which fish calls too. */
export function stageNamesProgram(): string {
  return (
    "/^[A-Za-z]/ { place = $1 } " +
    '(place == "stages:" || place == "pipeline:") && /^ ? ?- *[{]? *name: *[A-Za-z0-9]/ { ' +
    'sub(/^ *- *[{]? *name: */, ""); sub(/[ ,}#].*$/, ""); print (place == "stages:" ? "stages." : "") $0 }'
  );
}
