/*
 * Traces: what happens in a loop, recorded.
 *
 * The switch, waking and making tasks know nothing of it: while there is a
 * trace each step comes home, and what was added to the ready queue meanwhile
 * tells who was woken or made. So a wake has the time of the end of the step
 * that caused it.
 *
 * A stream is written whenever its records fill their room; a ring when it
 * ends.
 */
#ifndef TASK_SRC_TRACE_H
#define TASK_SRC_TRACE_H

#include "chrome.h"
#include "loop.h"

/* The clock, by a counter: what time it was at which tick, at first and when
 * they were compared last. */
struct trace_clock {
    uint64_t first_tick;
    task_time first_time;
    uint64_t tick;
    task_time time;
    double rate; /* nanoseconds a tick */
};

struct trace {
    struct loop *loop;

    /* All was recorded up to `now`. What is recorded next began then, or at
     * `resumed` if that is later: what was between was not the loop's. */
    task_time now;
    task_time resumed;

    /* Who runs: a track, and its task if it is one's. A task that was not
     * watched when it began to run is pinned. */
    uint64_t track;
    struct task *task;
    bool is_pinned;

    struct ready_mark looked;
    uint64_t created; /* the highest id of a task that was told of */

    struct trace_clock clock;

    bool is_ring;
    bool is_full; /* a ring: the oldest record is that at `next` */
    size_t next;
    size_t capacity;
    bool is_ended; /* the file is */
    struct chrome_file file;
    struct record records[];
};

/* What is told to a trace. It learns of wakes, and of tasks that were
 * made, by looking after each part of a turn what was added to the ready
 * queue. */
void task__trace_step_begins(struct trace *trace,
                             const struct timed_step *step);
void task__trace_step_ends(struct trace *trace, const struct timed_step *step);
void task__trace_resume(struct trace *trace); /* the run goes on */
void task__trace_polled(struct trace *trace);
void task__trace_timers_fired(struct trace *trace);

/* The process dies: write what there is, also in a signal handler. */
void task__trace_die(struct loop *loop);

/* Something has failed, before which a ring shows what was. */
void task__trace_fail(struct loop *loop);

/* The loop ends; or, in the child of a fork, is not ours. */
void task__trace_destroy(struct loop *loop);

/* Takes a moment, to compare them for the first time. */
void task__trace_clock_init(struct trace_clock *clock);

/* Compare them again: the longer ago the first time the more exactly. Time does
 * not go back by it. */
void task__trace_clock_set(struct trace_clock *clock);

static inline task_time trace_clock_now(const struct trace_clock *clock)
{
    return clock->time +
           (task_time)((double)(clock_ticks() - clock->tick) * clock->rate);
}

/* Begin to record: what is there already, and whoever runs. */
void task__trace_begin(struct trace *trace);

/* Whoever runs is recorded until now; then nothing is any more. */
void task__trace_end(struct trace *trace);

/* The name of a task, for its track. */
void task__trace_copy_name(struct record *record, const struct task *task);

/* Write all records, and forget them. */
void task__trace_write(struct trace *trace);

#endif
