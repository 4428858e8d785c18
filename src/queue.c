#include "queue.h"

#include "store.h"

#include <string.h>

static const struct wait_kind PUTTING = {.verb = "putting into a queue"};
static const struct wait_kind GETTING = {.verb = "getting from a queue"};
static const struct wait_kind JOINING = {.verb = "joining a queue"};

static struct list *joiners(struct task_queue *q)
{
    return (struct list *)&q->joiners;
}

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
    return compare ? init(q, item_size, maxsize, false, compare) : -EINVAL;
}

int task_queue_destroy(struct task_queue *q)
{
    if (!list_empty(queue_getters(q)) || !list_empty(queue_putters(q)) ||
        !list_empty(joiners(q)))
        return -EBUSY;

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

static struct queue_waiter *first_of(const struct list *waiters)
{
    return container_of(waiters->first, struct queue_waiter, waiter.node);
}

static ALWAYS_INLINE int put_now(struct task_queue *q, const void *item)
{
    int error;

    if (unlikely(q->is_shut))
        return -EPIPE;
    if (!list_empty(queue_getters(q))) {
        struct queue_waiter *getter = first_of(queue_getters(q));

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

/* Take in what the first putter has: an item has just left, so there is room. */
static void admit(struct task_queue *q)
{
    struct queue_waiter *putter = first_of(queue_putters(q));
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
    if (unlikely(!list_empty(queue_putters(q))))
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

static int wait_in(struct list *list, struct waiter *waiter, struct task *self,
                   const struct wait_kind *kind)
{
    waiter_init(waiter, self, kind);
    list_append(list, &waiter->node);
    return task__park(waiter);
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
    return wait_in(queue_putters(q), &putter.waiter, self, &PUTTING);
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
    return wait_in(queue_getters(q), &getter.waiter, self, &GETTING);
}

static void wake_all(struct list *waiters, int result)
{
    while (wake_first(waiters, result))
        continue;
}

int task_queue_task_done(struct task_queue *q)
{
    if (!q->unfinished)
        return -EINVAL;
    if (!--q->unfinished)
        wake_all(joiners(q), 0);
    return 0;
}

int task_queue_join(struct task_queue *q)
{
    struct task *self;
    struct waiter joiner;
    int error = task_enter(&self);

    if (error || !q->unfinished)
        return error;
    return wait_in(joiners(q), &joiner, self, &JOINING);
}

/* The counts come first: a destructor may look at the queue. */
static void drop_all(struct task_queue *q)
{
    size_t n = q->store.n;

    q->unfinished -= n < q->unfinished ? n : q->unfinished;
    if (!q->unfinished)
        wake_all(joiners(q), 0);
    task__store_clear(&q->store, q->destroy);
}

void task_queue_shutdown(struct task_queue *q, bool immediate)
{
    q->is_shut = true;
    wake_all(queue_putters(q), -EPIPE);
    wake_all(queue_getters(q), -EPIPE);
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

static size_t count(const struct task_waiters *waiters)
{
    const struct list *list = (const struct list *)waiters;
    size_t n = 0;

    for (const struct list_node *node = list->first; node; node = node->next)
        n++;
    return n;
}

size_t task_queue_getters(const struct task_queue *q)
{
    return count(&q->getters);
}

size_t task_queue_putters(const struct task_queue *q)
{
    return count(&q->putters);
}
