/*
 * Where a queue keeps its items: copies in one piece of memory, which is a
 * ring, a stack or a heap.
 *
 *     ring     items      head           tail       end
 *                |          |oldest .. newest|        |     or across the end
 *
 *     stack    items, head                tail      end
 *                |oldest .......... newest|           |
 *
 *     heap     items, head                            end
 *                |first ........ n entries ...........|
 *
 * An entry is an item; in a heap, with a number behind it that tells when it
 * came. `head` and `tail` may stand at the end of a ring, and go to its
 * beginning when they are used next. The memory doubles when it is full, and
 * halves when less than a quarter is in use: so a put costs O(1) on average (in
 * a heap O(log n)), however many there are.
 *
 * Items of 0 bytes are counted only: all the pointers stay where they are.
 */
#ifndef TASK_SRC_STORE_H
#define TASK_SRC_STORE_H

#include "base.h"

#include <string.h>
#include <task/queue.h>

/* `limit`: the largest number of items; 0: none. `compare`: makes it a heap. */
void task__store_init(struct task_queue_store *store, size_t item_size,
                      size_t limit, bool is_stack,
                      int (*compare)(const void *, const void *));

/* Empty it and give its memory back; `destroy`, if any, sees every item. */
void task__store_clear(struct task_queue_store *store,
                       void (*destroy)(void *item));

/* Make room for one more: 0; -EAGAIN at the limit; -ENOMEM. */
int task__store_grow(struct task_queue_store *store);

/* Halve the memory, if there is memory to do so. */
void task__store_shrink(struct task_queue_store *store);

/* Add an item to a heap; take the first one out of it. */
void task__store_rise(struct task_queue_store *store, const void *item);
void task__store_sink(struct task_queue_store *store);

static ALWAYS_INLINE void store_copy(void *to, const void *from, size_t size)
{
    if (likely(size == 8))
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else if (size)
        memcpy(to, from, size);
}

/* Copy an item into the store; if that fails, as task__store_grow. */
static ALWAYS_INLINE int store_put(struct task_queue_store *store,
                                   const void *item)
{
    if (unlikely(store->n >= store->capacity)) {
        int error = task__store_grow(store);

        if (error)
            return error;
    }
    if (unlikely(store->compare)) {
        task__store_rise(store, item);
        return 0;
    }
    if (unlikely(store->tail == store->end))
        store->tail = store->items;
    store_copy(store->tail, item, store->item_size);
    store->tail += store->item_size;
    store->n++;
    return 0;
}

/* The item that leaves next; there is one. */
static ALWAYS_INLINE void *store_first(struct task_queue_store *store)
{
    assert(store->n);
    if (unlikely(store->is_stack))
        return store->tail - store->item_size;
    if (unlikely(store->head == store->end))
        store->head = store->items;
    return store->head;
}

/* Forget the item that leaves next. */
static ALWAYS_INLINE void store_drop(struct task_queue_store *store)
{
    store->n--;
    if (unlikely(store->compare))
        task__store_sink(store);
    else if (unlikely(store->is_stack))
        store->tail -= store->item_size;
    else
        store->head += store->item_size;
}

/* Copy the item that leaves next to `item`, and forget it. The memory stays, so
 * that a put that follows cannot fail. */
static ALWAYS_INLINE void store_take(struct task_queue_store *store, void *item)
{
    store_copy(item, store_first(store), store->item_size);
    store_drop(store);
}

/* Give back memory that is not needed. */
static ALWAYS_INLINE void store_trim(struct task_queue_store *store)
{
    if (unlikely(store->n < store->shrink_below))
        task__store_shrink(store);
}

#endif
