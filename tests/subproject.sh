#!/usr/bin/env bash
# libtask as a part of another CMake project: it brings the library alone, whatever
# the project's flags and folders are, and is found where those say.
. "$(dirname "$0")/support/common.sh"

cd "$tmp"

cat >program.c <<'END'
#include <errno.h>
#include <stdio.h>
#include <task.h>

static void on_error(const struct loop_error *error, void *arg)
{
    (void)arg;
    fputs(error->message, stderr);
}

static int __attribute__((noinline)) misuses(void *arg)
{
    return task_await(task_current()) == -EDEADLK ? *(const int *)arg : 1;
}

int main(void)
{
    struct loop *loop = loop_new(
        &(struct loop_options){.debug = true, .on_error = on_error});
    int number = 42;
    int status = loop_run_main(loop, misuses, &number);

    loop_free(loop);
    return status;
}
END

cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.16)
project(program LANGUAGES C)
set(TASK_INSTALL ON CACHE BOOL "")
add_subdirectory("$root" task)
add_executable(program program.c)
target_link_libraries(program PRIVATE task)
END

protection=-fcf-protection=full
$CC -Werror $protection -c program.c -I"$root/include" 2>/dev/null || protection=
cmake -S . -B build -DCMAKE_C_FLAGS="$CFLAGS -flto=auto -O2 $protection" \
    -DCMAKE_UNITY_BUILD=ON -DCMAKE_INSTALL_PREFIX="$tmp/prefix" \
    -DCMAKE_INSTALL_LIBDIR="$tmp/lib" \
    -DCMAKE_INSTALL_INCLUDEDIR=headers/libtask >log 2>&1 || { cat log; false; }
cmake --build build -j2 >log 2>&1 || { cat log; false; }
! grep -i warning log || fail 'there are warnings'
[[ -z $(find build -name 'examples*' -o -name 'tests*') ]] || fail 'it builds too much'

status=0
build/program 2>said || status=$?
((status == 42)) || fail "exit code $status"
matches 'in misuses' said || fail "another place: $(cat said)"
if [[ $protection ]] && have readelf; then
    readelf -n build/task/libtask.a >notes
    ! matches SHSTK notes || fail 'shadow stacks are said to be kept'
    matches IBT notes || fail 'indirect branches are not marked'
fi

cmake --install build >/dev/null
if have pkg-config; then
    export PKG_CONFIG_PATH=$tmp/lib/pkgconfig
    # shellcheck disable=SC2046,SC2086 # words are wanted
    $CC $CFLAGS program.c -o by-pkg-config $(pkg-config --cflags --libs task)
fi
cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.16)
project(program LANGUAGES C)
find_package(task REQUIRED)
add_executable(program program.c)
target_link_libraries(program PRIVATE task::task)
END
cmake -S . -B found -DCMAKE_PREFIX_PATH="$tmp" -DCMAKE_C_FLAGS="$CFLAGS" \
    >log 2>&1 || { cat log; false; }
cmake --build found >log 2>&1 || { cat log; false; }
