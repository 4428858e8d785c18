/*
 * Tasks are created.
 */
#include "local.h"
#include "loop.h"

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

static struct stacks *add_size(struct loop *loop, size_t size)
{
    struct stacks *stacks = memory_get(&loop->allocator, sizeof *stacks);

    if (!stacks)
        return NULL;
    if (task__stacks_init(stacks, &loop->allocator, size, COROUTINE_KEPT)) {
        memory_free(&loop->allocator, stacks);
        return NULL;
    }
    stacks->next = loop->stacks.next;
    loop->stacks.next = stacks;
    return stacks;
}

/* The stacks of that size; NULL: it cannot be, or there is no memory. */
static struct stacks *stacks_of_size(struct loop *loop, size_t size)
{
    struct stacks *stacks = &loop->stacks;

    if (!size || fits(stacks, size))
        return stacks;
    size = round_up(size);
    while ((stacks = stacks->next))
        if (fits(stacks, size))
            return stacks;
    return add_size(loop, size);
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
        task__discard(task);
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
        task__discard(task);
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
