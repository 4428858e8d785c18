/*
 * Functions of the user's that run on whatever stack calls for them: the error
 * hook, a local's functions. As in callbacks no task is current, and none may be
 * started at once.
 */
#ifndef TASK_SRC_ASIDE_H
#define TASK_SRC_ASIDE_H

#include "loop.h"

struct aside {
    struct task *current;
    struct task *beneath;
    bool was_aside;
};

static inline struct aside aside_begin(struct loop *loop)
{
    struct aside before = {loop->scheduler.current, loop->beneath,
                           loop->is_aside};

    if (loop->scheduler.current)
        loop->beneath = loop->scheduler.current;
    loop->scheduler.current = NULL;
    loop->is_aside = true;
    return before;
}

static inline void aside_end(struct loop *loop, struct aside before)
{
    loop->scheduler.current = before.current;
    loop->beneath = before.beneath;
    loop->is_aside = before.was_aside;
}

#endif
