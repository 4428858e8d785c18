/*
 * What is recorded of each part of a turn.
 */
#include "trace.h"

#include "step.h"
#include "switch.h"

#include <string.h>

/* How often the counter is compared with the clock. */
#define COMPARE (10 * TASK_MILLISECOND)

/* Let time go on to the present; when it was before. */
static task_time go_on(struct trace *trace)
{
    task_time from = trace->resumed > trace->now ? trace->resumed : trace->now;
    task_time now = trace_clock_now(&trace->clock);

    trace->now = now > from ? now : from + 1;
    return from;
}

/* Nothing is recorded from now on. */
static COLD void give_up(struct trace *trace)
{
    trace->loop->is_tracing = false;
    task__steps_watch(trace->loop);
}

/* There is no room: write, or begin again with the oldest. */
static COLD void turn_over(struct trace *trace)
{
    if (trace->is_ring) {
        trace->next = 0;
        trace->is_full = true;
        return;
    }
    task__trace_write(trace);
    if (trace->file.error)
        give_up(trace);
    trace->resumed = trace_clock_now(&trace->clock);
}

/* The next record, to be filled in. */
static struct record *add(struct trace *trace, enum record_kind kind,
                          uint64_t track)
{
    struct record *record;

    if (unlikely(trace->next == trace->capacity))
        turn_over(trace);
    record = &trace->records[trace->next++];
    record->kind = (uint8_t)kind;
    record->track = track;
    return record;
}

static void add_span(struct trace *trace, uint64_t track, task_time from,
                     const char *what)
{
    struct record *record = add(trace, RECORD_SPAN, track);

    record->span.from = from;
    record->span.to = trace->now;
    record->span.what = what;
}

void task__trace_copy_name(struct record *record, const struct task *task)
{
    record->name[0] = '\0';
    if (task->name)
        task__say_cut(record->name, sizeof record->name, task->name);
}

static void note_created(struct trace *trace, const struct task *task,
                         uint64_t by)
{
    struct record *record;
    size_t length = task->file ? strlen(task->file) : 0;
    size_t room = sizeof record->created.file - 1;

    if (task->id > trace->created)
        trace->created = task->id;
    if (!trace->is_ring)
        task__trace_copy_name(add(trace, RECORD_TRACK, task->id), task);
    record = add(trace, RECORD_CREATED, task->id);
    record->number = task->line;
    record->created.at = trace->now;
    record->created.by = by;
    record->created.file[0] = '\0';
    if (task->file)
        strncat(record->created.file,
                task->file + (length > room ? length - room : 0), room);
}

static void note_woken(struct trace *trace, const struct task *task,
                       uint64_t by)
{
    struct record *record = add(trace, RECORD_WAIT, task->id);

    record->span.from = task->stack->since;
    record->span.to = trace->now;
    record->span.what = task->stack->waits;
    record->span.by = by;
    task->stack->waits = NULL;
}

/* Its name comes last: a ring may have lost all that was said of it before. */
static void note_ended(struct trace *trace, const struct task *task)
{
    struct record *record = add(trace, RECORD_ENDED, task->id);

    record->number = task->status;
    record->ended_at = trace->now;
    if (trace->is_ring || task->name)
        task__trace_copy_name(add(trace, RECORD_TRACK, task->id), task);
}

static void note_waits(const struct trace *trace, const struct task *task)
{
    task->stack->waits = task->waiter ? task->waiter->kind->verb : NULL;
    task->stack->since = trace->now;
}

/* What was added to the ready queue is somebody's work. */
static void look(struct trace *trace, uint64_t by)
{
    const struct scheduler *scheduler = &trace->loop->scheduler;
    struct ready *ready = ready_since(scheduler, &trace->looked);

    for (; ready; ready = ready->next) {
        struct task *task = ready_is_task(ready) ? task_of(ready) : NULL;

        if (task && is_new(task))
            note_created(trace, task, by);
        else if (task && task->stack->waits)
            note_woken(trace, task, by);
    }
    trace->looked = ready_mark(scheduler);
}

static void let_go(struct trace *trace)
{
    struct task *task = trace->task;
    bool is_pinned = trace->is_pinned;

    trace->track = TRACK_NOBODY;
    trace->task = NULL;
    trace->is_pinned = false;
    if (unlikely(is_pinned))
        task__unpin(task);
}

static void note_step(struct trace *trace)
{
    struct task *task = trace->task;
    uint64_t track = trace->track;

    add_span(trace, track, go_on(trace), task ? "run" : "callback");
    if (task && !task->done && !is_new(task))
        note_waits(trace, task);
    look(trace, track);
    if (task && task->done)
        note_ended(trace, task);
    let_go(trace);
}

/* Who runs leaves, or is interrupted. */
static ALWAYS_INLINE void leave_off(struct trace *trace)
{
    if (trace->track != TRACK_NOBODY)
        note_step(trace);
}

/* Who runs is that of a step, or (of none that is watched) the current task. */
static void take_up(struct trace *trace, const struct timed_step *step)
{
    trace->task = step ? step->task : trace->loop->scheduler.current;
    trace->track = trace->task ? trace->task->id
                   : step      ? TRACK_CALLBACKS
                               : TRACK_NOBODY;
    trace->is_pinned = !step && trace->task;
    if (trace->is_pinned)
        trace->task->references += TASK_PIN;
    trace->looked = ready_mark(&trace->loop->scheduler);
}

void task__trace_step_begins(struct trace *trace, const struct timed_step *step)
{
    uint64_t by = trace->track;
    const struct task *task = step->task;

    leave_off(trace);
    take_up(trace, step);
    /* Made and run at once; or made or woken while no loop ran. */
    if (unlikely(task && is_new(task) && task->id > trace->created))
        note_created(trace, task, by);
    else if (unlikely(task && !is_new(task) && task->stack->waits))
        note_woken(trace, task, TRACK_NOBODY);
}

void task__trace_step_ends(struct trace *trace, const struct timed_step *step)
{
    leave_off(trace);
    if (unlikely(step->outer || trace->loop->scheduler.current))
        take_up(trace, step->outer);
}

void task__trace_resume(struct trace *trace)
{
    trace->resumed = trace_clock_now(&trace->clock);
}

void task__trace_polled(struct trace *trace)
{
    leave_off(trace);
    add_span(trace, TRACK_POLLS, go_on(trace), "poll");
    look(trace, TRACK_POLLS);
    if (trace->now - trace->clock.time > COMPARE)
        task__trace_clock_set(&trace->clock);
}

void task__trace_timers_fired(struct trace *trace)
{
    if (!ready_since(&trace->loop->scheduler, &trace->looked))
        return;
    add_span(trace, TRACK_TIMERS, go_on(trace), "timers");
    look(trace, TRACK_TIMERS);
}

/* What is there already. */
void task__trace_begin(struct trace *trace)
{
    struct loop *loop = trace->loop;
    struct task *task = NULL;

    trace->now = trace->resumed = trace_clock_now(&trace->clock);
    trace->created = loop->last_id;
    loop->is_tracing = true;
    task__steps_watch(loop);
    take_up(trace, loop->step);
    while ((task = task__next_live(loop, task))) {
        if (!trace->is_ring)
            task__trace_copy_name(add(trace, RECORD_TRACK, task->id), task);
        if (!is_new(task))
            note_waits(trace, task);
    }
}

void task__trace_end(struct trace *trace)
{
    if (trace->loop->is_tracing) {
        leave_off(trace);
        give_up(trace);
    }
    let_go(trace);
}
