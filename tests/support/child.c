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

int child_listen(void (*fn)(void *arg), void *arg, char *said, size_t size)
{
    struct listened listened = {fn, arg, tmpfile()};
    int status;

    if (!listened.file)
        return -1;
    status = child_run(run_listened, &listened);
    rewind(listened.file);
    said[fread(said, 1, size - 1, listened.file)] = '\0';
    fclose(listened.file);
    return status;
}

char *masked(char *said)
{
    char *to = said;

    for (const char *from = said; *from;) {
        if (!strncmp(from, "==", 2) && (to == said || to[-1] == '\n')) {
            from += strcspn(from, "\n");
            from += *from == '\n';
        } else if (*from == '/' && (to == said || strchr(" \"(\n", to[-1]))) {
            const char *end = from + strcspn(from, " \":,)\n");

            while (memchr(from, '/', (size_t)(end - from)))
                from++;
        } else if (from[0] == '0' && from[1] == 'x') {
            *to++ = *from++;
            *to++ = *from++;
            from += strspn(from, "0123456789abcdef");
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return said;
}

bool child_aborts(void (*fn)(void *arg), void *arg, const char *sentence)
{
    char said[4096] = "";
    int status = child_listen(fn, arg, said, sizeof said);
    bool aborts = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
                  strstr(said, sentence);

    if (!aborts)
        fprintf(stderr, "status %#x, \"%s\" instead of \"%s\"\n", status, said,
                sentence);
    return aborts;
}
