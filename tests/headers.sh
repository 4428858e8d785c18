#!/usr/bin/env bash
# Every public header compiles alone and twice, as C11 and as C++17, with every
# compiler there is, without a warning.
. "$(dirname "$0")/support/common.sh"

warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror)
cd "$root/include"
mapfile -t headers < <(find . -name '*.h' -printf '%P\n' | sort)
((${#headers[@]} > 1)) || fail 'no headers'

compilers=0
# check <compiler> <language> <standard> [flag...]
check() {
    local compiler=$1 language=$2 standard=$3 header
    shift 3
    have "$compiler" || return 0
    echo "$compiler -std=$standard"
    compilers=$((compilers + 1))
    for header in "${headers[@]}"; do
        printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
            "$compiler" -x "$language" -std="$standard" "${warnings[@]}" "$@" \
                -I . -fsyntax-only - || fail "$header with $compiler"
    done
    printf '%s\n' '#include <task.h>' 'struct task_select_case of(int fd, int events);' \
        'struct task_select_case of(int fd, int events)' \
        '{ return TASK_SELECT_FD(fd, events); }' |
        "$compiler" -x "$language" -std="$standard" "${warnings[@]}" "$@" \
            -I . -fsyntax-only - || fail "TASK_SELECT_FD with $compiler"
}
check gcc c c11 -Wstrict-prototypes
check clang c c11 -Wstrict-prototypes
check g++ c++ c++17 -Wold-style-cast
check clang++ c++ c++17 -Wold-style-cast
((compilers > 0)) || skip 'no gcc or clang'
