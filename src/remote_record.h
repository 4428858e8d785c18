/*
 * Records of calls: made in one thread, freed in the loop's, cheaply.
 *
 * A thread cuts them from a block of its own; those who have run them count
 * them down, and the last one frees the block. So a call costs the allocator
 * next to nothing, and there is nothing to be shared but that count.
 */
#ifndef TASK_SRC_REMOTE_RECORD_H
#define TASK_SRC_REMOTE_RECORD_H

#include "inbox.h"
#include "scheduler.h"

/* A call, on its way: posted, then in the ready queue. */
struct remote_record {
    union {
        struct post post;
        struct ready ready;
    } at;
    loop_fn *fn;
    void *arg;
};

/* There is one more remote. False: a thread's end cannot be noticed. */
bool task__remote_records_open(void);

/* One less; with the last of them all that is kept for later is given back. */
void task__remote_records_close(void);

/* One with undefined contents, or NULL; and the post of the one that was got
 * before, if it lies before this one. */
struct remote_record *task__remote_record_get(const struct post **before);

/* In any thread: put back so many of one block, of which this is one. */
void task__remote_records_put(struct remote_record *record, size_t n);

enum { REMOTE_BLOCK = 8 << 10 };

#endif
