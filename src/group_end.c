/*
 * The end of a group: its owner waits for the children.
 */
#include "group.h"

struct ending {
    struct waiter waiter;
    struct task_group *group;
};

static struct task_group *group_of(const struct waiter *waiter)
{
    return container_of(waiter, struct ending, waiter)->group;
}

static void pass_on(struct waiter *waiter, struct task_chain *requests)
{
    struct task_group *group = group_of(waiter);
    bool is_asked = task__waiter_pass_on(waiter, requests);

    group->is_asked |= is_asked;
    group->is_aborting |= is_asked;
}

static void name_children(const struct waiter *waiter, visit_fn *visit,
                          void *arg)
{
    struct list_node *node = list_of(&group_of(waiter)->children)->first;

    for (; node; node = node->next)
        visit(child_of(node)->task, arg);
}

static size_t count_children(const struct waiter *waiter)
{
    return group_of(waiter)->n_children;
}

static const struct wait_kind ENDING = {
    .verb = "ending a group with",
    .cancel = pass_on,
    .each_awaited = name_children,
    .n_needed = count_children,
};

static void wait_for_children(struct task_group *group)
{
    struct task *self = group->scope.task;
    struct ending ending = {.group = group};

    while (group->n_children) {
        waiter_init(&ending.waiter, self, &ENDING);
        if (unlikely(self->undelivered))
            task__waiter_take_requests(&ending.waiter);
        group->waiter = &ending.waiter;
        task__park(&ending.waiter);
    }
}

/* The status to go on with. */
static int conclude(const struct task_group *group, int status,
                    bool from_outside)
{
    if (is_failure(status))
        return status;
    if (group->failure)
        return group->failure;
    if (from_outside)
        return -ECANCELED;
    return status == -ECANCELED && group->scope.asks ? 0 : status;
}

int task_group_end(struct task_group *group, int status)
{
    struct task_scope *scope = &group->scope;
    int error = scope_check(scope);
    bool from_outside;

    if (unlikely(error))
        return error;
    group->is_ending = true;
    scope_take_back(scope);
    from_outside = status == -ECANCELED && scope_requests(scope);
    if (is_failure(status))
        task__group_note_failure(group, scope->task, status);
    if (status < 0)
        task__group_abort(group);
    wait_for_children(group);
    from_outside |= group->is_asked;
    scope_end(scope);
    status = conclude(group, status, from_outside);
    if (from_outside && status == -ECANCELED)
        scope_deliver(scope);
    else if (from_outside)
        task__scope_rearm(scope);
    return status;
}
