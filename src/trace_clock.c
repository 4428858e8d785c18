/*
 * The time by a counter, which is read in a third of the time that the clock
 * takes.
 */
#include "trace.h"

void task__trace_clock_set(struct trace_clock *clock)
{
    task_time time = task__clock_monotonic();
    uint64_t tick = clock_ticks();
    task_time believed =
        clock->time + (task_time)((double)(tick - clock->tick) * clock->rate);

    clock->rate =
        (double)(time - clock->first_time) / (double)(tick - clock->first_tick);
    clock->time = believed > time ? believed : time;
    clock->tick = tick;
}

void task__trace_clock_init(struct trace_clock *clock)
{
    clock->first_time = clock->time = task__clock_monotonic();
    clock->first_tick = clock->tick = clock_ticks();
    clock->rate = 0;
    while (task__clock_monotonic() - clock->first_time < 100 * TASK_MICROSECOND)
        continue;
    task__trace_clock_set(clock);
}
