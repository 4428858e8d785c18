/*
 * Blocks of slots.
 *
 * Blocks that are free again are kept, up to a number, for whichever thread is
 * the next to need one. It takes all that are kept at once, so that none comes
 * back to the list while somebody compares with it, and uses them up.
 */
#include "remote_slots.h"

#include "ending.h"

#include <stdlib.h>

enum { SPARE = 256 }; /* 2 MB, while a remote is open */

struct block {
    _Alignas(CACHE_LINE) size_t n_left; /* slots not put back, or not yet cut */
    struct block *next;                 /* while it is spare */
    union inbox_slot slots[];
};

enum {
    ROOM = REMOTE_BLOCK - 16, /* the allocator needs that much of its own */
    SLOTS = (ROOM - offsetof(struct block, slots)) / sizeof(union inbox_slot)
};

THREAD_LOCAL struct remote_slots task__remote_slots;

static THREAD_LOCAL struct block *next_blocks; /* of this thread */

static struct block *spare;
static size_t n_spare;   /* there, and with threads */
static size_t n_remotes; /* open, in the process */

static void push_spare(struct block *block)
{
    struct block *first = __atomic_load_n(&spare, __ATOMIC_RELAXED);

    do
        block->next = first;
    while (!__atomic_compare_exchange_n(&spare, &first, block, true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* The last calls may run when the last remote has been closed. */
static void keep(struct block *block)
{
    if (__atomic_load_n(&n_remotes, __ATOMIC_RELAXED) &&
        __atomic_load_n(&n_spare, __ATOMIC_RELAXED) < SPARE) {
        __atomic_add_fetch(&n_spare, 1, __ATOMIC_RELAXED);
        push_spare(block);
    } else {
        free(block);
    }
}

static struct block *pop_spare(void)
{
    struct block *block = next_blocks;

    if (!block)
        block = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQUIRE);
    if (block) {
        next_blocks = block->next;
        __atomic_sub_fetch(&n_spare, 1, __ATOMIC_RELAXED);
    }
    return block;
}

void task__remote_slots_put(void *slot, size_t n)
{
    uintptr_t address = (uintptr_t)slot & ~(uintptr_t)(REMOTE_BLOCK - 1);
    struct block *block = (struct block *)address;

    if (!__atomic_sub_fetch(&block->n_left, n, __ATOMIC_ACQ_REL))
        keep(block);
}

/* Nothing more is cut from this thread's block. A block of which nothing is
 * left may be another thread's by now. */
static void leave_block(void)
{
    struct remote_slots *mine = &task__remote_slots;

    if (mine->next != mine->end)
        task__remote_slots_put(mine->next, (size_t)(mine->end - mine->next));
    *mine = (struct remote_slots){0};
}

/* A thread ends; the last remote may have been closed before. */
static void leave_blocks(void)
{
    leave_block();
    while (next_blocks)
        keep(pop_spare());
}

bool task__remote_slots_open(void)
{
    if (!task__endings_open())
        return false;
    __atomic_add_fetch(&n_remotes, 1, __ATOMIC_RELAXED);
    return true;
}

void task__remote_slots_close(void)
{
    if (__atomic_sub_fetch(&n_remotes, 1, __ATOMIC_RELAXED))
        return;
    leave_block();
    while (next_blocks || __atomic_load_n(&spare, __ATOMIC_RELAXED))
        free(pop_spare());
}

static struct block *make_block(void)
{
    void *block;

    return posix_memalign(&block, REMOTE_BLOCK, ROOM) ? NULL : block;
}

COLD bool task__remote_slots_refill(void)
{
    struct block *block = pop_spare();

    if (!block)
        block = make_block();
    if (!block || !task__ending_set(ENDING_SLOTS, leave_blocks)) {
        free(block);
        return false;
    }
    leave_block();
    block->n_left = SLOTS;
    task__remote_slots =
        (struct remote_slots){block, block->slots, block->slots + SLOTS};
    return true;
}
