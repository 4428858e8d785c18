/*
 * Which kind of wake-up there is.
 */
#include "wakeup.h"

#include <errno.h>
#include <unistd.h>

/* Without eventfd in the kernel, or with a filter that forbids it. */
static bool is_missing(int error)
{
    return error == -ENOSYS || error == -EPERM || error == -EINVAL;
}

int task__wakeup_open(struct wakeup *wakeup)
{
    int error;

    wakeup->kind = WAKEUP_BEST;
    error = wakeup->kind->open(&wakeup->reader, &wakeup->writer);
    if (is_missing(error)) {
        wakeup->kind = &task__wakeup_pipe;
        error = wakeup->kind->open(&wakeup->reader, &wakeup->writer);
    }
    if (error)
        wakeup->reader = wakeup->writer = -1;
    return error;
}

void task__wakeup_close(struct wakeup *wakeup)
{
    if (wakeup->writer >= 0 && wakeup->writer != wakeup->reader)
        close(wakeup->writer);
    if (wakeup->reader >= 0)
        close(wakeup->reader);
    wakeup->reader = wakeup->writer = -1;
}
