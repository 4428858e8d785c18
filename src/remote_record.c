/*
 * Blocks of records.
 *
 * Blocks that are free again are kept, up to a number, for whichever thread is
 * the next to need one. It takes all that are kept at once, so that none comes
 * back to the list while somebody compares with it, and uses them up.
 */
#include "remote_record.h"

#include <pthread.h>
#include <stdlib.h>

enum { SPARE = 256 }; /* 2 MB, while a remote is open */

struct block {
    _Alignas(64) size_t n_left; /* records not put back, or not yet got */
    struct block *next;         /* while it is spare */
    struct remote_record records[];
};

enum {
    ROOM = REMOTE_BLOCK - 16, /* the allocator needs that much of its own */
    RECORDS =
        (ROOM - offsetof(struct block, records)) / sizeof(struct remote_record)
};

/* What this thread cuts from. */
static THREAD_LOCAL struct {
    struct block *block; /* NULL: none */
    size_t n_cut;
    struct block *spare; /* these are next */
} mine;

static struct block *spare;
static size_t n_spare;   /* there, and with threads */
static size_t n_remotes; /* open, in the process */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* has a value in threads that have blocks */
static bool has_key;

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
    struct block *block = mine.spare;

    if (!block)
        block = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQUIRE);
    if (block) {
        mine.spare = block->next;
        __atomic_sub_fetch(&n_spare, 1, __ATOMIC_RELAXED);
    }
    return block;
}

/* Take some records as put back. */
static void count_down(struct block *block, size_t n)
{
    if (!__atomic_sub_fetch(&block->n_left, n, __ATOMIC_ACQ_REL))
        keep(block);
}

/* A thread ends. */
static void leave_blocks(void *unused)
{
    (void)unused;
    if (mine.block)
        count_down(mine.block, RECORDS - mine.n_cut);
    mine.block = NULL;
    while (mine.spare) {
        struct block *block = mine.spare;

        mine.spare = block->next;
        push_spare(block);
    }
}

static void make_key(void)
{
    has_key = !pthread_key_create(&key, leave_blocks);
}

bool task__remote_records_open(void)
{
    pthread_once(&once, make_key);
    if (has_key)
        __atomic_add_fetch(&n_remotes, 1, __ATOMIC_RELAXED);
    return has_key;
}

void task__remote_records_close(void)
{
    if (__atomic_sub_fetch(&n_remotes, 1, __ATOMIC_RELAXED))
        return;
    while (mine.spare || __atomic_load_n(&spare, __ATOMIC_RELAXED))
        free(pop_spare());
}

static struct block *make_block(void)
{
    void *block;

    return posix_memalign(&block, REMOTE_BLOCK, ROOM) ? NULL : block;
}

static COLD bool begin_block(void)
{
    struct block *block = pop_spare();

    if (!block)
        block = make_block();
    if (!block || pthread_setspecific(key, &mine)) {
        free(block);
        return false;
    }
    block->n_left = RECORDS;
    mine.block = block;
    mine.n_cut = 0;
    return true;
}

struct remote_record *task__remote_record_get(const struct post **before)
{
    struct remote_record *record;

    if (unlikely(!mine.block) && !begin_block())
        return NULL;
    record = &mine.block->records[mine.n_cut];
    *before = mine.n_cut ? &record[-1].at.post : NULL;
    if (++mine.n_cut == RECORDS)
        mine.block = NULL;
    return record;
}

void task__remote_records_put(struct remote_record *record, size_t n)
{
    uintptr_t block = (uintptr_t)record & ~(uintptr_t)(REMOTE_BLOCK - 1);

    count_down((struct block *)block, n);
}
