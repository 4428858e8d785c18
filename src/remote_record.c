/*
 * Blocks of records.
 */
#include "remote_record.h"

#include <pthread.h>
#include <stdlib.h>

enum { BLOCK = 2048 };

/* Lies at a multiple of its size: so a record tells where its block is. */
struct block {
    _Alignas(64) size_t n_left; /* records not put back, or not yet got */
    struct remote_record records[];
};

enum {
    RECORDS =
        (BLOCK - offsetof(struct block, records)) / sizeof(struct remote_record)
};

/* What this thread cuts from. */
static THREAD_LOCAL struct {
    struct block *block; /* NULL: none */
    size_t n_cut;
} mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* has a value in threads that have a block */
static bool has_key;

/* Take some records as put back. */
static void count_down(struct block *block, size_t n)
{
    if (!__atomic_sub_fetch(&block->n_left, n, __ATOMIC_ACQ_REL))
        free(block);
}

/* A thread ends. */
static void end_block(void *block)
{
    mine.block = NULL;
    count_down(block, RECORDS - mine.n_cut);
}

static void make_key(void)
{
    has_key = !pthread_key_create(&key, end_block);
}

bool task__remote_records_init(void)
{
    pthread_once(&once, make_key);
    return has_key;
}

static COLD bool begin_block(void)
{
    struct block *block = aligned_alloc(BLOCK, BLOCK);

    if (!block || pthread_setspecific(key, block)) {
        free(block);
        return false;
    }
    block->n_left = RECORDS;
    mine.block = block;
    mine.n_cut = 0;
    return true;
}

struct remote_record *task__remote_record_get(void)
{
    struct block *block;

    if (unlikely(!mine.block) && !begin_block())
        return NULL;
    block = mine.block;
    if (mine.n_cut == RECORDS - 1) {
        mine.block = NULL;
        pthread_setspecific(key, NULL);
    }
    return &block->records[mine.n_cut++];
}

void task__remote_record_put(struct remote_record *record)
{
    uintptr_t block = (uintptr_t)record & ~(uintptr_t)(BLOCK - 1);

    count_down((struct block *)block, 1);
}
