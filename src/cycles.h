/*
 * Which tasks wait, at some remove, for themselves: for the report of a
 * deadlock.
 *
 * Takes n log n steps for n tasks and all that they wait for, and no recursion:
 * that may be 100,000 tasks that await each other in a row.
 */
#ifndef TASK_SRC_CYCLES_H
#define TASK_SRC_CYCLES_H

#include "list.h"
#include "scheduler.h"

/* A task that may be in a cycle. */
struct suspect {
    struct task *task;
    bool is_in_cycle;

    /* Of the search alone. */
    struct list_node node; /* until it is left */
    struct suspect *below; /* in the pile of those entered */
    size_t number;         /* in the order of entering; 0: new */
    size_t lowest;         /* number of those in the pile that it reaches */
    bool is_in_pile;
};

/* Find out who is in a cycle. All is zero but the tasks, whose ids ascend. */
void task__cycles_find(struct suspect suspects[], size_t n);

#endif
