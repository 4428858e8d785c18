/*
 * Pools: chunks of objects, and the search for chunks that lie idle.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

void *task__memory_libc(void *pointer, size_t size, void *arg)
{
    (void)arg;
    if (size)
        return realloc(pointer, size);
    free(pointer);
    return NULL;
}

/* Before the lines is what they are freed by. */
static void **memory_of(void *lines)
{
    return (void **)lines - 1;
}

void *task__memory_get_lines(const struct allocator *allocator, size_t size)
{
    size_t room = sizeof(void *) + CACHE_LINE - 1;
    char *memory = memory_get(allocator, room + size);
    uintptr_t end = (uintptr_t)memory + room;
    void *lines;

    if (!memory)
        return NULL;
    lines = (void *)(end - end % CACHE_LINE);
    *memory_of(lines) = memory;
    return lines;
}

void task__memory_free_lines(const struct allocator *allocator, void *lines)
{
    if (lines)
        memory_free(allocator, *memory_of(lines));
}

char *task__memory_copy_string(const struct allocator *allocator,
                               const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = memory_get(allocator, size);

    return copy ? memcpy(copy, string, size) : NULL;
}

/* What lies before each block. */
union block {
    struct list_node node;
    max_align_t align;
};

void *task__blocks_get(struct blocks *blocks, size_t n, size_t size)
{
    union block *block = NULL;

    if (n <= (SIZE_MAX - sizeof *block) / size)
        block = memory_get(blocks->allocator, sizeof *block + n * size);
    if (!block)
        return NULL;
    list_append(&blocks->list, &block->node);
    return block + 1;
}

void task__blocks_free(struct blocks *blocks, void *pointer)
{
    union block *block = (union block *)pointer - 1;

    list_remove(&block->node);
    memory_free(blocks->allocator, block);
}

void task__blocks_destroy(struct blocks *blocks)
{
    while (blocks->list.first)
        task__blocks_free(blocks,
                          (union block *)(void *)blocks->list.first + 1);
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

/* Sweep when an eighth of so many is left in use, and much lies free. */
static void sweep_later(struct pool *pool, size_t n_used)
{
    size_t spare = POOL_SPARE / pool->stride;

    pool->sweep_at = pool->n_all - n_used / 8;
    if (pool->sweep_at < spare)
        pool->sweep_at = spare;
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

/* Append the free objects of a chunk to a list; where the next one goes. */
static void **append_free(struct pool *pool, struct chunk *chunk, void **end)
{
    for (char *object = chunk->first; fits(pool, chunk, object);
         object += pool->stride) {
        if (in_use(pool, object))
            continue;
        *end = object;
        end = (void **)(void *)object;
        pool->n_free++;
    }
    *end = NULL;
    return end;
}

static size_t objects_of(const struct pool *pool, const struct chunk *chunk)
{
    return (size_t)((const char *)chunk + POOL_CHUNK - chunk->first) /
           pool->stride;
}

/* Add a chunk of free objects, in the order of their addresses. */
void *task__pool_grow(struct pool *pool)
{
    struct chunk *chunk = memory_get(pool->allocator, POOL_CHUNK);
    char *first;

    if (!chunk)
        return NULL;
    first = (char *)(chunk + 1) + pool->align - 1;
    first -= (uintptr_t)first & (pool->align - 1);
    chunk->first = first;
    for (char *object = first; fits(pool, chunk, object);
         object += pool->stride)
        *pool_trailer(pool, object) = (uintptr_t)chunk;
    pool->n_all += objects_of(pool, chunk);
    append_free(pool, chunk, &pool->free);
    list_append(&pool->chunks, &chunk->node);
    sweep_later(pool, pool->n_all);
    return pool->free;
}

static bool is_idle(const struct pool *pool, const struct chunk *chunk)
{
    char *object = chunk->first;

    while (fits(pool, chunk, object) && !in_use(pool, object))
        object += pool->stride;
    return !fits(pool, chunk, object);
}

/*
 * Give back the chunks that are free all over. That goes through all memory of
 * the pool in order, and is done each time an eighth of what was in use is
 * left: so all sweeps after a burst together cost little. What stays free is
 * taken in the order of addresses from now on.
 */
void task__pool_sweep(struct pool *pool)
{
    size_t n_used = pool->n_all - pool->n_free;
    void **end = &pool->free;

    pool->n_free = 0;
    pool->free = NULL;
    for (struct list_node *node = pool->chunks.first, *next; node;
         node = next) {
        struct chunk *chunk = container_of(node, struct chunk, node);

        next = node->next;
        if (is_idle(pool, chunk)) {
            pool->n_all -= objects_of(pool, chunk);
            free_chunk(pool, chunk);
        } else {
            end = append_free(pool, chunk, end);
        }
    }
    sweep_later(pool, n_used);
}

/* Most that are not are known by their lowest bits. */
bool task__pool_has(const struct pool *pool, const void *pointer)
{
    struct list_node *node =
        (uintptr_t)pointer % pool->align ? NULL : pool->chunks.first;

    for (; node; node = node->next) {
        const struct chunk *chunk = container_of(node, struct chunk, node);
        size_t place = (uintptr_t)pointer - (uintptr_t)chunk->first;

        if (place < objects_of(pool, chunk) * pool->stride)
            return place % pool->stride == 0 && in_use(pool, pointer);
    }
    return false;
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
