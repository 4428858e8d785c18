/*
 * Which way there is of being told of a child's end; and the end of one that
 * nobody wants.
 */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

const struct child_kind *task__child_best = CHILD_BEST;

/* Without pidfds in the kernel, or with a filter that forbids them. */
static bool is_missing(int error)
{
    return error == -ENOSYS || error == -EPERM || error == -EINVAL;
}

int task__child_open(struct child *child, pid_t pid, int pidfd)
{
    int error;

    *child = (struct child){
        .kind = __atomic_load_n(&task__child_best, __ATOMIC_RELAXED),
        .pid = pid,
        .fd = pidfd,
    };
    if (pidfd >= 0 && child->kind == CHILD_BEST)
        return 0;
    if (pidfd >= 0)
        close(pidfd);
    error = child->kind->open(child);
    if (is_missing(error)) {
        child->kind = &task__child_thread;
        __atomic_store_n(&task__child_best, child->kind, __ATOMIC_RELAXED);
        error = child->kind->open(child);
    }
    return error;
}

void task__child_end(struct child *child)
{
    int status;

    child->kind->send(child, SIGKILL);
    child->kind->take(child, true, &status);
}
