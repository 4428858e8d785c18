/*
 * Where memory comes from: the loop's allocator, and pools of objects of one
 * size on top of it.
 *
 * A pool cuts chunks into objects, keeps those that are put back, and gives out
 * the one first that came back last. After a burst, while more than POOL_SPARE
 * bytes lie free, it looks for chunks that are free all over, and gives these
 * to the allocator.
 */
#ifndef TASK_SRC_MEMORY_H
#define TASK_SRC_MEMORY_H

#include "list.h"

/* realloc's meaning; a size of 0 frees. */
struct allocator {
    void *(*alloc)(void *pointer, size_t size, void *arg);
    void *arg;
};

/* The one of the C library. */
void *task__memory_libc(void *pointer, size_t size, void *arg);

static inline void *memory_resize(const struct allocator *allocator,
                                  void *pointer, size_t size)
{
    return allocator->alloc(pointer, size, allocator->arg);
}

static inline void *memory_get(const struct allocator *allocator, size_t size)
{
    return memory_resize(allocator, NULL, size);
}

static inline void memory_free(const struct allocator *allocator, void *pointer)
{
    if (pointer)
        memory_resize(allocator, pointer, 0);
}

/* Memory that begins with a line of the cache. */
void *task__memory_get_lines(const struct allocator *allocator, size_t size);
void task__memory_free_lines(const struct allocator *allocator, void *lines);

char *task__memory_copy_string(const struct allocator *allocator,
                               const char *string);

/*
 * Memory of any size, which is freed block by block; or all that is left at
 * once, when those who would have done so are no more.
 */
struct blocks {
    const struct allocator *allocator;
    struct list list;
};

/* n times `size` bytes, or NULL. */
void *task__blocks_get(struct blocks *blocks, size_t n, size_t size);
void task__blocks_free(struct blocks *blocks, void *block);
void task__blocks_destroy(struct blocks *blocks);

enum { POOL_SPARE = 32 << 20, POOL_CHUNK = 16 << 10 };

/* This header, then objects. */
struct chunk {
    struct list_node node;
    char *first;
};

struct pool {
    const struct allocator *allocator;
    size_t align;
    size_t stride; /* from object to object: a multiple of `align` */
    void *free;    /* the first free object, which points to the next */
    size_t n_all;
    size_t n_free;
    size_t sweep_at; /* look for free chunks when more than so many are free */
    struct list chunks;
};

/*
 * Every object ends in a trailer: a pointer to its chunk, and in its lowest bit
 * whether the object is in use.
 */
static inline uintptr_t *pool_trailer(const struct pool *pool,
                                      const void *object)
{
    return (uintptr_t *)((uintptr_t)object + pool->stride) - 1;
}

/* Objects lie at multiples of `align`, a power of 2 from 16 on. */
void task__pool_init(struct pool *pool, const struct allocator *allocator,
                     size_t object_size, size_t align);

/* Give everything back, also what is still in use. */
void task__pool_destroy(struct pool *pool);

void *task__pool_grow(struct pool *pool);
void task__pool_sweep(struct pool *pool);

/* An object with undefined contents; or NULL. */
static inline void *pool_get(struct pool *pool)
{
    void *object = pool->free;

    if (unlikely(!object) && !(object = task__pool_grow(pool)))
        return NULL;
    pool->free = *(void **)object;
    pool->n_free--;
    *pool_trailer(pool, object) |= 1;
    ASAN_UNPOISON(object, pool->stride);
    return object;
}

static inline void pool_put(struct pool *pool, void *object)
{
    *(void **)object = pool->free;
    pool->free = object;
    *pool_trailer(pool, object) &= ~(uintptr_t)1;
    ASAN_POISON((char *)object + sizeof object,
                pool->stride - sizeof object - sizeof(uintptr_t));
    if (unlikely(++pool->n_free > pool->sweep_at))
        task__pool_sweep(pool);
}

/* Whether a pointer, of whatever kind, is to an object in use. */
bool task__pool_has(const struct pool *pool, const void *pointer);

/* The object in use after this one (NULL: the first); NULL after the last. */
void *task__pool_next(const struct pool *pool, const void *object);

#endif
