/*
 * A function of the user's that is called each time that something has
 * happened: in the loop's own context, in the turn that follows.
 */
#ifndef TASK_SRC_REPEAT_H
#define TASK_SRC_REPEAT_H

#include "loop.h"

/*
 * First in a record of the loop's pool. It is in the ready queue while
 * `is_queued`. One that is released then has no `fn`, and the record is freed
 * when its turn comes.
 */
struct repeated_call {
    struct ready ready;
    loop_fn *fn;
    void *arg;
    struct loop *loop;
    bool is_queued;
};

_Static_assert(sizeof(struct repeated_call) <= RECORD_SIZE, "fits the pool");

void task__repeat_init(struct repeated_call *call, struct loop *loop,
                       loop_fn *fn, void *arg);

/* Something has happened; once more before its turn is the same. */
void task__repeat_queue(struct repeated_call *call);

void task__repeat_release(struct repeated_call *call);

#endif
