/*
 * What a task is at, what it waits for, and what there is besides.
 */
#include "dump_line.h"

#include "text.h"
#include "tree.h"

enum { NAMES = 8, PLACE = 200, VISITS = 1000000 };

/* What it waits for. */

struct names {
    const struct task *only;
    size_t n;
};

static void count_awaited(struct task *task, void *arg)
{
    struct names *names = arg;

    names->only = task;
    names->n++;
}

static void add_awaited(struct text *text, const struct task *task)
{
    struct names names = {.n = 0};

    each_awaited(task, count_awaited, &names);
    task__text_add(text, " ");
    if (names.n == 1)
        task__text_add_task(text, names.only);
    else
        task__text_add(text, "%zu tasks", names.n);
}

static void add_wait(const struct dump_view *view, struct text *text,
                     const struct task *task)
{
    const struct waiter *waiter = task->waiter;
    const struct wait_kind *kind = waiter->kind;
    bool is_timed = waiter->timer;
    task_time left = is_timed ? waiter->timer->when - view->now : 0;

    task__text_add(text, " ");
    task__text_add_time(text, view->now - waiter->since);
    task__text_add(text, ": %s", kind->verb);
    if (kind->describe) {
        task__text_add(text, " ");
        kind->describe(waiter, text);
    } else if (kind->each_awaited) {
        add_awaited(text, task);
    } else if (is_timed) {
        task__text_add(text, " ");
        task__text_add_time(text, left);
        task__text_add(text, " more");
        is_timed = false;
    }
    if (is_timed) {
        task__text_add(text, "; time-out in ");
        task__text_add_time(text, left);
    }
}

/* What there is besides. */

static void add_scopes(const struct dump_view *view, struct text *text,
                       const struct task *task)
{
    task_time deadline = TASK_FOREVER;
    size_t n = 0;

    for (const struct task_scope *scope = task->scope; scope;
         scope = scope->outer) {
        if (scope->deadline < deadline)
            deadline = scope->deadline;
        n++;
    }
    if (n)
        task__text_add(text, "; in %zu scope%s", n, n == 1 ? "" : "s");
    if (deadline == TASK_FOREVER)
        return;
    task__text_add(text, ", time-out ");
    if (deadline > view->now) {
        task__text_add(text, "in ");
        task__text_add_time(text, deadline - view->now);
    } else {
        task__text_add_time(text, view->now - (deadline > 0 ? deadline : 0));
        task__text_add(text, " ago");
    }
}

/* Whether one is among those that another waits for. */
struct look {
    const struct task *task;
    size_t *n_visits;
    bool is_there;
};

static void look_for(struct task *task, void *arg)
{
    struct look *look = arg;

    ++*look->n_visits;
    look->is_there |= task == look->task;
}

static bool waits(const struct task *task, void *arg)
{
    struct look *look = arg;

    ++*look->n_visits;
    look->is_there = false;
    each_awaited(task, look_for, look);
    return look->is_there;
}

/* All of them, where the place in the tree names one. */
static void add_awaiters(struct dump_view *view, struct text *text,
                         const struct task *task)
{
    struct look look = {.task = task, .n_visits = &view->n_visits};
    struct task *named[NAMES];
    size_t n;

    if (!task->is_shared || view->n_visits > VISITS)
        return;
    n = task__pick_live(view->loop, named, NAMES, waits, &look);
    task__text_add(text, "; awaited by tasks");
    for (size_t i = 0; i < n && i < NAMES; i++)
        task__text_add(text, "%s %llu", i ? "," : "",
                       (unsigned long long)named[i]->id);
    if (n > NAMES)
        task__text_add(text, " and %zu more", n - NAMES);
}

static void add_size(struct text *text, size_t bytes)
{
    task__text_add(text, "%zu", bytes / 1024);
    if (bytes < 100 * 1024 && bytes % 1024 >= 103)
        task__text_add(text, ".%zu", bytes % 1024 * 10 / 1024);
}

static void add_stack(struct text *text, const struct task *task)
{
    size_t size = task_stack_size(task);

    if (!size)
        return;
    task__text_add(text, "; stack ");
    if (!is_new(task)) {
        add_size(text, task_stack_used(task));
        task__text_add(text, " ");
    }
    task__text_add(text, "of ");
    add_size(text, size);
    task__text_add(text, " KiB");
}

/* What it is at. A loop that is being freed has nothing left to wait in. */
static const char *state_of(const struct loop *loop, const struct task *task)
{
    if (loop->freed)
        return "dropped";
    if (task == loop_task_at_work(loop))
        return "running";
    return is_new(task) ? "new" : "ready";
}

static void add_state(const struct dump_view *view, struct text *text,
                      const struct task *task)
{
    if (task->daemon)
        task__text_add(text, ", daemon");
    if (task->done) {
        task__text_add(text, ", done: %d", task->status);
    } else if (task->waiter) {
        task__text_add(text, ", parked");
        add_wait(view, text, task);
    } else {
        task__text_add(text, ", %s",
                       task->future ? "not done" : state_of(view->loop, task));
    }
}

void task__dump_line(struct dump_view *view, struct text *text,
                     const struct task *task)
{
    add_state(view, text, task);
    if (task->cancelling)
        task__text_add(text, "; cancelling %u%s", task->cancelling,
                       task->undelivered && !task->done ? ", not delivered"
                                                        : "");
    if (!task->done)
        add_scopes(view, text, task);
    add_awaiters(view, text, task);
    if (task->file)
        task__text_add(text, "; created at %.*s:%d", PLACE, task->file,
                       task->line);
    if (view->stacks && !view->loop->freed)
        add_stack(text, task);
}
