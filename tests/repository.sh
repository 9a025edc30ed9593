#!/usr/bin/env bash
# What can be tested of this repository with nothing but bash and git: it is what `make run` runs inside of a guest, and
# CI outside of one. It must not need a compiler, the network, or anything that is not committed.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
passed=0
failed=0

# check NAME COMMAND...: one test.
check() {
    local name=$1 said
    shift
    if said=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n%s\n' "$name" "$said"
    fi
}

files() {
    git ls-files -- "$@"
}

scripts_parse() {
    local script
    for script in $(files scripts .ci tests | xargs grep -l '^#!/usr/bin/env bash'); do
        bash -n "$script" || return
        [[ -x $script ]] || { echo "$script is not executable" && return 1; }
    done
}

setup_refuses_nonsense() {
    local code=0
    scripts/setup --for nonsense >/dev/null 2>&1 || code=$?
    [[ $code -eq 2 ]] || { echo "scripts/setup ended with $code" && return 1; }
}

files_say_what_they_are_for() {
    local file bad=0
    for file in $(files 'crates/*/src/*.rs' 'xtask/src/*.rs'); do
        read -r line <"$file"
        [[ $line == '//!'* ]] || { echo "$file" && bad=1; }
    done
    return $bad
}

links_lead_somewhere() {
    local page target bad=0
    for page in $(files '*.md'); do
        for target in $(grep -o '](\([^)#:]*\)[)#]' "$page" | sed 's/^](//; s/[)#]$//'); do
            [[ -e $(dirname "$page")/$target ]] || { echo "$page: $target" && bad=1; }
        done
    done
    return $bad
}

rooms_are_on_the_map() {
    local room bad=0
    for room in crates/*/; do
        grep -q "\`${room%/}\`" ARCHITECTURE.md || { echo "$room" && bad=1; }
    done
    return $bad
}

objects_are_whole() {
    git fsck --no-dangling --no-progress
}

check 'scripts parse and can be run' scripts_parse
check 'setup refuses nonsense' setup_refuses_nonsense
check 'every file says what it is for' files_say_what_they_are_for
check 'links lead somewhere' links_lead_somewhere
check 'every room is on the map' rooms_are_on_the_map
check 'the objects are whole' objects_are_whole
printf '%s passed, %s failed\n' "$passed" "$failed"
[[ $failed -eq 0 ]]
