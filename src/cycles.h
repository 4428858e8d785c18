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
    struct suspect *leader; /* the first of its cycle; NULL: it is in none */
    bool is_met;            /* by task__cycle_begin */

    /* Of the search alone. */
    struct list_node node; /* until it is left */
    struct suspect *below; /* in the pile of those entered */
    size_t number;         /* in the order of entering; 0: new */
    size_t lowest;         /* number of those in the pile that it reaches */
    bool is_in_pile;
};

/*
 * Find out who is in a cycle. All is zero but the tasks, whose ids ascend.
 *
 * Those who can reach each other are taken for one cycle; daemons alone are
 * none.
 */
void task__cycles_find(struct suspect suspects[], size_t n);

/* One that a walk from the leader of a cycle comes back to; once for each. */
struct suspect *task__cycle_begin(struct suspect suspects[], size_t n,
                                  struct suspect *leader);

/* The next on that walk: the first in the cycle that this one waits for. */
struct suspect *task__cycle_next(struct suspect suspects[], size_t n,
                                 const struct suspect *suspect);

#endif
