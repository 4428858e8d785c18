/*
 * The tasks of a loop as a tree: below each one those that it waits for.
 *
 *     1            nobody waits for it
 *       2          1 waits for it
 *         3        2 does
 *         4        and for this too
 *       4          1 waits for 4 as well: a line, but nothing below it
 *     5
 *       6
 *         5        5 waits for 6, which waits for 5: a cycle
 *
 * What nobody waits for comes in the order of creation; then what is left:
 * those in cycles that nobody else waits for, and what these wait for.
 *
 * It is bounded: TREE_LINES, or TREE_FEW when memory is short. Where there are
 * more tasks than that, TREE_CHILDREN of each are shown.
 *
 * No recursion, and a few bits in each task instead of a set of those met: it
 * is walked on any stack, while whatever else is under way.
 */
#ifndef TASK_SRC_TREE_H
#define TASK_SRC_TREE_H

#include "loop.h"

enum { TREE_LINES = 1000, TREE_FEW = 24, TREE_CHILDREN = 20 };

enum tree_line_kind {
    TREE_TASK,  /* a task, or a future, that was not shown before */
    TREE_AGAIN, /* one that was */
    TREE_CYCLE, /* one that the line is below of, at some remove */
    TREE_MORE   /* others that are not shown */
};

struct tree_line {
    struct list_node node; /* among those to come */
    const struct tree_line *parent;
    const struct task *task; /* NULL: TREE_MORE */
    unsigned depth;
    bool is_only; /* the parent waits for nothing else */
    enum tree_line_kind kind;
    size_t n_more;
};

struct tree {
    struct loop *loop;
    bool daemons; /* whether those are among the roots */
    void (*show)(const struct tree_line *line, void *arg);
    void *arg;
};

/* Show all lines, top down; how many tasks (no futures) have one. */
size_t task__tree_show(const struct tree *tree);

#endif
