"""Completion for bash and zsh: commands, cases and the groups' choices as of now."""

from collections.abc import Sequence

from sciml import catalogue

_BASH = """\
_sciml() {
  local line=${COMP_LINE:0:COMP_POINT} words
  local word=${line##* }
  if [ "$COMP_CWORD" -eq 1 ]; then words="@commands@"
  else
    case "${COMP_WORDS[1]}" in
      run|show|submit) words="@cases@ @choices@" ;;
      list) words="@kinds@" ;;
      completion) words="bash zsh" ;;
      *) COMPREPLY=( $(compgen -f -- "$word") ); return ;;
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$word") )
  case "$word" in
    *=*) COMPREPLY=( "${COMPREPLY[@]#*=}" ) ;;  # bash splits words at "="
  esac
}
complete -F _sciml sciml
"""


def script(shell: str, commands: Sequence[str]) -> str:
    """A script to be sourced by the shell; zsh reads the bash form through `bashcompinit`."""
    folders = dict.fromkeys(name.split("/")[0] for name in catalogue.cases())
    choices = [f"{group}={name}" for group, names in catalogue.groups().items() for name in names]
    choices += [f"hpc={name}" for name in catalogue.sites()]
    words = {
        "@commands@": commands,
        "@cases@": [*folders, *catalogue.cases()],
        "@choices@": choices,
        "@kinds@": [*catalogue.kinds(), "runs"],
    }
    text = _BASH
    for mark, names in words.items():
        text = text.replace(mark, " ".join(names))
    return "autoload -U +X bashcompinit && bashcompinit\n" + text if shell == "zsh" else text
