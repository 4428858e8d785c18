#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int child_run(void (*fn)(void *arg), void *arg)
{
    const struct rlimit no_core = {0};
    int status;
    pid_t pid;

    fflush(NULL); /* or a child that calls exit() writes it again */
    pid = fork();
    if (pid < 0)
        return -1;
    if (!pid) {
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        fn(arg);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

struct listened {
    void (*fn)(void *arg);
    void *arg;
    FILE *file;
};

static void run_listened(void *arg)
{
    const struct listened *listened = arg;

    dup2(fileno(listened->file), STDERR_FILENO);
    listened->fn(listened->arg);
}

bool child_aborts(void (*fn)(void *arg), void *arg, const char *sentence)
{
    struct listened listened = {fn, arg, tmpfile()};
    char said[4096] = "";
    bool aborts;
    int status;

    if (!listened.file)
        return false;
    status = child_run(run_listened, &listened);
    rewind(listened.file);
    said[fread(said, 1, sizeof said - 1, listened.file)] = '\0';
    fclose(listened.file);
    aborts = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
             strstr(said, sentence);
    if (!aborts)
        fprintf(stderr, "status %#x, \"%s\" instead of \"%s\"\n", status, said,
                sentence);
    return aborts;
}
