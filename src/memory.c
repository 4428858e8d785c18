#include "memory.h"

#include <stdlib.h>
#include <string.h>

/* A chunk: this header, then objects. */
struct chunk {
    struct list_node node;
    char *first;
    size_t n_free; /* during a sweep only */
};

void *task__memory_libc(void *pointer, size_t size, void *arg)
{
    (void)arg;
    if (size)
        return realloc(pointer, size);
    free(pointer);
    return NULL;
}

char *task__memory_copy_string(const struct allocator *allocator,
                               const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = memory_get(allocator, size);

    return copy ? memcpy(copy, string, size) : NULL;
}

static struct chunk *chunk_of(const struct pool *pool, const void *object)
{
    return (struct chunk *)(*pool_trailer(pool, object) & ~(uintptr_t)1);
}

static bool in_use(const struct pool *pool, const void *object)
{
    return *pool_trailer(pool, object) & 1;
}

void task__pool_init(struct pool *pool, const struct allocator *allocator,
                     size_t object_size, size_t align)
{
    memset(pool, 0, sizeof *pool);
    pool->allocator = allocator;
    pool->align = align;
    pool->stride = (object_size + sizeof(uintptr_t) + align - 1) & ~(align - 1);
    pool->sweep_at = POOL_SPARE / pool->stride;
}

static void free_chunk(struct pool *pool, struct chunk *chunk)
{
    list_remove(&chunk->node);
    ASAN_UNPOISON(chunk, POOL_CHUNK);
    memory_free(pool->allocator, chunk);
}

void task__pool_destroy(struct pool *pool)
{
    while (pool->chunks.first)
        free_chunk(pool, container_of(pool->chunks.first, struct chunk, node));
    pool->free = NULL;
    pool->n_free = 0;
}

/* Behind the last object of a chunk there is no room for another. */
static bool fits(const struct pool *pool, const struct chunk *chunk,
                 const char *object)
{
    return object + pool->stride <= (const char *)chunk + POOL_CHUNK;
}

/* Add a chunk of free objects, in the order of their addresses. */
void *task__pool_grow(struct pool *pool)
{
    struct chunk *chunk = memory_get(pool->allocator, POOL_CHUNK);
    void **end = &pool->free;
    char *object;

    if (!chunk)
        return NULL;
    object = (char *)(chunk + 1) + pool->align - 1;
    object -= (uintptr_t)object & (pool->align - 1);
    chunk->first = object;
    for (; fits(pool, chunk, object); object += pool->stride) {
        *pool_trailer(pool, object) = (uintptr_t)chunk;
        *end = object;
        end = (void **)(void *)object;
        pool->n_all++;
        pool->n_free++;
    }
    *end = NULL;
    list_append(&pool->chunks, &chunk->node);
    return pool->free;
}

static size_t objects_of(const struct pool *pool, const struct chunk *chunk)
{
    return (size_t)((const char *)chunk + POOL_CHUNK - chunk->first) /
           pool->stride;
}

static void count_free(struct pool *pool)
{
    for (struct list_node *node = pool->chunks.first; node; node = node->next)
        container_of(node, struct chunk, node)->n_free = 0;
    for (void *object = pool->free; object; object = *(void **)object)
        chunk_of(pool, object)->n_free++;
}

static bool is_idle(const struct pool *pool, const struct chunk *chunk)
{
    return chunk->n_free == objects_of(pool, chunk);
}

/*
 * Give back the chunks that are free all over. The next sweep comes when half of
 * what is in use now has come back: so all sweeps together cost little.
 */
void task__pool_sweep(struct pool *pool)
{
    void **end = &pool->free;
    size_t spare = POOL_SPARE / pool->stride;

    count_free(pool);
    for (void *object = pool->free; object; object = *(void **)object) {
        if (is_idle(pool, chunk_of(pool, object))) {
            pool->n_all--;
            pool->n_free--;
        } else {
            *end = object;
            end = object;
        }
    }
    *end = NULL;
    for (struct list_node *node = pool->chunks.first, *next; node;
         node = next) {
        struct chunk *chunk = container_of(node, struct chunk, node);

        next = node->next;
        if (is_idle(pool, chunk))
            free_chunk(pool, chunk);
    }
    pool->sweep_at = pool->n_free + (pool->n_all - pool->n_free) / 2;
    if (pool->sweep_at < spare)
        pool->sweep_at = spare;
}

void *task__pool_next(const struct pool *pool, const void *object)
{
    struct list_node *node = pool->chunks.first;
    char *next = NULL;

    if (object) {
        node = &chunk_of(pool, object)->node;
        next = (char *)(uintptr_t)object + pool->stride;
    }
    for (; node; node = node->next, next = NULL) {
        const struct chunk *chunk = container_of(node, struct chunk, node);

        for (next = next ? next : chunk->first; fits(pool, chunk, next);
             next += pool->stride)
            if (in_use(pool, next))
                return next;
    }
    return NULL;
}
