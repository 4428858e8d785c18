/*
 * A search from both ends:
 *
 *     targets ... -> lower -> ... met? ... -> upper -> ... self
 *
 * Down from the targets, to all that they need; and up from the one that asks,
 * to all that need it. It is over when a task is met that is both, or when
 * either side has no more to look at. Neither gets ahead of the other: so a row
 * of tasks is not walked again by each that is put before it or behind it,
 * whoever else watches these; nor is a crowd that one of them waits for.
 */
#include "needs.h"

struct needs_search {
    struct task_chain below;
    struct task_chain above; /* these have `is_above` set */
    struct task *upper;      /* the one above whose watchers are looked at */
    struct list_node *node;  /* the next of these */
    bool has_met;
};

/* Whether it goes on only when others have ended. */
static bool needs_others(const struct task *task)
{
    return task->waiter && task->waiter->kind->n_needed;
}

static void add_below(struct task *task, void *arg)
{
    struct needs_search *search = arg;

    if (task->is_above)
        search->has_met = true;
    else if (needs_others(task))
        task_chain_append(&search->below, task);
}

static void add_above(struct needs_search *search, struct task *task)
{
    if (task_chain_append(&search->above, task))
        task->is_above = true;
    else if (!task->is_above)
        search->has_met = true;
}

/* The wait that goes on only when the task that is watched has ended. */
static const struct waiter *waiter_behind(const struct list_node *node)
{
    const struct watcher *watcher = container_of(node, struct watcher, node);
    const struct waiter *waiter =
        watcher->waiter ? watcher->waiter(watcher) : NULL;

    return waiter && waiter_is_parked(waiter) && waiter->kind->n_needed ? waiter
                                                                        : NULL;
}

/* One step up: a watcher, or on to the next task. False: there are no more. */
static bool climb(struct needs_search *search)
{
    struct list_node *node = search->node;
    const struct waiter *waiter;

    if (node) {
        search->node = node->next;
        waiter = waiter_behind(node);
        if (waiter)
            add_above(search, waiter->task);
        return true;
    }
    search->upper = search->upper->next;
    if (search->upper)
        search->node = search->upper->watchers.first;
    return search->upper;
}

/* As many steps, unless the search is over by one of them. */
static bool climb_on(struct needs_search *search, size_t n)
{
    while (n && !search->has_met && climb(search))
        n--;
    return !n && !search->has_met;
}

/* Before those that one needs are looked at, there are as many steps up. */
static void look(struct needs_search *search)
{
    for (struct task *at = search->below.first; at; at = at->next) {
        const struct waiter *waiter = at->waiter;

        if (!climb_on(search, 1 + waiter->kind->n_needed(waiter)))
            break;
        waiter->kind->each_awaited(waiter, add_below, search);
    }
}

static void begin(struct needs_search *search, struct task *self)
{
    *search =
        (struct needs_search){.upper = self, .node = self->watchers.first};
    add_above(search, self);
}

static bool end(struct needs_search *search)
{
    for (struct task *task; (task = task_chain_pop(&search->above));)
        task->is_above = false;
    task_chain_clear(&search->below);
    return search->has_met;
}

bool task__needs_parked(struct task *task, struct task *self)
{
    struct needs_search search;

    if (!needs_others(task))
        return false;
    begin(&search, self);
    add_below(task, &search);
    look(&search);
    return end(&search);
}

bool task__any_needs(struct task *const tasks[], size_t n, struct task *self)
{
    struct needs_search search;

    if (list_empty(&self->watchers))
        return false;
    begin(&search, self);
    for (size_t i = 0; i < n; i++)
        if (tasks[i] && tasks[i]->waiter)
            add_below(tasks[i], &search);
    look(&search);
    return end(&search);
}
