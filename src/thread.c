/*
 * The user's jobs for worker threads.
 */
#include "worker.h"

#include <errno.h>
#include <task/thread.h>

int task_to_thread(task_fn *fn, void *arg)
{
    if (!scheduler_self())
        return MISUSE(-EPERM, OUTSIDE_A_TASK);
    if (!fn)
        return MISUSE(-EINVAL, "the function is NULL");
    return task__worker_run(LANE_USERS, fn, arg);
}
