#!/bin/sh
# Runs the command lines of a transcript and compares what they do with what it says.
#
#     run.sh TRANSCRIPT           compares; shows the differences
#     run.sh --update TRANSCRIPT  writes the transcript anew
#
# A line "$ command" is run by sh in a folder that is empty at first and the transcript's own. It is followed by the
# lines of standard output after "| ", those of standard error after "! ", and the exit code in brackets unless it is 0.
# Lines that start with # and empty lines are kept. In the environment: EQUIPOISE, the tool, and VERSION, which
# transcripts write as @VERSION@.
set -eu

update=false
if [ "$1" = --update ]; then
    update=true
    shift
fi
transcript=$(realpath "$1")
TESTS=$(dirname "$transcript")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/here"
ln -s "$(realpath "$EQUIPOISE")" "$work/bin/equipoise"
PATH=$work/bin:$PATH
export PATH TESTS

show() {
    sed -e "s/^/$1 /" -e 's/ *$//' -e "s/equipoise $VERSION/equipoise @VERSION@/" "$2"
}

cd "$work/here"
while IFS= read -r line; do
    case $line in
    '$ '*)
        code=0
        sh -c "${line#??}" >"$work/out" 2>"$work/err" </dev/null || code=$?
        printf '%s\n' "$line"
        show '|' "$work/out"
        show '!' "$work/err"
        [ "$code" = 0 ] || printf '[%d]\n' "$code"
        ;;
    '#'* | '') printf '%s\n' "$line" ;;
    esac
done <"$transcript" >"$work/transcript"

if $update; then
    cp "$work/transcript" "$transcript"
else
    diff -u "$transcript" "$work/transcript"
fi
