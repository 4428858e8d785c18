/* The benchmarks in the form of the peers' programs, for running side by side.
 *
 * usage: peer_form w1 | w2 N | w3 | w4 N | w5 | w6 pp | w6 pipe | w8
 *
 * Runs the program of that workload, which lies beside this one. */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *workload, *which, *program; /* which: NULL: the only one */
} programs[] = {
    {"w1", NULL, "switch"},     {"w2", NULL, "yield"},
    {"w3", NULL, "spawn"},      {"w4", NULL, "parked"},
    {"w5", NULL, "timers"},     {"w6", "pp", "pingpong"},
    {"w6", "pipe", "pipeline"}, {"w8", NULL, "remote"},
};

static const char *program_of(const char *workload, const char *which)
{
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (strcmp(programs[i].workload, workload) != 0)
            continue;
        if (!programs[i].which || (which && !strcmp(programs[i].which, which)))
            return programs[i].program;
    }
    return NULL;
}

/* @p path: this program's path, becomes that of @p program beside it. */
static int beside(char path[PATH_MAX], const char *program)
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n <= 0 || (size_t)n + strlen(program) >= PATH_MAX)
        return -1;
    strcpy(path + n, program);
    return 0;
}

int main(int argc, char **argv)
{
    const char *program = argc > 1 ? program_of(argv[1], argv[2]) : NULL;
    char path[PATH_MAX];

    if (!program) {
        fprintf(stderr,
                "usage: %s w1 | w2 N | w3 | w4 N | w5 | w6 pp | w6 pipe | w8\n",
                argv[0]);
        return 2;
    }
    if (!beside(path, program) && !setenv("BENCH_FORM", "peer", 1))
        execv(path, argv + 1);
    perror(program);
    return 1;
}
