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

/* Before any is made: false: a thread's end cannot be noticed. */
bool task__remote_records_init(void);

/* One with undefined contents, or NULL. */
struct remote_record *task__remote_record_get(void);

/* In any thread: put back so many of one block, of which this is one. */
void task__remote_records_put(struct remote_record *record, size_t n);

/* Give back what is kept for later. */
void task__remote_records_trim(void);

enum { REMOTE_BLOCK = 8 << 10 };

/* Whether both are of one block, which lies at a multiple of its size. */
static inline bool remote_records_are_together(const struct remote_record *a,
                                               const struct remote_record *b)
{
    return ((uintptr_t)a ^ (uintptr_t)b) < REMOTE_BLOCK;
}

#endif
