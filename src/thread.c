/*
 * The user's jobs for worker threads.
 */
#include "worker.h"

#include <errno.h>
#include <task/thread.h>

int task_to_thread(task_fn *fn, void *arg)
{
    return fn ? task__worker_run(LANE_USERS, fn, arg) : -EINVAL;
}
