/*
 * Slabs: what stack.c has to do with them.
 */
#ifndef TASK_SRC_STACK_SLAB_H
#define TASK_SRC_STACK_SLAB_H

#include "base.h"

#include <stdbool.h>

struct stack;
struct stacks;
struct stack_slab;

/*
 * Tops that all begin a page fall into the same few sets of the cache; so they
 * are spread over COLORS lines, in a page of their own that is not counted.
 */
enum {
    COLORS = 16,
    COLOR_STEP = CACHE_LINE,
    COLORS_SIZE = COLORS * COLOR_STEP
};

/* From one stack to the next. */
size_t task__stacks_stride(const struct stacks *stacks);

/* The first address beyond a stack's pages. */
char *task__stack_end(const struct stack *stack);

/* One more, of so many stacks, which are cold; -ENOMEM. */
int task__slab_add(struct stacks *stacks, size_t length);

/* Unmap one whose stacks are free and on no list. False: the kernel would have
 * to split a mapping for it, and refuses. */
bool task__slab_remove(struct stacks *stacks, struct stack_slab *slab);

/* Give the memory of all its stacks back. */
void task__slab_empty(const struct stacks *stacks,
                      const struct stack_slab *slab);

#endif
