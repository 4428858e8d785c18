#include "memory.h"

#include <stdlib.h>
#include <string.h>

#if HAVE_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address))
#endif

/*
 * A chunk: this header, then objects. Each ends in a pointer to its chunk; a
 * free one begins with a pointer to the next free one. Those from `fresh` on
 * have never been given out.
 */
struct chunk {
    struct list_node node; /* in the pool's open or full */
    void *free;
    char *fresh;
    char *end;
    size_t n_used;
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

static struct chunk **chunk_of(const struct pool *pool, void *object)
{
    return (struct chunk **)(void *)((char *)object + pool->stride) - 1;
}

void task__pool_init(struct pool *pool, const struct allocator *allocator,
                     size_t object_size, size_t align)
{
    memset(pool, 0, sizeof *pool);
    pool->allocator = allocator;
    pool->align = align;
    pool->stride =
        (object_size + sizeof(struct chunk *) + align - 1) & ~(align - 1);
}

static void free_chunks(struct pool *pool, struct list *list)
{
    for (struct list_node *node; (node = list_pop(list));)
        memory_free(pool->allocator, container_of(node, struct chunk, node));
}

void task__pool_destroy(struct pool *pool)
{
    free_chunks(pool, &pool->open);
    free_chunks(pool, &pool->full);
    pool->n_idle = 0;
}

static struct chunk *add_chunk(struct pool *pool)
{
    char *memory = memory_get(pool->allocator, POOL_CHUNK);
    struct chunk *chunk = (struct chunk *)(void *)memory;

    if (!memory)
        return NULL;
    chunk->free = NULL;
    chunk->fresh = memory + sizeof *chunk + pool->align - 1;
    chunk->fresh -= (uintptr_t)chunk->fresh & (pool->align - 1);
    chunk->end = memory + POOL_CHUNK - pool->stride;
    chunk->n_used = 0;
    list_prepend(&pool->open, &chunk->node);
    pool->n_idle++;
    return chunk;
}

void *task__pool_get(struct pool *pool)
{
    struct chunk *chunk = container_of(pool->open.first, struct chunk, node);
    void *object;

    if (unlikely(!pool->open.first) && !(chunk = add_chunk(pool)))
        return NULL;
    pool->n_idle -= !chunk->n_used++;
    object = chunk->free;
    if (object) {
        ASAN_UNPOISON_MEMORY_REGION(object, pool->stride);
        chunk->free = *(void **)object;
    } else {
        object = chunk->fresh;
        chunk->fresh += pool->stride;
        *chunk_of(pool, object) = chunk;
    }
    if (unlikely(!chunk->free && chunk->fresh > chunk->end)) {
        list_remove(&chunk->node);
        list_append(&pool->full, &chunk->node);
    }
    return object;
}

void task__pool_put(struct pool *pool, void *object)
{
    struct chunk *chunk = *chunk_of(pool, object);
    bool was_full = !chunk->free && chunk->fresh > chunk->end;

    *(void **)object = chunk->free;
    chunk->free = object;
    ASAN_POISON_MEMORY_REGION(object, pool->stride - sizeof chunk);
    if (unlikely(was_full)) {
        list_remove(&chunk->node);
        list_prepend(&pool->open, &chunk->node);
    }
    if (--chunk->n_used)
        return;
    if (++pool->n_idle > POOL_SPARE / POOL_CHUNK) {
        pool->n_idle--;
        list_remove(&chunk->node);
        ASAN_UNPOISON_MEMORY_REGION(chunk, POOL_CHUNK);
        memory_free(pool->allocator, chunk);
    }
}

