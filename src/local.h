/*
 * The values that tasks have of their own.
 */
#ifndef TASK_SRC_LOCAL_H
#define TASK_SRC_LOCAL_H

#include "base.h"

#include <stdbool.h>

struct scheduler;
struct task;

/* What its creator has; false: there is no memory. */
bool task__locals_inherit(struct task *child, const struct task *creator);

void task__locals_destroy(struct task *task);

/* Outside of tasks this thread sees what that task (NULL: none) has, in the
 * loop that is current now, or in none; until the loan that there was before,
 * which is returned, is back. */
struct loan {
    const struct task *lender;
    const struct scheduler *scheduler;
};
struct loan task__locals_lend(const struct task *task);
void task__locals_return(struct loan former);

#endif
