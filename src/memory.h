/*
 * Where memory comes from: the loop's allocator, and pools of objects of one
 * size on top of it.
 *
 * A pool carves chunks of objects. It keeps what is given back, in the order
 * that hits the cache, and gives chunks that hold nothing back to the
 * allocator once more than POOL_SPARE bytes of them lie idle.
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

char *task__memory_copy_string(const struct allocator *allocator,
                               const char *string);

enum { POOL_SPARE = 32 << 20, POOL_CHUNK = 16 << 10 };

struct pool {
    const struct allocator *allocator;
    size_t align;
    size_t stride;     /* from object to object: a multiple of `align` */
    struct list open;  /* chunks with room; the one to take from first */
    struct list full;  /* chunks without */
    size_t n_idle;     /* chunks with nothing in them, all in `open` */
};

/* Objects lie at multiples of `align`, a power of 2 from 16 on. */
void task__pool_init(struct pool *pool, const struct allocator *allocator,
                     size_t object_size, size_t align);

/* Give everything back, also what is still in use. */
void task__pool_destroy(struct pool *pool);

/* An object with undefined contents; or NULL. */
void *task__pool_get(struct pool *pool);

void task__pool_put(struct pool *pool, void *object);

#endif
