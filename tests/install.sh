#!/usr/bin/env bash
# An installed libtask is found by pkg-config and by CMake's find_package(), and
# a program outside the tree builds and runs either way. All agree on the version.
. "$(dirname "$0")/support/common.sh"

prefix=$tmp/prefix
cmake --install "$build" --prefix "$prefix" >/dev/null
mkdir "$tmp/program"
cd "$tmp/program"

cat >program.c <<'END'
#include <stdio.h>
#include <task.h>

static int answer(void *arg)
{
    task_yield();
    return *(const int *)arg;
}

static int run(void *arg)
{
    return task_await(task_create(answer, arg));
}

int main(void)
{
    int number = 42;

    printf("%d %s %d.%d.%d\n", loop_run(run, &number), task_version(),
           TASK_VERSION_MAJOR, TASK_VERSION_MINOR, TASK_VERSION_PATCH);
    return 0;
}
END

pc=$(find "$prefix" -name task.pc)
version=$(sed -n 's/^Version: //p' "$pc")
wanted="42 $version $version"

if have pkg-config; then
    export PKG_CONFIG_PATH=${pc%/*}
    # The prefix is not where the build thought it would be.
    # shellcheck disable=SC2046,SC2086 # words are wanted
    $CC -std=c11 -Wall -Wextra -Werror $CFLAGS program.c -o by-pkg-config \
        $(pkg-config --cflags --libs task)
    [[ $(./by-pkg-config) == "$wanted" ]] || fail 'by pkg-config: other output'
else
    echo 'no pkg-config: not tried'
fi

cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.16)
project(program LANGUAGES C)
find_package(task ${version%.*} REQUIRED)
add_executable(program program.c)
target_link_libraries(program PRIVATE task::task)
END
cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" >log 2>&1 || { cat log; false; }
cmake --build build >log 2>&1 || { cat log; false; }
[[ $(build/program) == "$wanted" ]] || fail 'by CMake: other output'

sed -i "s/task ${version%.*} /task 99.0 /" CMakeLists.txt
! cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" >log 2>&1 ||
    fail 'version 99.0 is found'
