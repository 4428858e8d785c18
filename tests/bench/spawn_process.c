/* What it costs to start /bin/true and to wait for its end, beside posix_spawn
 * and fork with waitpid. All in turn, some at a time, so that what disturbs one
 * disturbs the others.
 *
 * usage: spawn_process [MEGABYTES]: memory that the parent has touched; 0 */
#include "bench.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURNS = 20, WAYS = 3 };

static char program[] = "/bin/true";
static char *argv[] = {program, NULL};

static int by_library(void)
{
    struct task_process *process;
    int status = task_process_exec(&process, (const char *const *)argv, NULL);

    if (status < 0)
        return status;
    status = task_process_wait(process);
    task_process_free(process);
    return status;
}

static int wait_for(pid_t pid)
{
    int status;

    return waitpid(pid, &status, 0) == pid ? status : -errno;
}

static int by_posix_spawn(void)
{
    pid_t pid;
    int error = posix_spawn(&pid, program, NULL, NULL, argv, environ);

    return error ? -error : wait_for(pid);
}

static int by_fork(void)
{
    pid_t pid = fork();

    if (!pid) {
        execv(program, argv);
        _exit(127);
    }
    return pid < 0 ? -errno : wait_for(pid);
}

static const struct way {
    int (*start_and_wait)(void);
    int n; /* at a time */
} ways[WAYS] = {
    {by_library, 10},
    {by_posix_spawn, 10},
    {by_fork, 1}, /* which takes long in a large parent */
};

/* How long some of these take. */
static uint64_t measure(const struct way *way, const char *name)
{
    uint64_t began = bench_clock();

    for (int i = 0; i < way->n; i++)
        bench_check(way->start_and_wait() ? -ECHILD : 0, name);
    return bench_clock() - began;
}

static void measure_window(struct bench_case cases[WAYS])
{
    uint64_t took[WAYS] = {0};

    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < WAYS; i++)
            took[i] += measure(&ways[i], cases[i].name);
    for (int i = 0; i < WAYS; i++)
        bench_add(&cases[i], (double)took[i] / (double)cases[i].operations);
}

static int measure_all(void *arg)
{
    static const char *const names[WAYS] = {"start+wait", "posix_spawn+waitpid",
                                            "fork+waitpid"};
    char full[WAYS][48];
    struct bench_case cases[WAYS] = {{0}};
    long megabytes = *(long *)arg;

    for (int i = 0; i < WAYS; i++) {
        if (megabytes > 0)
            snprintf(full[i], sizeof full[i], "%s, %ld MB", names[i],
                     megabytes);
        else
            snprintf(full[i], sizeof full[i], "%s", names[i]);
        cases[i].name = full[i];
        cases[i].operations = ways[i].n * TURNS;
        measure(&ways[i], cases[i].name);
    }
    for (int i = 0; i < BENCH_WINDOWS; i++)
        measure_window(cases);
    for (int i = 0; i < WAYS; i++)
        bench_report(&cases[i]);
    return 0;
}

int main(int argc, char *words[])
{
    long megabytes = argc > 1 ? atol(words[1]) : 0;
    size_t size = ((size_t)megabytes << 20) + 1;
    static char *volatile memory; /* so that it is touched indeed */

    memory = malloc(size);
    if (!memory)
        bench_check(-ENOMEM, "malloc");
    memset(memory, 1, size);
    bench_run(measure_all, &megabytes);
    free(memory);
    return 0;
}
