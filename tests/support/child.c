#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
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
