/*
 * An intrusive min-heap (a pairing heap): it allocates nothing, and any node
 * can be taken out.
 *
 * Insert and look at the least: O(1). Take out: O(log n), amortised.
 *
 * Every node has a list of children, none of which comes before it:
 *
 *     root
 *      | child
 *      a <-> b <-> c        next to the right; prev to the left, and from
 *      |     |              the leftmost to the parent
 *
 * M. L. Fredman, R. Sedgewick, D. D. Sleator, R. E. Tarjan, "The pairing heap:
 * a new form of self-adjusting heap", Algorithmica 1 (1986).
 */
#ifndef TASK_SRC_HEAP_H
#define TASK_SRC_HEAP_H

#include "base.h"

#include <stdbool.h>

struct heap_node {
    struct heap_node *child;
    struct heap_node *next;
    struct heap_node *prev;
};

/* Whether a comes before b; a strict order in which no two nodes are equal. */
typedef bool heap_before_fn(const struct heap_node *a,
                            const struct heap_node *b);

struct heap {
    struct heap_node *root; /* the least; NULL: empty */
    heap_before_fn *before;
};

void task__heap_insert(struct heap *heap, struct heap_node *node);

/*
 * Sort a list linked by `next`, of one node or more, in any order, in front of
 * `rest`, which was sorted so, and whose nodes all come after (NULL: none).
 * What comes out is a chain, each node the only child of the one before: a heap
 * that gives up its least for nothing, once it is inserted.
 */
struct heap_node *task__heap_sort(const struct heap *heap,
                                  struct heap_node *list,
                                  struct heap_node *rest);

/* Insert a chain that was sorted: O(1). */
void task__heap_insert_sorted(struct heap *heap, struct heap_node *sorted);

void task__heap_remove(struct heap *heap, struct heap_node *node);

#endif
