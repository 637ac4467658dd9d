# complete.bash FILE WORD...: what the completions in FILE offer for the last word.
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_equipoise
printf '%s\n' "${COMPREPLY[@]}"
