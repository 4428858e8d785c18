/*
 * Groups: children that do not outlive a scope.
 *
 * A child is a record in the loop's pool, which watches the child's task and is
 * in the list of the group's children, until it ends. What ends a group asks
 * every child, and the owner if it is not waiting for them already.
 */
#include "group.h"

static void ask_children(struct task_group *group, struct task_chain *requests)
{
    struct list_node *node = list_of(&group->children)->first;

    for (; node; node = node->next)
        task__chain_request(requests, child_of(node)->task);
}

void task__group_abort(struct task_group *group)
{
    struct task_chain requests = {NULL, NULL};

    if (group->is_aborting)
        return;
    group->is_aborting = true;
    ask_children(group, &requests);
    if (group->is_ending)
        task__chain_run(&requests);
    else
        task__scope_ask(&group->scope, &requests);
}

void task__group_note_failure(struct task_group *group, const struct task *task,
                              int status)
{
    size_t i = group->n_failures++;

    if (i >= TASK_GROUP_FAILURES)
        return;
    group->failures[i] =
        (struct task_failure){.id = task->id, .status = status};
    task__say_cut(group->failures[i].name, sizeof group->failures[i].name,
                  task_name(task));
}

static void note_child(struct task_group *group, struct task *task)
{
    task->was_read = true;
    if (!is_failure(task->status))
        return;
    if (!group->failure)
        group->failure = task->status;
    task__group_note_failure(group, task, task->status);
    task__group_abort(group);
}

/* The owner goes on when it can: there may be new children by then. */
static void wake_owner(struct task_group *group)
{
    struct waiter *waiter = group->waiter;

    group->waiter = NULL;
    if (group->is_asked)
        waiter_hears(waiter);
    task__wake(waiter, 0);
}

/*
 * Whoever else waits for the child is served first: what it was granted is
 * delivered, and the group's request comes next.
 */
static void child_ended(struct watcher *watcher, struct task *task)
{
    struct group_child *child =
        container_of(watcher, struct group_child, watcher);
    struct task_group *group = child->group;
    bool is_last = task->watchers.last == &watcher->node;

    list_remove(&watcher->node);
    if (!is_last) {
        list_append(&task->watchers, &watcher->node);
        return;
    }
    list_remove(&child->node);
    pool_put(&loop_of_task(task)->record_pool, child);
    group->n_children--;
    note_child(group, task);
    if (!group->n_children && group->waiter)
        wake_owner(group);
}

static const struct waiter *waiter_of_owner(const struct watcher *watcher)
{
    return container_of(watcher, struct group_child, watcher)->group->waiter;
}

/*
 * How many groups were cancelled before they began, and have not begun: in all
 * threads, as a loop may go on in another one. Only then is a new one looked
 * at, which may not have been initialised.
 */
static size_t n_early;

static bool take_early(struct task_group *group)
{
    if (likely(!__atomic_load_n(&n_early, __ATOMIC_RELAXED)) ||
        group->early != group)
        return false;
    group->early = NULL;
    __atomic_sub_fetch(&n_early, 1, __ATOMIC_RELAXED);
    return true;
}

void task_group_begin(struct task_group *group)
{
    bool began = scope_begin(&group->scope, TASK_FOREVER, "task_group_begin");
    bool is_early;

    if (!began && scope_is_open(&group->scope))
        return;
    is_early = take_early(group);
    group->n_failures = 0;
    if (!began)
        return;
    group->children = (struct task_list){NULL, NULL};
    group->n_children = 0;
    group->waiter = NULL;
    group->failure = 0;
    group->is_ending = false;
    group->is_aborting = false;
    group->is_asked = false;
    if (is_early)
        task_group_cancel(group);
}

/* Whether there can be another child; 0, or why not. */
static int check_create(const struct task_group *group, task_fn *fn)
{
    struct scheduler *scheduler = scheduler_current();

    if (!scheduler)
        return -EPERM;
    if (!fn || !scope_is_open(&group->scope) ||
        group->scope.task->scheduler != scheduler)
        return -EINVAL;
    return group->is_aborting ? -ESHUTDOWN : 0;
}

/* A child with a handle; NULL and the error. */
static ALWAYS_INLINE struct task *create(struct task_group *group, task_fn *fn,
                                         void *arg, const char *file, int line,
                                         int *error, const char *call)
{
    struct loop *loop = loop_current();
    struct group_child *child;

    *error = check_create(group, fn);
    if (*error) {
        task__misuse(site_here(call), *error,
                     fn ? "the group is not open in this thread"
                        : "the function is NULL");
        return NULL;
    }
    *error = -ENOMEM;
    child = pool_get(&loop->record_pool);
    if (!child)
        return NULL;
    child->task = task_create_at(fn, arg, NULL, file, line);
    if (!child->task) {
        pool_put(&loop->record_pool, child);
        return NULL;
    }
    child->watcher.ended = child_ended;
    child->watcher.waiter = waiter_of_owner;
    child->group = group;
    list_append(&child->task->watchers, &child->watcher.node);
    list_append(list_of(&group->children), &child->node);
    group->n_children++;
    return child->task;
}

struct task *task_group_create_at(struct task_group *group, task_fn *fn,
                                  void *arg, const char *file, int line)
{
    int error;

    return create(group, fn, arg, file, line, &error, "task_group_create");
}

int task_group_start_at(struct task_group *group, task_fn *fn, void *arg,
                        const char *file, int line)
{
    int error;
    struct task *task =
        create(group, fn, arg, file, line, &error, "task_group_start");

    if (!task)
        return error;
    task_detach(task);
    return 0;
}

struct task *(task_group_create)(struct task_group *group, task_fn *fn,
                                 void *arg)
{
    return task_group_create_at(group, fn, arg, NULL, 0);
}

int(task_group_start)(struct task_group *group, task_fn *fn, void *arg)
{
    return task_group_start_at(group, fn, arg, NULL, 0);
}

void task_group_cancel(struct task_group *group)
{
    if (scope_is_open(&group->scope)) {
        if (!LOOP_REFUSES(loop_of_task(group->scope.task)))
            task__group_abort(group);
    } else if (!group->scope.state && group->early != group) {
        group->early = group;
        __atomic_add_fetch(&n_early, 1, __ATOMIC_RELAXED);
    }
}

size_t task_group_failures(const struct task_group *group,
                           struct task_failure out[], size_t n)
{
    size_t kept = group->n_failures < TASK_GROUP_FAILURES ? group->n_failures
                                                          : TASK_GROUP_FAILURES;

    for (size_t i = 0; i < n && i < kept; i++)
        out[i] = group->failures[i];
    return group->n_failures;
}
