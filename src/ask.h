/*
 * Dumps that a signal asks for.
 *
 * The handler counts, and interrupts the wait of every loop; each sees at its
 * next look at the world that there was one more, and dumps its tasks. A loop
 * that has not done so after a while, and does not wait, is held by something:
 * then the handler itself tells, in the loop's thread, by what.
 *
 * It never looks at a struct loop but the one of its own thread. What it knows
 * of the others are targets, which are never freed.
 */
#ifndef TASK_SRC_ASK_H
#define TASK_SRC_ASK_H

#include "base.h"

#include <pthread.h>
#include <stdbool.h>

/* What the handler knows of a loop; each field is read and written at once, and
 * flags that are exchanged are words, as every processor can do that. */
struct ask_target {
    struct ask_target *next; /* in the list of all, which only grows */
    unsigned is_used;        /* a loop has it */
    bool is_running;         /* in this thread */
    pthread_t thread;
    unsigned users;     /* handlers that are about to signal that thread */
    unsigned is_nudged; /* the next signal there is only to interrupt a wait */
    unsigned is_late;   /* ... and the loop has not reacted to the one before */
    bool is_waiting;    /* in the poller */
    unsigned n_seen;    /* dumps that it was asked for, and has begun */
    unsigned n_told;    /* likewise: when it was told last who holds it */
};

extern unsigned task__asks; /* so far */

/* One for a new loop; NULL: no memory. */
struct ask_target *task__ask_target_get(void);
void task__ask_target_put(struct ask_target *target);

/* This thread runs the loop from now on, or no more. */
void task__ask_enter(struct ask_target *target);
void task__ask_leave(struct ask_target *target);

/* In the child of a fork: no loop runs there. */
void task__ask_note_fork(void);

static inline bool ask_is_pending(const struct ask_target *target)
{
    return unlikely(__atomic_load_n(&task__asks, __ATOMIC_RELAXED) !=
                    __atomic_load_n(&target->n_seen, __ATOMIC_RELAXED));
}

/* A loop does what it was asked for so far. */
void task__ask_seen(struct ask_target *target);

/* For the handler in the same thread. */
static inline void ask_set_waiting(struct ask_target *target, bool is_waiting)
{
    __atomic_store_n(&target->is_waiting, is_waiting, __ATOMIC_RELAXED);
}

#endif
