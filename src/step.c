/*
 * Steps that are watched: by debug mode, which measures them, by a trace, and
 * by hooks.
 */
#include "step.h"

#include "loop.h"
#include "marks.h"
#include "report.h"
#include "switch.h"
#include "trace.h"

#include <time.h>

/* A task that was cancelled may be suspended so often before it is told of. */
enum { PARKS = 100 };

static void read_clocks(task_time *now, task_time *cpu)
{
    struct timespec time;

    *now = task__clock_monotonic();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    *cpu = (task_time)time.tv_sec * TASK_SECOND + time.tv_nsec;
}

static void go_on(struct timed_step *step)
{
    if (step && step->is_timed)
        read_clocks(&step->resumed, &step->resumed_cpu);
}

static void stop(struct timed_step *step)
{
    task_time now;
    task_time cpu;

    if (!step || !step->is_timed)
        return;
    read_clocks(&now, &cpu);
    step->time += now - step->resumed;
    step->cpu += cpu - step->resumed_cpu;
}

static void begin(struct scheduler *scheduler, struct timed_step *step,
                  struct ready *ready)
{
    struct loop *loop = loop_of(scheduler);
    struct task *task = ready_is_task(ready) ? task_of(ready) : NULL;

    stop(loop->step);
    step->outer = loop->step;
    step->task = task;
    step->function = 0;
    step->number = 0;
    step->is_timed = loop->debug;
    step->time = step->cpu = 0;
    loop->step = step;
    if (task)
        task->references += TASK_PIN;
    if (loop->is_tracing)
        task__trace_step_begins(loop->trace, step);
    if (unlikely(loop->hooks.steps_wanted))
        task__hooks_step_begins(loop, step);
    if (step->is_timed && task && is_new(task))
        task__scheduler_clean_next(task->stacks);
    go_on(step);
}

/* Scopes take back what they asked for: so a request that is still counted is
 * one from outside, and was delivered unless it waits. */
static void note_suspension(struct task *task)
{
    if (!task->cancelling) {
        task->parks = 0;
        return;
    }
    if (task->undelivered || task->hears || task->parks > PARKS)
        return;
    if (++task->parks > PARKS)
        task__report_ignored(task);
}

/* Its stack was given back, and nobody has been on it since. */
static void note_end(struct loop *loop, const struct task *task)
{
    task__marks_note(loop, (uintptr_t)task->fn, task__stack_used(task->stack),
                     task__stack_size(task->stack));
}

static void tell(struct loop *loop, const struct timed_step *step)
{
    if (step->time > loop->longest_step)
        loop->longest_step = step->time;
    if (step->time > loop->options.slow_step)
        task__report_slow(loop, step);
    if (loop->watchdog && !loop_is_inherited(loop) &&
        task__watchdog_has_news(loop->watchdog))
        task__watchdog_tell(loop->watchdog);
    if (step->task && step->task->done)
        note_end(loop, step->task);
    else if (step->task)
        note_suspension(step->task);
}

static void end(struct scheduler *scheduler, struct timed_step *step)
{
    struct loop *loop = loop_of(scheduler);

    stop(step);
    if (loop->is_tracing)
        task__trace_step_ends(loop->trace, step);
    loop->step = NULL; /* what is called now is in no step */
    if (unlikely(loop->hooks.steps_wanted))
        task__hooks_step_ends(loop, step);
    if (step->is_timed)
        tell(loop, step);
    if (step->task)
        task__unpin(step->task);
    if (unlikely(loop->hooks.steps_wanted))
        task__hooks_look(loop);
    loop->step = step->outer;
    go_on(loop->step);
}

void task__steps_init(struct loop *loop)
{
    if (loop->options.slow_step <= 0)
        loop->options.slow_step = 100 * TASK_MILLISECOND;
    loop->scheduler.step_begins = begin;
    loop->scheduler.step_ends = end;
}

void task__steps_watch(struct loop *loop)
{
    task__scheduler_watch(&loop->scheduler, loop->debug || loop->is_tracing ||
                                                loop->hooks.steps_wanted);
}
