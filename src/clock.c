/*
 * Reading the clock.
 */
#include "clock.h"

task_time task__clock_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (task_time)now.tv_sec * TASK_SECOND + now.tv_nsec;
}

task_time task__clock_now(const struct clock *clock)
{
    return clock->is_virtual ? clock->now : task__clock_monotonic();
}
