/*
 * Reading the clock.
 */
#include "clock.h"

#include <time.h>

task_time task__clock_now(const struct clock *clock)
{
    struct timespec now;

    if (clock->is_virtual)
        return clock->now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (task_time)now.tv_sec * TASK_SECOND + now.tv_nsec;
}
