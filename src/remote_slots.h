/*
 * Slots for calls: cut in one thread, put back in the loop's, cheaply.
 *
 * A thread cuts them from a block of its own; those who have run them count
 * them down, and the last one frees the block. So a call costs the allocator
 * next to nothing, and there is nothing to be shared but that count.
 */
#ifndef TASK_SRC_REMOTE_SLOTS_H
#define TASK_SRC_REMOTE_SLOTS_H

#include "inbox.h"

enum {
    REMOTE_BLOCK = 8 << 10,
    REMOTE_AHEAD = 256, /* bytes: the loop's core has had that line before */
};

/* What this thread cuts from next, as far as `end`, and the block that they are
 * of, by whose address leak checkers know it. */
struct remote_slots {
    void *block;
    union inbox_slot *next;
    union inbox_slot *end;
};

extern THREAD_LOCAL struct remote_slots task__remote_slots;

/* There is one more remote. False: a thread's end cannot be noticed. */
bool task__remote_slots_open(void);

/* One less; with the last of them all that is kept for later is given back. */
void task__remote_slots_close(void);

/* Begin a block. False: no memory. */
bool task__remote_slots_refill(void);

/* In any thread: put back so many of one block, of which this is one. */
void task__remote_slots_put(void *slot, size_t n);

/* Two slots, one after the other, with undefined contents; those that follow in
 * a block follow in memory. NULL: no memory. */
static inline union inbox_slot *remote_slots_get(void)
{
    const struct remote_slots *mine = &task__remote_slots;

    if (unlikely(mine->end - mine->next < 2) && !task__remote_slots_refill())
        return NULL;
    PREFETCH_TO_WRITE((uintptr_t)mine->next + REMOTE_AHEAD);
    return mine->next;
}

/* So many of these were used. */
static inline void remote_slots_cut(size_t n)
{
    task__remote_slots.next += n;
}

#endif
