/** Completion for zsh. */

import { quoted } from "../../shell-word.ts";
import type { CommandTree, CompletedCommand, CompletedOption, Offer } from "./command-tree.ts";
import { STAGE_NAMES } from "./shell-words.ts";

/** The script that `aha completion zsh` prints. */
export function zshScript({ commands, leaves, keys }: CommandTree): string {
  const withSubcommands = commands.filter(({ subcommands }) => subcommands.length > 0);
  return `#compdef aha
# zsh completion for aha. Load it after compinit with: eval "$(aha completion zsh)"
# Written by aha from its own commands; write it again after an update.

${STAGE_NAMES}

typeset -ga __aha_top_keys __aha_stage_keys
__aha_top_keys=(${keys.top.map(quoted).join(" ")})
__aha_stage_keys=(${keys.stage.map(quoted).join(" ")})

# The recipe on the line: the first word that is a file of YAML.
__aha_recipe() {
  local word
  for word in $words; do
    [[ $word == *.(yaml|yml) && -f $word ]] && { print -r -- $word; return }
  done
}

__aha_stages() {
  local -a names
  names=(\${(f)"$(__aha_stage_names "$(__aha_recipe)")"})
  compadd -- \${names#stages.}
}

__aha_recipe_keys() {
  local -a all names
  local name
  all=($__aha_top_keys)
  names=(\${(f)"$(__aha_stage_names "$(__aha_recipe)")"})
  for name in $names; do all+=($name.$^__aha_stage_keys); done
  # Of a key that is not chosen yet its values are too many.
  if [[ $PREFIX != *=* ]]; then
    all=(\${(M)all:#*=})
  fi
  compadd -S '' -- $all
}

_aha() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  if (( CURRENT == 2 )); then
    local -a commands
    commands=(${commands.map(({ name, summary }) => quoted(`${name}:${summary}`)).join(" ")})
    _describe command commands
    compadd -- --help --version
    return
  fi
  local command=$words[2]
  shift words; (( CURRENT-- ))
  case $command in
${withSubcommands.map(subcommandCase).join("\n")}
  esac
  case $command in
${leaves.map(leafCase).join("\n")}
  esac
}

if [[ $funcstack[1] == _aha ]]; then _aha "$@"; else compdef _aha aha; fi
`;
}

function subcommandCase({ name, subcommands }: CommandTree["commands"][number]): string {
  return `    ${name})
      if (( CURRENT == 2 )); then compadd -- ${subcommands.join(" ")} --help; return; fi
      command="$command $words[2]"; shift words; (( CURRENT-- )) ;;`;
}

function leafCase({ path, options, arguments: kinds }: CompletedCommand): string {
  const specs = [...options.map(optionSpec), ...kinds.map((kind, i) => quoted(`${i + 1}: :${action(kind)}`))];
  return `    ${quoted(path)}) _arguments -s ${specs.join(" ")} ;;`;
}

function optionSpec({ name, takesValue, isRepeated, completes, description }: CompletedOption): string {
  const about = description === "" ? "" : `[${escaped(description)}]`;
  const value = takesValue ? `:${name}:${completes === undefined ? " " : action(completes)}` : "";
  return quoted(`${isRepeated ? "*" : ""}--${name}${takesValue ? "=" : ""}${about}${value}`);
}

/** Inside a specification brackets and colons have a meaning. */
const escaped = (text: string) => text.replace(/[\\[\]:]/g, "\\$&");

function action(offer: Offer): string {
  switch (offer) {
    case "file":
      return "_files";
    case "directory":
      return "_files -/";
    case "recipe":
      return '_files -g "*.(yaml|yml)"';
    case "model":
      return '_files -g "*.gguf"';
    case "stages":
      return "__aha_stages";
    case "recipe-keys":
      return "__aha_recipe_keys";
    default:
      return offer.length === 0 ? " " : `(${offer.map(escaped).join(" ")})`;
  }
}
