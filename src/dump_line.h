/*
 * A task, in a line.
 */
#ifndef TASK_SRC_DUMP_LINE_H
#define TASK_SRC_DUMP_LINE_H

#include "loop.h"

/* What is told of all tasks of a loop alike. */
struct dump_view {
    struct loop *loop;
    task_time now;
    bool stacks;     /* whether their use is told */
    size_t n_visits; /* of who waits for whom, for lists of awaiters */
};

/* Add all that is told of it, but for its name. */
void task__dump_line(struct dump_view *view, struct text *text,
                     const struct task *task);

#endif
