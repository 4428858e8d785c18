/*
 * From task to task: who is next, and the switch to it. Inline where it is hot;
 * elsewhere task__park does.
 */
#ifndef TASK_SRC_SWITCH_H
#define TASK_SRC_SWITCH_H

#include "scheduler.h"

/* Whether the batches since the last look at the world took so little time that
 * another one may begin. */
bool task__scheduler_is_patient(struct scheduler *scheduler);

/* The tasks of a batch in a random order. */
struct ready *task__scheduler_shuffle(struct scheduler *scheduler,
                                      struct ready *first);

/* Give a new task its stack; returns where to switch to. */
struct context *task__scheduler_start(struct task *task);

static ALWAYS_INLINE struct task *task_of(struct ready *ready)
{
    return container_of(ready, struct task, ready);
}

/* The end of the ready queue now. */
static inline struct ready_mark ready_mark(const struct scheduler *scheduler)
{
    return (struct ready_mark){scheduler->ready.end, scheduler->turns};
}

/* The first that was added since. What was there then may be in a batch by now,
 * in whatever order. */
static inline struct ready *ready_since(const struct scheduler *scheduler,
                                        const struct ready_mark *mark)
{
    return mark->turn == scheduler->turns ? *mark->end : scheduler->ready.first;
}

/* What is needed is sent for while so many other tasks run. */
enum { TASKS_AHEAD = 4 };

static ALWAYS_INLINE void look_ahead(struct scheduler *scheduler)
{
    struct ready *ready = scheduler->batch;

#pragma GCC unroll 4
    for (int i = 0; i < TASKS_AHEAD; i++)
        if (ready)
            ready = ready->next;
    scheduler->ahead = ready;
}

/*
 * One of the batch is on its way into the cache: the saved frame, which its
 * struct tells, and the struct of the one after it.
 */
static ALWAYS_INLINE void go_ahead(struct scheduler *scheduler)
{
    const struct ready *ahead = scheduler->ahead;

    if (!ahead)
        return;
    scheduler->ahead = ahead->next;
    if (HAVE_ASAN) /* it may be less than a task */
        return;
    __builtin_prefetch(ahead->next, 1);
    prefetch_frame(
        (uintptr_t)container_of(ahead, const struct task, ready)->context.sp);
}

/* Take the first off the batch. */
static ALWAYS_INLINE void batch_pop(struct scheduler *scheduler)
{
    const struct ready *first = scheduler->batch;

    assert(scheduler->ahead != first);
    scheduler->batch = first->next;
    go_ahead(scheduler);
}

static ALWAYS_INLINE void begin_batch(struct scheduler *scheduler)
{
    struct ready_queue *ready = &scheduler->ready;

    scheduler->turns++;
    scheduler->batch = ready->first;
    ready->first = NULL;
    ready->end = &ready->first;
    if (unlikely(scheduler->random))
        scheduler->batch = task__scheduler_shuffle(scheduler, scheduler->batch);
    scheduler->trail = (struct trail){0}; /* of the queue that begins now */
    look_ahead(scheduler);
}

/* Whether the next turn may begin at once, without a look at the world. */
static ALWAYS_INLINE bool may_go_on(struct scheduler *scheduler)
{
    return scheduler->ready.first &&
           (scheduler->switches < scheduler->trusted ||
            task__scheduler_is_patient(scheduler));
}

/*
 * The rest of the struct of the one after the next, which is returned if it is
 * a task: by one that ends as one of a crowd, and is likely to be one of many
 * that do.
 */
static ALWAYS_INLINE const struct task *prefetch_rest(const struct ready *next)
{
    if (HAVE_ASAN || !next || !next->next || !ready_is_task(next->next))
        return NULL;

    const struct task *task =
        container_of(next->next, const struct task, ready);

    __builtin_prefetch((const char *)task + CACHE_LINE, 1);
    return task;
}

/* And its frames, beyond what prefetch_frame() sends for: by one
 * that suspends some calls deep. */
static ALWAYS_INLINE void prefetch_frames(const struct ready *next)
{
    enum { FIRST = 1, LAST = 7 };
    const struct task *task = prefetch_rest(next);

    for (uintptr_t line = FIRST; task && line <= LAST; line++)
        __builtin_prefetch(
            (void *)((uintptr_t)task->context.sp + line * CACHE_LINE), 1);
}

/* Take the first off the batch, which is a task, and make it current. */
static ALWAYS_INLINE struct task *take_first_task(struct scheduler *scheduler)
{
    struct task *task = task_of(scheduler->batch);

    assert(ready_is_task(scheduler->batch));
    batch_pop(scheduler);
    scheduler->switches++;
    scheduler->current = task;
    PROBE1(task_runs, task);
    return task;
}

/* Decide who is next, and make it current; NULL: the loop itself. */
static ALWAYS_INLINE struct task *choose_next(struct scheduler *scheduler)
{
    if (unlikely(!scheduler->batch) && may_go_on(scheduler))
        begin_batch(scheduler);

    struct ready *next = scheduler->batch;

    if (unlikely(!next || !ready_is_task(next))) {
        scheduler->current = NULL;
        PROBE1(task_runs, (struct task *)NULL);
        return NULL;
    }
    return take_first_task(scheduler);
}

/* Where to switch to, so that this task runs. */
static ALWAYS_INLINE struct context *context_of(struct scheduler *scheduler,
                                                struct task *task)
{
    if (unlikely(!task))
        return &scheduler->home;
    return unlikely(is_new(task)) ? task__scheduler_start(task)
                                  : &task->context;
}

static ALWAYS_INLINE void save_errno(const struct scheduler *scheduler,
                                     struct context *from)
{
    from->saved_errno = *scheduler->errno_location;
}

/* To whoever is next; returns when `from` is resumed, and errno is another
 * one's. */
static ALWAYS_INLINE void switch_from(struct scheduler *scheduler,
                                      struct context *from)
{
    save_errno(scheduler, from);
    context_switch(from, context_of(scheduler, choose_next(scheduler)));
}

static ALWAYS_INLINE void restore_errno(const struct scheduler *scheduler,
                                        const struct context *from)
{
    *scheduler->errno_location = from->saved_errno;
}

/* Leave by `from` for whoever is next; returns when `from` is resumed. */
static ALWAYS_INLINE void leave(struct scheduler *scheduler,
                                struct context *from)
{
    switch_from(scheduler, from);
    restore_errno(scheduler, from);
}

/*
 * Leave a task's context; returns the task, when it is current again. It is
 * read from the scheduler, and errno from the task, so that the frame need not
 * keep them: each line of the cache that a task has on its stack counts.
 */
static ALWAYS_INLINE struct task *leave_task(struct scheduler *scheduler,
                                             struct task *self)
{
    switch_from(scheduler, &self->context);
    self = scheduler->current;
    restore_errno(scheduler, &self->context);
    return self;
}

/* The next of the batch, which is no task, or all while steps are watched. */
void task__scheduler_run_other(struct scheduler *scheduler);

/* Begin a turn, and run its batch, in the loop's own context. */
static ALWAYS_INLINE void scheduler_run_batch(struct scheduler *scheduler)
{
    begin_batch(scheduler);
    while (scheduler->batch && scheduler_current() == scheduler) {
        if (unlikely(!ready_is_task(scheduler->batch) || scheduler->watches))
            task__scheduler_run_other(scheduler);
        else
            leave(scheduler, &scheduler->home);
    }
}

/* task__park, inline. */
static ALWAYS_INLINE int waiter_park(struct waiter *waiter)
{
    struct task *self = waiter->task;

    PROBE2(task_parks, self, waiter->kind);
    self->waiter = waiter;
    waiter->since = self->scheduler->time;
    self->scheduler->n_parked++;
    leave_task(self->scheduler, self)->hears = false;
    return waiter->result;
}

#endif
