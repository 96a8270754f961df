# What zsh offers for a line: `zsh -f capture-completion.zsh SCRIPT LINE`, one word on each line. A shell of its own is typed
# into over a pseudo-terminal, and its `compadd` says what it was given that fits.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PROMPT=; autoload -Uz compinit; compinit -u -D'
zpty -w shell "source ${(q)1}"
zpty -w shell 'compadd () {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  typeset -a fitting
  builtin compadd -A fitting "$@"
  [[ -n $fitting ]] && print -rl -- "" "OFFERED:"${^fitting}
  return 1
}'
zpty -w shell 'finished () { print -r -- "THE-END" }; comppostfuncs=(finished); bindkey "^I" complete-word; print READY'
while zpty -r shell line; do [[ $line == *READY* && $line != *print* ]] && break; done
zpty -n -w shell "$2"$'\t'
while zpty -r shell line; do
  line=${line//$'\r'/}
  [[ $line == *THE-END* ]] && break
  for word in ${(f)line}; do [[ $word == OFFERED:* ]] && print -r -- ${word#OFFERED:}; done
done
zpty -d shell
