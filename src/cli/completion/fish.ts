/** Completion for fish. */

import type { CommandTree, CompletedCommand, CompletedOption, Offer } from "./command-tree.ts";
import { stageNamesProgram } from "./shell-words.ts";

/** Text as a word of fish: between single quotes a backslash keeps its meaning. */
const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** The script that `aha completion fish` prints. */
export function fishScript({ commands, leaves, keys }: CommandTree): string {
  const withSubcommands = commands.filter(({ subcommands }) => subcommands.length > 0);
  const takesValue = leaves.flatMap(({ path, options }) =>
    options.filter((option) => option.takesValue).map(({ name }) => `${path} --${name}`),
  );
  return `# fish completion for aha. Keep it as ~/.config/fish/completions/aha.fish
# Written by aha from its own commands; write it again after an update.

set -g __aha_values ${takesValue.map(quoted).join(" ")}
set -g __aha_top_keys ${keys.top.map(quoted).join(" ")}
set -g __aha_stage_keys ${keys.stage.map(quoted).join(" ")}

# The command on the line with its subcommand, then its arguments, each on a line.
function __aha_words
    set -l words (commandline -opc)
    set -l path ''
    set -l arguments
    set -l waits ''
    for word in $words[2..-1]
        if test -n "$waits"
            set waits ''
        else if string match -q -- '-*' $word
            contains -- "$path $word" $__aha_values; and set waits $word
        else if test -z "$path"
            set path $word
        else if contains -- $path ${withSubcommands.map(({ name }) => name).join(" ") || "''"}
            set path "$path $word"
        else
            set -a arguments $word
        end
    end
    echo $path
    for argument in $arguments
        echo $argument
    end
end

function __aha_at # whether the command on the line is $argv
    set -l words (__aha_words)
    test "$words[1]" = "$argv"
end

function __aha_argument # whether argument $argv[2] of the command $argv[1] is typed
    set -l words (__aha_words)
    test "$words[1]" = "$argv[1]"; and test (count $words) -eq $argv[2]
end

function __aha_stage_names
    set -l words (__aha_words)
    test (count $words) -gt 1; and test -f "$words[2]"; and awk ${quoted(stageNamesProgram())} $words[2]
end

function __aha_recipe_keys
    printf '%s\\n' $__aha_top_keys
    for stage in (__aha_stage_names)
        printf '%s\\n' $stage.$__aha_stage_keys
    end
end

complete -c aha -f
complete -c aha -n '__aha_at ""' -l help -d 'the commands'
complete -c aha -n '__aha_at ""' -l version -d 'the version'
${commands.map(({ name, summary }) => `complete -c aha -n '__aha_at ""' -a ${name} -d ${quoted(summary)}`).join("\n")}
${withSubcommands.flatMap(({ name, subcommands }) => subcommands.map((own) => `complete -c aha -n '__aha_at ${name}' -a ${own}`)).join("\n")}
${leaves.flatMap(linesOf).join("\n")}
`;
}

function linesOf({ path, options, arguments: kinds }: CompletedCommand): string[] {
  const at = `-n ${quoted(`__aha_at ${path}`)}`;
  return [
    ...options.map((option) => `complete -c aha ${at} -l ${option.name}${wanted(option)}${describedBy(option)}`),
    ...kinds.map((kind, i) => `complete -c aha -n ${quoted(`__aha_argument "${path}" ${i + 1}`)} ${wordsOf(kind)}`),
  ];
}

const describedBy = ({ description }: CompletedOption) => (description === "" ? "" : ` -d ${quoted(description)}`);

function wanted({ takesValue, completes }: CompletedOption): string {
  if (!takesValue) return "";
  if (completes === undefined) return " -x";
  return completes === "file" ? " -r -F" : ` -x ${wordsOf(completes)}`;
}

/** What is offered, as the arguments of fish's \`complete\`. */
function wordsOf(offer: Offer): string {
  switch (offer) {
    case "file":
      return "-F";
    case "directory":
      return "-a '(__fish_complete_directories (commandline -ct))'";
    case "recipe":
      return "-k -a '(__fish_complete_suffix .yaml; __fish_complete_suffix .yml)'";
    case "model":
      return "-k -a '(__fish_complete_suffix .gguf)'";
    case "stages":
      return '-a \'(__aha_stage_names | string replace -r "^stages[.]" "")\'';
    case "recipe-keys":
      return "-a '(__aha_recipe_keys)'";
    default:
      return `-a ${quoted(offer.join(" "))}`;
  }
}
