/*
 * Queues: whoever waits is served by whoever brings or takes an item.
 */
#include "queue.h"

#include "store.h"
#include "text.h"

#include <string.h>

static void describe_full(const struct waiter *waiter, struct text *text)
{
    const struct task_queue *q =
        container_of(waiters_of(waiter), const struct task_queue, putters);

    task__text_add(text, "%p, full with %zu", (const void *)q, q->store.n);
}

static void describe_empty(const struct waiter *waiter, struct text *text)
{
    const struct task_queue *q =
        container_of(waiters_of(waiter), const struct task_queue, getters);

    task__text_add(text, "%p, empty", (const void *)q);
}

static void describe_unfinished(const struct waiter *waiter, struct text *text)
{
    const struct task_queue *q =
        container_of(waiters_of(waiter), const struct task_queue, joiners);

    task__text_add(text, "%p, %zu unfinished", (const void *)q, q->unfinished);
}

static const struct wait_kind PUTTING = {
    .verb = "putting into queue",
    .describe = describe_full,
};
static const struct wait_kind GETTING = {
    .verb = "getting from queue",
    .describe = describe_empty,
};
static const struct wait_kind JOINING = {
    .verb = "joining queue",
    .describe = describe_unfinished,
};

static int init(struct task_queue *q, size_t item_size, size_t maxsize,
                bool is_stack, int (*compare)(const void *, const void *))
{
    memset(q, 0, sizeof *q);
    task__store_init(&q->store, item_size, maxsize, is_stack, compare);
    return 0;
}

int task_queue_init(struct task_queue *q, size_t item_size, size_t maxsize)
{
    return init(q, item_size, maxsize, false, NULL);
}

int task_queue_init_lifo(struct task_queue *q, size_t item_size, size_t maxsize)
{
    return init(q, item_size, maxsize, true, NULL);
}

int task_queue_init_priority(struct task_queue *q, size_t item_size,
                             size_t maxsize,
                             int (*compare)(const void *, const void *))
{
    return compare ? init(q, item_size, maxsize, false, compare)
                   : MISUSE(-EINVAL, "the comparison is NULL");
}

int task_queue_destroy(struct task_queue *q)
{
    if (!waiters_empty(&q->getters) || !waiters_empty(&q->putters) ||
        !waiters_empty(&q->joiners))
        return MISUSE(-EBUSY, "there are tasks that wait");

    struct task_queue left = *q;

    memset(q, 0, sizeof *q);
    task__store_clear(&left.store, left.destroy);
    return 0;
}

void task_queue_set_item_destructor(struct task_queue *q,
                                    void (*destroy)(void *item))
{
    q->destroy = destroy;
}

static ALWAYS_INLINE struct queue_waiter *first_of(struct task_list *waiters)
{
    return container_of(list_of(waiters)->first, struct queue_waiter,
                        waiter.node);
}

static ALWAYS_INLINE int put_now(struct task_queue *q, const void *item)
{
    int error;

    if (unlikely(q->is_shut))
        return -EPIPE;
    if (!waiters_empty(&q->getters)) {
        struct queue_waiter *getter = first_of(&q->getters);

        store_copy(getter->to, item, q->store.item_size);
        q->unfinished++;
        task__wake(&getter->waiter, 0);
        return 0;
    }
    error = store_put(&q->store, item);
    if (likely(!error))
        q->unfinished++;
    return error;
}

/* Take in what the first putter has: an item has just left, so there is
 * room. */
static void admit(struct task_queue *q)
{
    struct queue_waiter *putter = first_of(&q->putters);
    int error = store_put(&q->store, putter->from);

    assert(!error);
    (void)error;
    q->unfinished++;
    task__wake(&putter->waiter, 0);
}

static ALWAYS_INLINE int get_now(struct task_queue *q, void *item)
{
    if (!q->store.n)
        return q->is_shut ? -EPIPE : -EAGAIN;
    store_take(&q->store, item);
    if (unlikely(!waiters_empty(&q->putters)))
        admit(q);
    else
        store_trim(&q->store);
    return 0;
}

int task__queue_put_now(struct task_queue *q, const void *item)
{
    return put_now(q, item);
}

int task__queue_get_now(struct task_queue *q, void *item)
{
    return get_now(q, item);
}

int task_queue_try_put(struct task_queue *q, const void *item)
{
    return task__queue_put_now(q, item);
}

int task_queue_try_get(struct task_queue *q, void *item)
{
    return task__queue_get_now(q, item);
}

int task_queue_put(struct task_queue *q, const void *item)
{
    struct task *self;
    int error = task_enter(&self);

    if (unlikely(error))
        return error;
    error = put_now(q, item);
    if (likely(error != -EAGAIN))
        return error;

    struct queue_waiter putter;

    putter.from = item;
    return waiters_park_as(&q->putters, &putter.waiter, self, &PUTTING);
}

int task_queue_get(struct task_queue *q, void *item)
{
    struct task *self;
    int error = task_enter(&self);

    if (unlikely(error))
        return error;
    error = get_now(q, item);
    if (error != -EAGAIN)
        return error;

    struct queue_waiter getter;

    getter.to = item;
    return waiters_park_as(&q->getters, &getter.waiter, self, &GETTING);
}

int task_queue_task_done(struct task_queue *q)
{
    if (!q->unfinished)
        return MISUSE(-EINVAL, "called more often than items were put");
    if (!--q->unfinished)
        waiters_wake_all(&q->joiners, 0);
    return 0;
}

int task_queue_join(struct task_queue *q)
{
    struct task *self;
    int error = task_enter(&self);

    if (error || !q->unfinished)
        return error;
    return waiters_park(&q->joiners, self, &JOINING);
}

/* The counts come first: a destructor may look at the queue. */
static void drop_all(struct task_queue *q)
{
    size_t n = q->store.n;

    q->unfinished -= n < q->unfinished ? n : q->unfinished;
    if (!q->unfinished)
        waiters_wake_all(&q->joiners, 0);
    task__store_clear(&q->store, q->destroy);
}

void task_queue_shutdown(struct task_queue *q, bool immediate)
{
    q->is_shut = true;
    waiters_wake_all(&q->putters, -EPIPE);
    waiters_wake_all(&q->getters, -EPIPE);
    if (immediate)
        drop_all(q);
}

size_t task_queue_size(const struct task_queue *q)
{
    return q->store.n;
}

bool task_queue_empty(const struct task_queue *q)
{
    return !q->store.n;
}

bool task_queue_full(const struct task_queue *q)
{
    return q->store.limit && q->store.n >= q->store.limit;
}

size_t task_queue_unfinished(const struct task_queue *q)
{
    return q->unfinished;
}

size_t task_queue_getters(const struct task_queue *q)
{
    return waiters_count(&q->getters);
}

size_t task_queue_putters(const struct task_queue *q)
{
    return waiters_count(&q->putters);
}
