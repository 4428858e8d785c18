/*
 * What the files of groups share.
 */
#ifndef TASK_SRC_GROUP_H
#define TASK_SRC_GROUP_H

#include "loop.h"
#include "scope.h"

/* In the loop's pool; it watches the child's task. */
struct group_child {
    struct watcher watcher;
    struct list_node node; /* in the group's list */
    struct task_group *group;
    struct task *task;
};

_Static_assert(sizeof(struct group_child) <= RECORD_SIZE, "fits the pool");

static inline struct group_child *child_of(struct list_node *node)
{
    return container_of(node, struct group_child, node);
}

/* End the group early, once. */
void task__group_abort(struct task_group *group);

/* Keep that a task, a child or the owner, has failed. */
void task__group_note_failure(struct task_group *group, const struct task *task,
                              int status);

#endif
