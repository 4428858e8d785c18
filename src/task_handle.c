/*
 * What a handle tells of its task, and does to it.
 */
#include "loop.h"
#include "loop_above.h"

#include <stdio.h>

bool task_done(const struct task *task)
{
    return !task || task->done;
}

int task_status(const struct task *task)
{
    if (!task)
        return -ENOMEM;
    if (!task->done)
        return -EINPROGRESS;
    /* To look is to read: the one thing about a task that this changes. */
    container_of(&task->scheduler, struct task, scheduler)->was_read = true;
    return task->status;
}

bool task_cancelled(const struct task *task)
{
    return task && task->done && task->status == -ECANCELED;
}

bool task_cancel(struct task *task)
{
    return task && !LOOP_REFUSES(loop_of_task(task)) && task__request(task);
}

unsigned task_cancelling(const struct task *task)
{
    return task ? task->cancelling : 0;
}

unsigned task_uncancel(struct task *task)
{
    if (!task || !task->cancelling || LOOP_REFUSES(loop_of_task(task)))
        return 0;
    task->cancelling--;
    if (!task->done && task->undelivered > task->cancelling)
        task->undelivered = task->cancelling;
    if (task->scope)
        task__scopes_forget(task);
    return task->cancelling;
}

struct task *task_current(void)
{
    return scheduler_self();
}

uint64_t task_id(const struct task *task)
{
    return task ? task->id : 0;
}

/* Before the former one is freed: a signal handler may look at it. */
static void replace_name(struct task *task, char *name)
{
    char *former = task->name;

    task->name = name;
    memory_free(&loop_of_task(task)->allocator, former);
}

bool task__name_copy(struct task *task, const char *name)
{
    struct loop *loop = loop_of_task(task);
    char *copy = task__memory_copy_string(&loop->allocator, name);

    if (!copy)
        return false;
    replace_name(task, copy);
    return true;
}

const char *task_name(const struct task *task)
{
    char text[32];

    if (!task)
        return "";
    if (!task->name) {
        snprintf(text, sizeof text, "task-%llu", (unsigned long long)task->id);
        task__name_copy(container_of(&task->scheduler, struct task, scheduler),
                        text);
    }
    return task->name ? task->name : "task";
}

void task_set_name(struct task *task, const char *name)
{
    if (!task || LOOP_REFUSES(loop_of_task(task)))
        return;
    if (name)
        task__name_copy(task, name);
    else
        replace_name(task, NULL);
}
