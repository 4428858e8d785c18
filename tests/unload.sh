#!/usr/bin/env bash
# A shared object that libtask.a is part of may be closed when its loops have been
# freed: threads that ran one end in peace, and nothing is used up by doing so again
# and again.
. "$(dirname "$0")/support/common.sh"

cd "$tmp"

cat >plugin.c <<'END'
#include <task.h>

int visit(void);

static void note(void *noted)
{
    *(int *)noted = 1;
}

static int answer(void *arg)
{
    return *(const int *)arg;
}

static int run(void *arg)
{
    struct loop_remote *remote = loop_remote_open();
    int noted = 0;

    loop_remote_call(remote, note, &noted);
    while (!noted)
        task_yield();
    loop_remote_close(remote);
    return task_to_thread(answer, arg);
}

int visit(void)
{
    int number = 42;

    return loop_run(run, &number);
}
END

cat >program.c <<'END'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static void *visit(void *path)
{
    void *plugin = dlopen(path, RTLD_NOW);
    int (*fn)(void) = NULL;
    int status;

    if (!plugin) {
        fputs(dlerror(), stderr);
        return "not loaded";
    }
    *(void **)&fn = dlsym(plugin, "visit");
    status = fn();
    dlclose(plugin);
    return dlopen(path, RTLD_NOW | RTLD_NOLOAD) ? "not closed"
           : status == 42                       ? NULL
                                                : "another status";
}

int main(int argc, char **argv)
{
    pthread_key_t key;

    for (int i = 0; argc == 2 && i < 1100; i++) {
        pthread_t thread;
        void *complaint;

        if (pthread_create(&thread, NULL, visit, argv[1]) ||
            pthread_join(thread, &complaint))
            return 1;
        if (complaint) {
            fprintf(stderr, "time %d: %s\n", i, (const char *)complaint);
            return 1;
        }
    }
    return pthread_key_create(&key, NULL);
}
END

# shellcheck disable=SC2086 # words are wanted
$CC -std=c11 $CFLAGS -fPIC -shared -I"$root/include" plugin.c "$build/libtask.a" \
    -pthread -o plugin.so
# shellcheck disable=SC2086
$CC -std=c11 $CFLAGS program.c -pthread -ldl -o program
# What a signal handler may look at, a few bytes a loop, is kept for the process's life.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
./program ./plugin.so || fail "exit code $?"
