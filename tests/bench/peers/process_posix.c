/* The limit: posix_spawn and waitpid, and no loop that goes on meanwhile. */
#include "../measure.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>

enum { PROCESSES = 200 };

static int start_and_wait(void *arg)
{
    static char program[] = "/bin/true";
    char *argv[] = {program, NULL};

    (void)arg;
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        pid_t pid;
        int error = posix_spawn(&pid, program, NULL, NULL, argv, environ);

        if (error)
            return -error;
        if (waitpid(pid, &status, 0) != pid || status)
            return -ECHILD;
    }
    return 0;
}

int main(void)
{
    struct bench_case c = {"start+wait", .operations = PROCESSES};

    bench_rounds(&c, start_and_wait, NULL);
    return 0;
}
