/*
 * Tasks: made, ended, freed.
 */
#include "local.h"
#include "loop.h"
#include "loop_above.h"
#include "report.h"

/* Whether these are of that size, which is rounded up to pages. */
static bool fits(const struct stacks *stacks, size_t size)
{
    return size <= stacks->size && stacks->size - size < stacks->page;
}

/* There are eight sizes from a power of two to the next, so few in all however
 * many are asked for. One beyond all reason gives 0, which is none. */
static size_t round_up(size_t size)
{
    size_t step = (size_t)1 << (60 - __builtin_clzll(size));

    return (size + step - 1) & ~(step - 1);
}

static struct stack_size *add_size(struct loop *loop, size_t size)
{
    struct stack_size *other = memory_get(&loop->allocator, sizeof *other);

    if (!other)
        return NULL;
    if (task__stacks_init(&other->stacks, &loop->allocator, size,
                          COROUTINE_KEPT)) {
        memory_free(&loop->allocator, other);
        return NULL;
    }
    other->next = loop->other_stacks;
    loop->other_stacks = other;
    return other;
}

/* The stacks of that size; NULL: it cannot be, or there is no memory. */
static struct stacks *stacks_of_size(struct loop *loop, size_t size)
{
    struct stack_size *other = loop->other_stacks;

    if (!size || fits(&loop->stacks, size))
        return &loop->stacks;
    size = round_up(size);
    while (other && !fits(&other->stacks, size))
        other = other->next;
    if (!other)
        other = add_size(loop, size);
    return other ? &other->stacks : NULL;
}

/* A task that nobody has heard of, new; or NULL. */
static ALWAYS_INLINE struct task *make(struct loop *loop, struct stacks *stacks,
                                       const char *file, int line)
{
    struct task *task =
        likely(!loop->freed) ? pool_get(&loop->task_pool) : NULL;

    if (unlikely(!task))
        return NULL;
    task->ready.run = NULL;
    context_mark_new(&task->context);
    task->waiter = NULL;
    task->flags = 0;
    task->undelivered = 0;
    task->scheduler = &loop->scheduler;
    task->stacks = stacks;
    task->references = TASK_HANDLE;
    task->watchers = (struct list){NULL, NULL};
    task->locks = NULL;
    task->scope = NULL;
    task->locals = NULL;
    task->id = ++loop->last_id;
    task->name = NULL;
    task->file = file;
    task->line = (unsigned)line & 0xffffff;
    task->parks = 0;
    task->cancelling = 0;
    return task;
}

struct task *task__make_future(struct loop *loop, const char *file, int line)
{
    struct task *task = make(loop, NULL, file, line);

    if (task)
        task->future = true;
    return task;
}

/* Give the structure back once nobody can know of it any more. */
static ALWAYS_INLINE void free_task(struct task *task)
{
    struct loop *loop = loop_of_task(task);

    if (unlikely(!list_empty(&task->watchers)))
        task__forget_callbacks(task);
    if (unlikely(task->owns))
        task__locals_destroy(task);
    if (unlikely(task->name))
        memory_free(&loop->allocator, task->name);
    pool_put(&loop->task_pool, task);
}

/* Nobody refers to a task that failed, and nobody has read that: unless the
 * hook retains it, it goes. */
static COLD void let_go(struct task *task)
{
    task__report_unread(task);
    task__locals_destroy(task);
    if (!task->references)
        free_task(task);
}

static ALWAYS_INLINE void drop(struct task *task, uint64_t reference)
{
    task->references -= reference;
    if (task->references)
        return;
    if (unlikely(task->done && task->status < 0 && !task->was_read))
        let_go(task);
    else
        free_task(task);
}

void task__unpin(struct task *task)
{
    drop(task, TASK_PIN);
}

/* One that has never run, and will not. */
static void discard(struct task *task)
{
    loop_of_task(task)->n_tasks--;
    stacks_unreserve(task->stacks);
    free_task(task);
}

/*
 * A task that is alive from now on, and made ready by whoever asked for it.
 */
static ALWAYS_INLINE struct task *create(struct loop *loop,
                                         struct stacks *stacks, task_fn *fn,
                                         void *arg, const char *file, int line)
{
    const struct task *creator = loop->scheduler.current;
    struct task *task;

    if (unlikely(stacks_reserve(stacks)))
        return NULL;
    task = make(loop, stacks, file, line);
    if (unlikely(!task)) {
        stacks_unreserve(stacks);
        return NULL;
    }
    task->fn = fn;
    task->arg = arg;
    task->references += TASK_PIN;
    loop->n_tasks++;
    if (unlikely(creator && creator->locals) &&
        !task__locals_inherit(task, creator)) {
        discard(task);
        return NULL;
    }
    PROBE3(task_created, task, task->id, fn);
    return task;
}

struct task *task__create(struct loop *loop, task_fn *fn, void *arg)
{
    struct task *task = create(loop, &loop->stacks, fn, arg, NULL, 0);

    if (task)
        ready_push(&loop->scheduler, &task->ready);
    return task;
}

/* Whether nobody but the error hook will hear that it ends so: the hook may ask
 * for its locals. */
static bool is_for_hook(const struct task *task, int status)
{
    return is_failure(status) && !task_has_handle(task) &&
           list_empty(&task->watchers);
}

/* What a coroutine has of its own ends with it. */
static COLD void leave_all(struct task *task, int status)
{
    if (task->scope)
        task__abort(task, "ended in the midst of a scope");
    if (task->locks)
        task__locks_abandon(task);
    if (!is_for_hook(task, status))
        task__locals_destroy(task);
}

void task__end(struct task *task, int status)
{
    struct loop *loop = loop_of_task(task);

    if (unlikely(task->owns || task->locks))
        leave_all(task, status);
    task->status = status;
    task->done = true;
    for (struct list_node *node = task->watchers.first; node;) {
        struct watcher *watcher = container_of(node, struct watcher, node);

        node = node->next;
        watcher->ended(watcher, task);
    }
    if (unlikely(task->future))
        return;
    PROBE2(task_ended, task, status);
    loop->n_tasks--;
    if (unlikely(task->daemon))
        loop->n_daemons--;
    if (unlikely(task->ending))
        loop->n_ending--;
    loop->scheduler.current = NULL; /* signal handlers look at that one */
    drop(task, TASK_PIN);
}

/* What the options ask for besides a stack. */
static struct task *create_with(struct loop *loop, task_fn *fn, void *arg,
                                const struct task_options *options,
                                const char *file, int line)
{
    struct stacks *stacks = stacks_of_size(loop, options->stack_size);
    struct task *task =
        stacks ? create(loop, stacks, fn, arg, file, line) : NULL;

    if (!task)
        return NULL;
    if (options->name && !task__name_copy(task, options->name)) {
        discard(task);
        return NULL;
    }
    task->daemon = options->daemon;
    loop->n_daemons += task->daemon;
    if (options->eager && !loop->is_aside)
        task__scheduler_run_now(&loop->scheduler, task);
    else
        ready_push(&loop->scheduler, &task->ready);
    return task;
}

struct task *task_create_at(task_fn *fn, void *arg,
                            const struct task_options *options,
                            const char *file, int line)
{
    struct loop *loop = loop_current();
    struct task *task;

    if (unlikely(!loop || !fn)) {
        misuse("task_create", loop ? -EINVAL : -EPERM,
               loop ? "the function is NULL" : "no loop runs in this thread");
        return NULL;
    }
    if (unlikely(options && options->stack_size &&
                 options->stack_size < TASK_STACK_MIN)) {
        misuse("task_create_with", -EINVAL, "the stack is too small");
        return NULL;
    }
    if (unlikely(options))
        return create_with(loop, fn, arg, options, file, line);
    task = create(loop, &loop->stacks, fn, arg, file, line);
    if (likely(task))
        ready_append(&loop->scheduler.ready, &task->ready);
    return task;
}

struct task *(task_create)(task_fn *fn, void *arg)
{
    return task_create_at(fn, arg, NULL, NULL, 0);
}

struct task *(task_create_with)(task_fn *fn, void *arg,
                                const struct task_options *options)
{
    return task_create_at(fn, arg, options, NULL, 0);
}

struct task *(create_task)(task_fn *fn, void *arg)
{
    return task_create_at(fn, arg, NULL, NULL, 0);
}

struct task *loop_create_task_at(struct loop *loop, task_fn *fn, void *arg,
                                 const char *file, int line)
{
    struct task *task;

    if (!loop || !fn) {
        misuse_about(loop, "loop_create_task", -EINVAL,
                     loop ? "the function is NULL" : "the loop is NULL");
        return NULL;
    }
    if (loop_refuses(loop, "loop_create_task"))
        return NULL;
    task = create(loop, &loop->stacks, fn, arg, file, line);
    if (task)
        ready_push(&loop->scheduler, &task->ready);
    return task;
}

struct task *(loop_create_task)(struct loop *loop, task_fn *fn, void *arg)
{
    return loop_create_task_at(loop, fn, arg, NULL, 0);
}

void task_detach(struct task *task)
{
    if (task && task_has_handle(task) && !LOOP_REFUSES(loop_of_task(task)))
        drop(task, TASK_HANDLE);
}

struct task *task_retain(struct task *task)
{
    if (task && !LOOP_REFUSES(loop_of_task(task)))
        task->references += TASK_HANDLE;
    return task;
}

/* One that is dropped while it waits may wait for what outlives the loop. */
static void drop_waiter(struct task *task)
{
    struct waiter *waiter = task->waiter;

    if (waiter->kind->choose)
        waiter = waiter->kind->choose(waiter);
    list_remove(&waiter->node);
    task->waiter = NULL;
    task->scheduler->n_parked--;
}

/* The last that is heard of a task. */
static void report_end(struct task *task)
{
    if (!task->done && !task->future)
        task__report_dropped(task);
    else if (task->done && !task->was_read && is_failure(task->status))
        task__report_unread(task);
    else if (task_has_handle(task))
        task__report_handle(task);
}

/*
 * Nobody waits any more before locks are left to whoever comes next; and that
 * before any task takes along what its locals hold. No task is freed before the
 * last call of the user's: that may have handles of others. Scopes are closed
 * before the first, as some are on no stack of the loop's, and known to others.
 */
void task__free_all(struct loop *loop)
{
    struct pool *pool = &loop->task_pool;
    struct task *task = NULL;

    pool->sweep_at = SIZE_MAX; /* what was freed still tells what is next */
    while ((task = task__pool_next(pool, task))) {
        if (task->waiter)
            drop_waiter(task);
        task__scopes_abandon(task);
    }
    while ((task = task__pool_next(pool, task)))
        if (task->locks)
            task__locks_abandon(task);
    while ((task = task__pool_next(pool, task)))
        report_end(task);
    while ((task = task__pool_next(pool, task)))
        task__locals_destroy(task);
    while ((task = task__pool_next(pool, task)))
        free_task(task);
}
