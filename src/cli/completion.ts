/** `aha completion`: a script that makes a shell complete the program's commands, options and values. */

import { ConfigError, nearestName } from "../errors.ts";
import type { Command, CommandList } from "./command.ts";
import { bashScript } from "./completion/bash.ts";
import { type CommandTree, commandTree } from "./completion/command-tree.ts";
import { fishScript } from "./completion/fish.ts";
import { zshScript } from "./completion/zsh.ts";
import { parseOptions } from "./parse-options.ts";

const HELP = `Usage: aha completion bash|zsh|fish

Prints a script that makes the shell complete what is typed after aha: commands, options, names of tasks, trainers and
rewards, recipe files, stages, and for --set the keys of recipes with their values. Print it again after an update.

  bash   in ~/.bashrc:     eval "$(aha completion bash)"
  zsh    in ~/.zshrc, after compinit:     eval "$(aha completion zsh)"
         or: aha completion zsh > FOLDER/_aha, a folder of $fpath
  fish   aha completion fish > ~/.config/fish/completions/aha.fish
`;

const SHELLS: Readonly<Record<string, (tree: CommandTree) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** The command; `commands` are all of the program, this one among them. */
export function completionCommand(commands: CommandList): Command {
  return {
    help: HELP,
    syntax: { options: {}, arguments: [() => Object.keys(SHELLS)] },
    run: async (args, { out }) => {
      const { positionals } = parseOptions("completion", args, {}, ["SHELL"]);
      const shell = positionals[0]!;
      if (!Object.hasOwn(SHELLS, shell)) {
        const nearest = nearestName(shell, Object.keys(SHELLS));
        const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
        throw new ConfigError(
          `aha completion: expected ${Object.keys(SHELLS).join(", ")}, got ${JSON.stringify(shell)}.${hint}`,
        );
      }
      out(SHELLS[shell]!(await commandTree(commands)));
      return 0;
    },
  };
}
