/*
 * Task locals: a short list of values on each task that has any.
 */
#include "local.h"

#include "aside.h"
#include "loop.h"

#include <errno.h>

struct local_value {
    struct local_value *next;
    const struct task_local *local;
    void *value;
};

/* Outside of tasks: whose job this worker thread does; whom an error hook is
 * told of. What they begin another loop for has no part in it. */
static THREAD_LOCAL struct loan loan;

/* What points to the value of a local; or the end of the list. */
static struct local_value **find(struct task *task,
                                 const struct task_local *local)
{
    struct local_value **at = &task->locals;

    while (*at && (*at)->local != local)
        at = &(*at)->next;
    return at;
}

struct loan task__locals_lend(const struct task *task)
{
    struct loan former = loan;

    loan = (struct loan){task, scheduler_current()};
    return former;
}

void task__locals_return(struct loan former)
{
    loan = former;
}

void *task_local_get(const struct task_local *local)
{
    const struct task *self = scheduler_self();
    const struct local_value *value;

    if (!self && loan.scheduler == scheduler_current())
        self = loan.lender;
    value = self ? self->locals : NULL;

    while (value && value->local != local)
        value = value->next;
    return value ? value->value : NULL;
}

static int put(struct task *task, const struct task_local *local, void *value)
{
    struct local_value *new =
        memory_get(&loop_of_task(task)->allocator, sizeof *new);

    if (!new)
        return -ENOMEM;
    *new = (struct local_value){task->locals, local, value};
    task->locals = new;
    task->owns = true;
    return 0;
}

static void destroy(struct loop *loop, const struct task_local *local,
                    void *value)
{
    struct aside before;

    if (!local->destroy || !value || loop_is_inherited(loop))
        return;
    before = aside_begin(loop);
    local->destroy(value);
    aside_end(loop, before);
}

static void *take(struct task *task, struct local_value **at)
{
    struct local_value *taken = *at;
    void *value = taken->value;

    *at = taken->next;
    memory_free(&loop_of_task(task)->allocator, taken);
    return value;
}

int task_local_set(struct task_local *local, void *value)
{
    struct task *self = scheduler_self();
    struct local_value **at;
    void *former;

    if (!self)
        return MISUSE(-EPERM, OUTSIDE_A_TASK);
    if (!local)
        return MISUSE(-EINVAL, "the local is NULL");
    at = find(self, local);
    if (!*at)
        return value ? put(self, local, value) : 0;
    former = (*at)->value;
    if (value)
        (*at)->value = value;
    else
        take(self, at);
    if (former != value)
        destroy(loop_of_task(self), local, former);
    return 0;
}

/* A copy for a child, in the midst of its creator's run. */
static void *inherit(struct loop *loop, const struct local_value *parent)
{
    const struct task_local *local = parent->local;
    struct aside before;
    void *value;

    if (!local->destroy)
        return parent->value;
    if (!local->inherit)
        return NULL;
    before = aside_begin(loop);
    value = local->inherit(parent->value);
    aside_end(loop, before);
    return value;
}

void task__locals_destroy(struct task *task)
{
    while (task->locals) {
        const struct task_local *local = task->locals->local;
        void *value = take(task, &task->locals);

        destroy(loop_of_task(task), local, value);
    }
}

bool task__locals_inherit(struct task *child, const struct task *creator)
{
    struct loop *loop = loop_of_task(child);

    for (const struct local_value *parent = creator->locals; parent;
         parent = parent->next) {
        void *value = inherit(loop, parent);

        if (value && put(child, parent->local, value)) {
            destroy(loop, parent->local, value);
            task__locals_destroy(child);
            return false;
        }
    }
    return true;
}
