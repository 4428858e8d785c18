/*
 * Trails: in a crowd that yields, whoever runs next sends for what the one TRAIL
 * places behind it will need.
 *
 * Of thousands of tasks none is in the cache when its turn comes. Which of them
 * that will be is not found in time by going from one to the next, as each step
 * waits for a line. So who yields tells the one that stands TRAIL places before
 * it in the ready queue how far away its struct is, and its saved frame: in the
 * first line of that one's struct, which is in the cache then, and is again
 * when that one runs.
 *
 * It is good for the cache only: by then it may be wrong.
 */
#ifndef TASK_SRC_SCHEDULER_TRAIL_H
#define TASK_SRC_SCHEDULER_TRAIL_H

#include "scheduler_task.h"

enum { TRAIL = 16 };

/* Of the ready queue as it grows, before its turn begins: all from `before` on
 * still stand there. */
struct trail {
    struct ready *before; /* who is told next; NULL: it is not that long yet */
    unsigned n;           /* how many have yielded, as long */
};

/* Distances between structs are told in lines, between frames in halves. */
enum { FRAME_UNIT = CACHE_LINE / 2 };
#define TRAIL_IS_TOLD (UINT32_C(1) << 31)

/* Of a frame that waits, what is needed at once: the half of a line that it
 * begins in, and the next one, of the same line or the next. */
static ALWAYS_INLINE void prefetch_frame(uintptr_t sp)
{
    __builtin_prefetch((void *)sp, 1);
    __builtin_prefetch((void *)(sp + FRAME_UNIT), 1);
}

static ALWAYS_INLINE void trail_tell(struct task *before,
                                     const struct task *task)
{
    intptr_t distance = (intptr_t)task - (intptr_t)before;
    intptr_t frames = (intptr_t)task->context.sp - (intptr_t)before->context.sp;

    before->ready.behind.task = (int32_t)(distance / CACHE_LINE);
    before->ready.behind.frame =
        (uint32_t)(frames / FRAME_UNIT) | TRAIL_IS_TOLD;
}

/* A task has yielded: it is the last of the ready queue, which has this first
 * one. */
static ALWAYS_INLINE void trail_add(struct trail *trail, struct ready *first,
                                    const struct task *task)
{
    struct ready *before = trail->before;

    if (unlikely(!before)) {
        if (++trail->n == TRAIL)
            trail->before = first;
        return;
    }
    trail->before = before->next;
    if (likely(ready_is_task(before)))
        trail_tell(container_of(before, struct task, ready), task);
}

/* A task runs next. */
static ALWAYS_INLINE void trail_follow(struct task *task)
{
    uint32_t told = HAS_TRAILS ? task->ready.behind.frame : 0;
    intptr_t distance = (intptr_t)task->ready.behind.task * CACHE_LINE;
    intptr_t frames = (intptr_t)(int32_t)(told << 1) / 2 * FRAME_UNIT;

    if (likely(!told))
        return;
    task->ready.run = NULL;
    __builtin_prefetch((void *)((uintptr_t)task + (uintptr_t)distance), 1);
    prefetch_frame((uintptr_t)task->context.sp + (uintptr_t)frames);
}

#endif
