/*
 * An intrusive doubly linked list; all zero is the empty one.
 *
 * A node knows the list that it is on, so it can be taken off without naming
 * the list, and asked whether it is on one.
 *
 *     list.first -> a <-> b <-> c <- list.last      a.list == b.list == &list
 */
#ifndef TASK_SRC_LIST_H
#define TASK_SRC_LIST_H

#include "base.h"

#include <stdbool.h>
#include <task/base.h>

struct list {
    struct list_node *first;
    struct list_node *last;
};

struct list_node {
    struct list_node *next;
    struct list_node *prev;
    struct list *list; /* NULL: on none; then next and prev mean nothing */
};

/*
 * Public structs cannot contain a struct list, which users do not see; they
 * contain a struct task_list, which is one.
 */
_Static_assert(sizeof(struct task_list) == sizeof(struct list),
               "a struct task_list is a struct list");

static ALWAYS_INLINE struct list *list_of(struct task_list *list)
{
    return (struct list *)(void *)list;
}

static ALWAYS_INLINE const struct list *
list_of_const(const struct task_list *list)
{
    return (const struct list *)(const void *)list;
}

static inline bool list_empty(const struct list *list)
{
    return !list->first;
}

static inline bool list_has(const struct list_node *node)
{
    return node->list;
}

static inline void list_append(struct list *list, struct list_node *node)
{
    node->list = list;
    node->next = NULL;
    node->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = node;
    list->last = node;
}

static inline void list_prepend(struct list *list, struct list_node *node)
{
    node->list = list;
    node->prev = NULL;
    node->next = list->first;
    *(list->first ? &list->first->prev : &list->last) = node;
    list->first = node;
}

/* Take a node off the list that it is on; nothing happens when on none. */
static inline void list_remove(struct list_node *node)
{
    struct list *list = node->list;

    if (!list)
        return;
    *(node->prev ? &node->prev->next : &list->first) = node->next;
    *(node->next ? &node->next->prev : &list->last) = node->prev;
    node->list = NULL;
}

/* The first node, off the list now, or NULL. */
static inline struct list_node *list_pop(struct list *list)
{
    struct list_node *node = list->first;

    if (node)
        list_remove(node);
    return node;
}

#endif
