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

void task__heap_insert(struct heap *heap, struct heap_node *node)
{
    node->child = NULL;
    node->next = NULL;
    node->prev = NULL;
    heap->root = heap->root ? meld(heap->before, heap->root, node) : node;
    heap->root->next = NULL;
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
