/*
 * queue.h: queues between tasks, whose items are copied by value.
 *
 *     put                                                    get
 *   ------> waits while full > [ n <= maxsize ] > waits while empty ------>
 *
 * A queue is first in, first out, or last in, first out, or by priority. Its
 * items are `item_size` bytes each, any number from 0 on, and are copied as
 * memcpy() does it. Whoever waits is served first come, first served: a call
 * that comes later never overtakes one that waits.
 *
 * The memory of a queue is the caller's and is not moved while it is in use;
 * it may outlive loops, and all zero is a queue for items of 0 bytes, first in,
 * first out, without a bound. The items are kept in memory of the C library's,
 * which grows and shrinks with them.
 *
 * What does not suspend may be called in callbacks too, and outside of any
 * loop.
 */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * Where a queue keeps its items: private to the library.
 */
struct task_queue_store {
    /* private */
    size_t n;
    size_t capacity;
    size_t item_size;
    char *head;
    char *tail;
    char *end;
    char *items;
    size_t shrink_below;
    size_t entry_size;
    size_t limit;
    uint64_t sequence;
    int (*compare)(const void *a, const void *b);
    bool is_stack;
};

/**
 * A queue: made by one of the three task_queue_init*() functions.
 */
struct task_queue {
    /* private */
    struct task_list getters;
    struct task_list putters;
    size_t unfinished;
    bool is_shut;
    struct task_queue_store store;
    struct task_list joiners;
    void (*destroy)(void *item);
};

/* Beginning and end. */

/**
 * Make a queue that is first in, first out.
 *
 * It takes no memory before an item has to be kept.
 *
 * @param q          the caller's memory; what it holds does not matter
 * @param item_size  bytes of an item, from 0 on
 * @param maxsize    how many items it keeps at the most; 0: any number
 *
 * @return 0.
 *
 * Source: asyncio.Queue
 */
int task_queue_init(struct task_queue *q, size_t item_size, size_t maxsize);

/**
 * Make a queue that is last in, first out.
 *
 * Otherwise as task_queue_init().
 *
 * @return 0.
 *
 * Source: asyncio.LifoQueue
 */
int task_queue_init_lifo(struct task_queue *q, size_t item_size,
                         size_t maxsize);

/**
 * Make a queue whose least item leaves first.
 *
 * Items that are equal leave in the order in which they came. Otherwise as
 * task_queue_init().
 *
 * @param compare  tells < 0 if the first of two items leaves first, 0 if they
 *                 are equal, > 0 else, as for qsort(). It must not call
 *                 functions of this queue. Items of 0 bytes are all equal, and
 *                 it is not called for them.
 *
 * @return 0, or
 *         -EINVAL  @p compare is NULL.
 *
 * Source: asyncio.PriorityQueue
 */
int task_queue_init_priority(struct task_queue *q, size_t item_size,
                             size_t maxsize,
                             int (*compare)(const void *, const void *));

/**
 * End a queue that nobody waits for.
 *
 * The items that are left go through the item destructor, in the order in which
 * they would have left, and all memory is given back. Afterwards @p q is all
 * zero.
 *
 * @return 0, or
 *         -EBUSY  a task waits in a put, a get or a join; nothing was done.
 */
int task_queue_destroy(struct task_queue *q);

/**
 * Set what becomes of items that nobody took.
 *
 * It is called for each item that task_queue_destroy() or an immediate
 * task_queue_shutdown() finds in the queue, and never for one that was taken,
 * nor for one whose put failed, which stays the caller's.
 *
 * @param destroy  NULL: nothing, the default. It is given the queue's copy, as
 *                 malloc() would align it and valid during the call only; the
 *                 queue is already without the item. It may not suspend.
 */
void task_queue_set_item_destructor(struct task_queue *q,
                                    void (*destroy)(void *item));

/* Items. */

/**
 * Put an item into a queue.
 *
 * If a task waits in a get, the item goes to it directly.
 *
 * @param item  copied; NULL will do for items of 0 bytes. While the call waits
 *              it must stay as it is.
 *
 * Suspends while the queue is full. A cancel ends that, unless the item has
 * been taken already: then it returns 0, and the request comes next.
 *
 * @return 0; or, and then the item was not put,
 *         -EPIPE      the queue was shut down, before or meanwhile,
 *         -ENOMEM     the queue could not grow,
 *         -ECANCELED  a request was waiting, or came while it was full,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's Queue.put
 */
TASK_SUSPENDS int task_queue_put(struct task_queue *q, const void *item);

/**
 * Take an item out of a queue.
 *
 * The room goes to whoever waits longest in a put.
 *
 * @param item  where the item goes; NULL will do for items of 0 bytes. It is
 *              written before the call resumes, or not at all.
 *
 * Suspends while the queue is empty. A cancel ends that, unless an item has
 * come already: then it returns 0 with the item, and the request comes next.
 *
 * @return 0, or
 *         -EPIPE      the queue is empty, and was shut down before or
 *                     meanwhile,
 *         -ECANCELED  a request was waiting, or came while it was empty,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's Queue.get
 */
TASK_SUSPENDS int task_queue_get(struct task_queue *q, void *item);

/**
 * Put an item into a queue without waiting.
 *
 * @param item  as in task_queue_put()
 *
 * @return 0, or
 *         -EAGAIN  the queue is full,
 *         -EPIPE   it was shut down,
 *         -ENOMEM  it could not grow.
 *
 * Source: asyncio's Queue.put_nowait
 */
int task_queue_try_put(struct task_queue *q, const void *item);

/**
 * Take an item out of a queue without waiting.
 *
 * @param item  as in task_queue_get()
 *
 * @return 0, or
 *         -EAGAIN  the queue is empty,
 *         -EPIPE   it is empty, and was shut down.
 *
 * Source: asyncio's Queue.get_nowait
 */
int task_queue_try_get(struct task_queue *q, void *item);

/* Work that has to be done. */

/**
 * Tell that an item which was taken has been dealt with.
 *
 * To be called once for each item by those who take them, if anyone uses
 * task_queue_join(); else it need not be called.
 *
 * @return 0, or
 *         -EINVAL  called more often than items were put.
 *
 * Source: asyncio's Queue.task_done
 */
int task_queue_task_done(struct task_queue *q);

/**
 * Wait until every item that was put has been dealt with.
 *
 * That is: until task_queue_task_done() was called as often as items were put.
 * Items put later count too while the call waits; those put after it was woken
 * do not.
 *
 * Suspends unless that is so already. A cancel ends it, and changes nothing.
 *
 * @return 0, or
 *         -ECANCELED  a request was waiting, or came meanwhile,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's Queue.join
 */
TASK_SUSPENDS int task_queue_join(struct task_queue *q);

/**
 * Shut a queue down: nothing can be put any more.
 *
 * Those that wait in a put are woken with -EPIPE, their items stay theirs; so
 * are those that wait in a get. What is left may be taken. May be called again,
 * also first gracefully and then immediately.
 *
 * @param immediate  drop what is left: each item goes through the item
 *                   destructor, in the order in which it would have left, and
 *                   counts as dealt with. Items that were taken do not.
 *
 * Source: asyncio's Queue.shutdown
 */
void task_queue_shutdown(struct task_queue *q, bool immediate);

/* Figures. */

/**
 * Count the items in a queue.
 *
 * @return how many are kept: not those in puts that wait.
 *
 * Source: asyncio's Queue.qsize
 */
size_t task_queue_size(const struct task_queue *q);

/**
 * Tell whether a queue has no items.
 *
 * @return true if a get would have to wait, or gives -EPIPE.
 *
 * Source: asyncio's Queue.empty
 */
bool task_queue_empty(const struct task_queue *q);

/**
 * Tell whether a queue has as many items as it may.
 *
 * @return true if a put would have to wait; false if there is no bound.
 *
 * Source: asyncio's Queue.full
 */
bool task_queue_full(const struct task_queue *q);

/**
 * Count the items that were put and not dealt with.
 *
 * @return how often task_queue_task_done() has to be called before
 *         task_queue_join() returns.
 */
size_t task_queue_unfinished(const struct task_queue *q);

/**
 * Count the tasks that wait in a get. It looks at each.
 *
 * @return how many; 0 unless the queue is empty.
 */
size_t task_queue_getters(const struct task_queue *q);

/**
 * Count the tasks that wait in a put. It looks at each.
 *
 * @return how many; 0 unless the queue is full.
 */
size_t task_queue_putters(const struct task_queue *q);

TASK_END_DECLS

#endif
