/*
 * A walk of the tasks, depth first: a list of the lines to come takes the place
 * of the recursion.
 */
#include "tree.h"

/* The lines shown, and those to come, are never more than may be shown: of the
 * latter the last is given up when there is one that comes before it. */
struct tree_walk {
    const struct tree *tree;
    struct tree_line *lines;
    size_t n_lines;
    size_t n_used;
    struct task **roots; /* room for n_lines */
    struct list to_come;
    struct list spare; /* those that were not shown after all */
    size_t n_shown;    /* tasks */
    bool is_partial;   /* there are too many to show all children of each */

    /* What one waits for, while that is collected. */
    const struct tree_line *parent;
    struct list children;
    size_t n_children;
};

/* Another line, or NULL: then there is none to come either. */
static struct tree_line *take_line(struct tree_walk *walk)
{
    struct list *from = walk->spare.last ? &walk->spare : &walk->to_come;
    struct list_node *last = from->last;

    if (from == &walk->to_come && walk->n_used < walk->n_lines) {
        struct tree_line *line = &walk->lines[walk->n_used++];

        line->node.list = NULL;
        return line;
    }
    if (!last)
        return NULL;
    list_remove(last);
    return container_of(last, struct tree_line, node);
}

static void add_line(struct tree_walk *walk, const struct task *task,
                     size_t n_more)
{
    struct tree_line *line = take_line(walk);

    if (!line)
        return;
    line->parent = walk->parent;
    line->task = task;
    line->depth = walk->parent ? walk->parent->depth + 1 : 0;
    line->is_only = false;
    line->kind = task ? TREE_TASK : TREE_MORE;
    line->n_more = n_more;
    list_append(&walk->children, &line->node);
}

static void add_child(struct task *task, void *arg)
{
    struct tree_walk *walk = arg;

    if (++walk->n_children <= TREE_CHILDREN || !walk->is_partial)
        add_line(walk, task, 0);
}

/* The first to come are those that this one waits for. */
static void add_children(struct tree_walk *walk, const struct tree_line *parent)
{
    struct list_node *node;

    walk->parent = parent;
    walk->n_children = 0;
    each_awaited(parent->task, add_child, walk);
    if (walk->is_partial && walk->n_children > TREE_CHILDREN)
        add_line(walk, NULL, walk->n_children - TREE_CHILDREN);
    if (walk->n_children == 1 && walk->children.first)
        container_of(walk->children.first, struct tree_line, node)->is_only =
            true;
    while ((node = walk->children.last)) {
        list_remove(node);
        list_prepend(&walk->to_come, node);
    }
}

static bool is_below_itself(const struct tree_line *line)
{
    const struct tree_line *above = line->parent;

    while (above && above->task != line->task)
        above = above->parent;
    return above;
}

/* The bits are the walk's own. */
static struct task *to_mark(const struct task *task)
{
    return container_of(&task->scheduler, struct task, scheduler);
}

/* One that is shown already is named by whoever waits for nothing else. */
static void show(struct tree_walk *walk, struct tree_line *line)
{
    const struct task *task = line->task;

    if (task && task->is_shown)
        line->kind = is_below_itself(line) ? TREE_CYCLE : TREE_AGAIN;
    if (line->kind == TREE_AGAIN && line->is_only) {
        list_append(&walk->spare, &line->node);
        return;
    }
    walk->tree->show(line, walk->tree->arg);
    if (line->kind != TREE_TASK)
        return;
    to_mark(task)->is_shown = true;
    walk->n_shown += !task->future && !task->done;
    add_children(walk, line);
}

/* Show a root, and all below it. */
static void show_root(struct tree_walk *walk, const struct task *task)
{
    struct list_node *node;

    walk->parent = NULL;
    add_line(walk, task, 0);
    while ((node = list_pop(&walk->children)))
        list_append(&walk->to_come, node);
    while ((node = list_pop(&walk->to_come)))
        show(walk, container_of(node, struct tree_line, node));
}

static bool is_root(const struct task *task, void *walk)
{
    return !task->is_awaited &&
           (!task->daemon || ((struct tree_walk *)walk)->tree->daemons);
}

static bool is_left(const struct task *task, void *walk)
{
    return !task->is_shown &&
           (!task->daemon || ((struct tree_walk *)walk)->tree->daemons);
}

static void show_roots(struct tree_walk *walk, accept_fn *accept)
{
    size_t n = task__pick_live(walk->tree->loop, walk->roots, walk->n_lines,
                               accept, walk);

    for (size_t i = 0; i < n && i < walk->n_lines; i++)
        if (!walk->roots[i]->is_shown)
            show_root(walk, walk->roots[i]);
}

static void mark(struct task *task, void *arg)
{
    (void)arg;
    task->is_shared = task->is_awaited;
    task->is_awaited = true;
}

static void mark_awaited(const struct loop *loop)
{
    struct task *task = NULL;

    while ((task = task__next_live(loop, task)))
        each_awaited(task, mark, NULL);
}

static void unmark(const struct loop *loop)
{
    struct task *task = NULL;

    while ((task = task__pool_next(&loop->task_pool, task))) {
        task->is_awaited = false;
        task->is_shared = false;
        task->is_shown = false;
    }
}

/* What is left is in cycles or behind them, unless it is behind what is not
 * shown. */
static size_t walk_with(const struct tree *tree, struct tree_line lines[],
                        struct task *roots[], size_t n)
{
    struct loop *loop = tree->loop;
    struct tree_walk walk = {
        .tree = tree,
        .lines = lines,
        .roots = roots,
        .n_lines = n,
        .is_partial = loop->n_tasks > n,
    };

    mark_awaited(loop);
    show_roots(&walk, is_root);
    if (!walk.is_partial)
        show_roots(&walk, is_left);
    unmark(loop);
    return walk.n_shown;
}

static NEVER_INLINE size_t walk_without_memory(const struct tree *tree)
{
    struct tree_line lines[TREE_FEW];
    struct task *roots[TREE_FEW];

    return walk_with(tree, lines, roots, TREE_FEW);
}

size_t task__tree_show(const struct tree *tree)
{
    struct allocator *allocator = &tree->loop->allocator;
    struct tree_line *lines = memory_get(
        allocator, TREE_LINES * (sizeof *lines + sizeof(struct task *)));
    size_t n_shown;

    if (!lines)
        return walk_without_memory(tree);
    n_shown = walk_with(tree, lines, (struct task **)(lines + TREE_LINES),
                        TREE_LINES);
    memory_free(allocator, lines);
    return n_shown;
}
