/*
 * Callbacks of the loop: called soon, later, at a time; or cancelled by id.
 */
#include "loop.h"

#include <errno.h>

/*
 * A callback is in the ready queue, or in the timers, or (due never) in
 * neither; and in the loop's table until it is called or cancelled. One that
 * was cancelled in the ready queue has no `fn`, and is freed when its turn
 * comes.
 */
struct callback {
    union {
        struct ready ready;
        struct timer timer;
    } at;
    loop_fn *fn;
    void *arg;
    struct loop *loop;
    int64_t id;
};

_Static_assert(sizeof(struct callback) <= RECORD_SIZE, "fits the pool");

/* A place in use; or free: 2 * (the next free one + 1; 0: none) + 1. */
union callback_place {
    struct callback *callback;
    uintptr_t next_free;
};

/* An id is a number and, in the low bits, a place: 1 is the first, so that no
 * id is 0. */
enum { PLACE_BITS = 26, PLACES = 1 << PLACE_BITS };

static uint32_t place_of(int64_t id)
{
    return ((uint32_t)id & (PLACES - 1)) - 1;
}

/* Numbers are taken a row at a time: those of other loops are others. */
static ALWAYS_INLINE uint64_t next_number(struct callback_table *table)
{
    enum { ROW = 256 };
    static uint64_t first_free;

    if (unlikely(table->number % ROW == 0))
        table->number = __atomic_fetch_add(&first_free, ROW, __ATOMIC_RELAXED);
    return table->number++;
}

static int64_t id_of(uint64_t number, uint32_t place)
{
    return (int64_t)((number << PLACE_BITS | place) & INT64_MAX);
}

static int grow(struct loop *loop)
{
    struct callback_table *table = &loop->callbacks;
    uint32_t n = table->n ? 2 * table->n : 64;
    union callback_place *places =
        n < PLACES
            ? memory_resize(&loop->allocator, table->places, n * sizeof *places)
            : NULL;

    if (!places)
        return -ENOMEM;
    for (uint32_t i = table->n; i < n; i++)
        places[i].next_free = 2 * (uintptr_t)(i + 1 < n ? i + 2 : 0) + 1;
    table->free = table->n + 1;
    table->places = places;
    table->n = n;
    return 0;
}

/* A callback of the current loop's with a place in its table, or NULL. */
static struct callback *make(struct loop *loop, loop_fn *fn, void *arg)
{
    struct callback_table *table = &loop->callbacks;
    struct callback *callback;

    if (unlikely(!table->free) && grow(loop))
        return NULL;
    callback = pool_get(&loop->record_pool);
    if (!callback)
        return NULL;

    union callback_place *place = &table->places[table->free - 1];

    callback->id = id_of(next_number(table), table->free);
    callback->fn = fn;
    callback->arg = arg;
    callback->loop = loop;
    table->free = (uint32_t)(place->next_free >> 1);
    place->callback = callback;
    return callback;
}

/* Take a callback out of the table: its id means nothing any more. */
static void forget(struct loop *loop, const struct callback *callback)
{
    struct callback_table *table = &loop->callbacks;
    uint32_t place = place_of(callback->id);

    table->places[place].next_free = 2 * (uintptr_t)table->free + 1;
    table->free = place + 1;
}

static void run_callback(struct ready *ready)
{
    struct callback *callback = container_of(ready, struct callback, at.ready);
    struct loop *loop = callback->loop;
    loop_fn *fn = callback->fn;
    void *arg = callback->arg;

    loop->n_queued--;
    if (fn)
        forget(loop, callback);
    pool_put(&loop->record_pool, callback);
    if (fn) {
        loop_calls(loop, (uintptr_t)fn);
        fn(arg);
    }
}

static bool is_queued(const struct callback *callback)
{
    return !timer_armed(&callback->at.timer) &&
           callback->at.ready.run == run_callback;
}

static void make_ready(struct callback *callback)
{
    callback->at.ready.run = run_callback;
    loop_queue(callback->loop, &callback->at.ready);
}

static void fire(struct timer *timer)
{
    struct callback *callback = container_of(timer, struct callback, at.timer);

    callback->loop->n_due--;
    make_ready(callback);
}

/* A callback with its timer idle, or why there is none. */
static ALWAYS_INLINE int64_t begin(loop_fn *fn, void *arg,
                                   struct callback **callback, const char *call)
{
    struct loop *loop = loop_current();

    if (unlikely(!loop))
        return misuse(call, -EPERM, "no loop runs in this thread");
    if (unlikely(!fn))
        return misuse(call, -EINVAL, "the function is NULL");
    *callback = make(loop, fn, arg);
    if (unlikely(!*callback))
        return -ENOMEM;
    timer_init(&(*callback)->at.timer, fire);
    (*callback)->at.ready.run = NULL;
    return (*callback)->id;
}

/* While the last done callbacks run, it is set and does not come. */
int64_t loop_call_soon(loop_fn *fn, void *arg)
{
    struct callback *callback;
    int64_t id = begin(fn, arg, &callback, __func__);

    if (id > 0 && likely(!callback->loop->freed))
        make_ready(callback);
    return id;
}

static ALWAYS_INLINE int64_t call_at(task_time when, loop_fn *fn, void *arg,
                                     const char *call)
{
    struct callback *callback;
    int64_t id = begin(fn, arg, &callback, call);

    if (id < 0)
        return id;
    if (when != TASK_FOREVER) {
        callback->loop->n_due++;
        task__timer_arm(&callback->loop->timers, &callback->at.timer, when);
    }
    return id;
}

int64_t loop_call_at(task_time when, loop_fn *fn, void *arg)
{
    return call_at(when, fn, arg, __func__);
}

int64_t loop_call_later(task_time delay, loop_fn *fn, void *arg)
{
    task_time when;

    if (__builtin_add_overflow(loop_time(), delay, &when))
        when = delay > 0 ? TASK_FOREVER : INT64_MIN;
    return call_at(when, fn, arg, __func__);
}

int loop_call_cancel(int64_t id)
{
    struct loop *loop = loop_current();
    struct callback_table *table = loop ? &loop->callbacks : NULL;
    struct callback *callback;

    if (!loop || id <= 0 || place_of(id) >= table->n ||
        table->places[place_of(id)].next_free & 1)
        return -ENOENT;
    callback = table->places[place_of(id)].callback;
    if (callback->id != id)
        return -ENOENT;
    forget(loop, callback);
    if (is_queued(callback)) {
        callback->fn = NULL;
    } else {
        loop->n_due -= timer_armed(&callback->at.timer);
        task__timer_cancel(&loop->timers, &callback->at.timer);
        pool_put(&loop->record_pool, callback);
    }
    return 0;
}

void task__callbacks_destroy(struct loop *loop)
{
    memory_free(&loop->allocator, loop->callbacks.places);
    task__pool_destroy(&loop->record_pool);
}
