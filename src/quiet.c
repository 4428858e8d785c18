/*
 * SIGPIPE is held back in this thread, and what has come of it is taken away.
 */
#include "quiet.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

static bool sigpipe_is_pending(void)
{
    sigset_t pending;

    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE);
}

ssize_t task__quietly(int fd, const struct iovec parts[], int n,
                      write_fn *write)
{
    static const struct timespec at_once = {0, 0};
    sigset_t sigpipe;
    sigset_t before;
    bool was_pending;
    ssize_t result;

    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
    was_pending = sigismember(&before, SIGPIPE) && sigpipe_is_pending();
    result = write(fd, parts, n);
    if (result == -EPIPE && !was_pending)
        sigtimedwait(&sigpipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}
