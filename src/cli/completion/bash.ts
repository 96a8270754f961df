/** Completion for bash, from version 3.2 on, which macOS has. */

import { quoted } from "../../shell-word.ts";
import type { CommandTree, CompletedCommand, Offer } from "./command-tree.ts";
import { STAGE_NAMES } from "./shell-words.ts";

/** The script that `aha completion bash` prints. */
export function bashScript({ commands, leaves, keys }: CommandTree): string {
  const names = commands.map(({ name }) => name).join(" ");
  const withSubcommands = commands.filter(({ subcommands }) => subcommands.length > 0);
  return `# bash completion for aha. Load it with: eval "$(aha completion bash)"
# Written by aha from its own commands; write it again after an update.

${STAGE_NAMES}

__aha_options() {
  case "$1" in
${leaves.map(({ path, options }) => `    ${quoted(path)}) echo ${quoted(options.map(({ name }) => `--${name}`).join(" "))} ;;`).join("\n")}
  esac
}

# What is offered for the value of an option ("run --out") or for an argument ("run 1").
__aha_offer() {
  case "$1" in
${leaves.flatMap(offers).join("\n")}
  esac
}

# Whether an option takes a value.
__aha_takes_value() {
  case "$1" in
    ${leaves.flatMap(({ path, options }) => options.filter(({ takesValue }) => takesValue).map(({ name }) => quoted(`${path} --${name}`))).join(" |\\\n    ")}) return 0 ;;
  esac
  return 1
}

__aha_top_keys=${quoted(keys.top.join(" "))}
__aha_stage_keys=${quoted(keys.stage.join(" "))}

# Words for --set: keys, below the stages of the recipe $1 too. $2 is what is typed.
__aha_recipe_keys() {
  local stage word
  [ -n "$1" ] && for stage in $(__aha_stage_names "$1"); do
    case "$2" in
      "$stage".*) for word in $__aha_stage_keys; do echo "$stage.$word"; done ;;
      *) echo "$stage." ;;
    esac
  done
  for word in $__aha_top_keys; do echo "$word"; done
}

__aha_files() { # words that begin with $1; $2 is a pattern for files, empty for folders only
  local path
  compgen -d -- "$1" | sed 's|$|/|'
  if [ -n "$2" ]; then
    compgen -f -- "$1" | while IFS= read -r path; do
      [ ! -d "$path" ] && [[ "$path" =~ $2 ]] && echo "$path"
    done
  fi
}

_aha() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="" path="" recipe="" word="" offer="" position=0 i=1 waits="" joined=""
  COMPREPLY=()
  # bash cuts words at "=": --set seed=2 is --set, seed, =, 2.
  if [ "$cur" = "=" ]; then cur=""; joined="\${COMP_WORDS[COMP_CWORD-1]}="
  elif [ $COMP_CWORD -gt 1 ] && [ "\${COMP_WORDS[COMP_CWORD-1]}" = "=" ]; then joined="\${COMP_WORDS[COMP_CWORD-2]}="
  fi
  while [ $i -lt $COMP_CWORD ]; do
    word="\${COMP_WORDS[i]}"
    if [ "$word" = "=" ] || [ "\${COMP_WORDS[i+1]}" = "=" -a $((i + 1)) -le $COMP_CWORD -a -n "$waits" ]; then
      [ "$word" = "=" ] && [ $((i + 1)) -lt $COMP_CWORD ] && i=$((i + 1)) && waits=""
    elif [ -n "$waits" ]; then waits=""
    else
      case "$word" in
        -*) __aha_takes_value "$path $word" && waits="$word" ;;
        *)
          case "$path" in
            "") path="$word" ;;
${withSubcommands.length === 0 ? "" : `            ${withSubcommands.map(({ name }) => name).join("|")}) path="$path $word" ;;\n`}            *) position=$((position + 1)); [ -z "$recipe" ] && recipe="$word" ;;
          esac ;;
      esac
    fi
    i=$((i + 1))
  done
  case "$path" in
    "") COMPREPLY=($(compgen -W ${quoted(`${names} --help --version`)} -- "$cur")); return ;;
${withSubcommands.map(({ name, subcommands }) => `    ${name}) COMPREPLY=($(compgen -W ${quoted(`${subcommands.join(" ")} --help`)} -- "$cur")); return ;;`).join("\n")}
  esac
  case "$joined" in
    --*) offer="$(__aha_offer "$path \${joined%=}")"; joined="" ;;
    *)
      if [ -n "$waits" ]; then offer="$(__aha_offer "$path $waits")"
      else
        case "$cur" in
          -*) COMPREPLY=($(compgen -W "$(__aha_options "$path")" -- "$cur")); return ;;
        esac
        offer="$(__aha_offer "$path $((position + 1))")"
      fi ;;
  esac
  local IFS=$'\\n'
  case "$offer" in
    :file) COMPREPLY=($(__aha_files "$cur" '.')) ;;
    :directory) COMPREPLY=($(__aha_files "$cur" '')) ;;
    :recipe) COMPREPLY=($(__aha_files "$cur" '\\.ya?ml$')) ;;
    :model) COMPREPLY=($(__aha_files "$cur" '\\.gguf$')) ;;
    :stages) COMPREPLY=($(compgen -W "$(__aha_stage_names "$recipe" | sed 's/^stages\\.//')" -- "$cur")) ;;
    :recipe-keys)
      COMPREPLY=($(compgen -W "$(IFS=$' \\t\\n'; __aha_recipe_keys "$recipe" "$joined$cur")" -- "$joined$cur"))
      # What stands before "=" is on the line already.
      [ -n "$joined" ] && COMPREPLY=("\${COMPREPLY[@]#"$joined"}") ;;
    *) COMPREPLY=($(compgen -W "$(echo "$offer" | tr ' ' '\\n')" -- "$cur")) ;;
  esac
  case "\${COMPREPLY[0]}" in
    */|*=|*.) compopt -o nospace 2>/dev/null ;;
  esac
}

complete -F _aha aha
`;
}

function offers({ path, options, arguments: kinds }: CompletedCommand): string[] {
  const ofOptions = options.flatMap(({ name, completes }) =>
    completes === undefined ? [] : [`    ${quoted(`${path} --${name}`)}) echo ${word(completes)} ;;`],
  );
  return [...ofOptions, ...kinds.map((kind, i) => `    ${quoted(`${path} ${i + 1}`)}) echo ${word(kind)} ;;`)];
}

const word = (offer: Offer) => quoted(typeof offer === "string" ? `:${offer}` : offer.join(" "));
