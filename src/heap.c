/*
 * The pairing heap; and a merge sort, by which many nodes become one heap at
 * once.
 */
#include "heap.h"

/* Make the later of two roots the leftmost child of the earlier. */
static struct heap_node *meld(heap_before_fn *before, struct heap_node *a,
                              struct heap_node *b)
{
    if (before(b, a)) {
        struct heap_node *least = b;
        b = a;
        a = least;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/*
 * One root out of a list of siblings: meld them in pairs from left to right,
 * then the pairs from right to left. The pairs are chained through `prev`.
 */
static struct heap_node *meld_siblings(heap_before_fn *before,
                                       struct heap_node *first)
{
    struct heap_node *pairs = NULL;

    while (first) {
        struct heap_node *a = first;
        struct heap_node *b = first->next;

        first = b ? b->next : NULL;
        if (b)
            a = meld(before, a, b);
        a->prev = pairs;
        pairs = a;
    }

    struct heap_node *root = pairs;

    if (!root)
        return NULL;
    pairs = root->prev;
    while (pairs) {
        struct heap_node *rest = pairs->prev;

        root = meld(before, root, pairs);
        pairs = rest;
    }
    root->next = NULL;
    root->prev = NULL;
    return root;
}

void task__heap_insert_sorted(struct heap *heap, struct heap_node *sorted)
{
    sorted->next = NULL;
    sorted->prev = NULL;
    heap->root = heap->root ? meld(heap->before, heap->root, sorted) : sorted;
    heap->root->next = NULL;
}

void task__heap_insert(struct heap *heap, struct heap_node *node)
{
    node->child = NULL;
    task__heap_insert_sorted(heap, node);
}

/* Sorted lists are linked by `child`, so that they are heaps but for `prev`. */
static struct heap_node *merge(heap_before_fn *before, struct heap_node *a,
                               struct heap_node *b)
{
    struct heap_node *merged;
    struct heap_node **end = &merged;

    while (a && b) {
        struct heap_node **list = before(a, b) ? &a : &b;

        *end = *list;
        end = &(*end)->child;
        *list = *end;
    }
    *end = a ? a : b;
    return merged;
}

/* Cut a sorted list off the front of an unsorted one: a run up or down. */
static struct heap_node *cut_run(heap_before_fn *before,
                                 struct heap_node **list)
{
    struct heap_node *first = *list;
    struct heap_node *last = first;
    struct heap_node *next = first->next;

    first->child = NULL;
    if (next && before(next, first)) {
        do {
            struct heap_node *rest = next->next;

            next->child = first;
            first = next;
            next = rest;
        } while (next && before(next, first));
    } else {
        for (; next && before(last, next); next = next->next) {
            last->child = next;
            last = next;
        }
        last->child = NULL;
    }
    *list = next;
    return first;
}

/*
 * Merge sort: bins[i], of which there are `n`, holds nothing, or what 2^i runs
 * made. Most lists are short, and one run.
 */
static struct heap_node *sort(heap_before_fn *before, struct heap_node *list)
{
    enum { BINS = 48 };
    struct heap_node *bins[BINS];
    struct heap_node *sorted = cut_run(before, &list);
    int n = 0;

    for (; list; sorted = cut_run(before, &list)) {
        int i = 0;

        for (; i < n && bins[i]; bins[i++] = NULL)
            sorted = merge(before, bins[i], sorted);
        bins[i] = sorted;
        n += i == n;
    }
    for (int i = 0; i < n; i++)
        if (bins[i])
            sorted = merge(before, bins[i], sorted);
    return sorted;
}

struct heap_node *task__heap_sort(const struct heap *heap,
                                  struct heap_node *list,
                                  struct heap_node *rest)
{
    struct heap_node *first = sort(heap->before, list);
    struct heap_node *last = first;

    for (; last->child; last = last->child) {
        last->child->prev = last;
        last->child->next = NULL;
    }
    last->child = rest;
    if (rest)
        rest->prev = last;
    first->next = NULL;
    return first;
}

void task__heap_remove(struct heap *heap, struct heap_node *node)
{
    struct heap_node *rest = meld_siblings(heap->before, node->child);

    if (node == heap->root) {
        heap->root = rest;
        return;
    }
    *(node->prev->child == node ? &node->prev->child : &node->prev->next) =
        node->next;
    if (node->next)
        node->next->prev = node->prev;
    if (rest)
        heap->root = meld(heap->before, heap->root, rest);
}
