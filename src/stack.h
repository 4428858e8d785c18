/*
 * Stacks by the million: slabs of many in one mapping, each with a guard.
 *
 *     slab  |guard|  stack 0   |guard|  stack 1   |guard|  ...
 *                  low ...  top       low ...  top
 *
 * A slab is address space only; a stack costs memory from its first use. Every
 * stack ends, downwards, in a guard page: MADV_GUARD_INSTALL where the kernel
 * has it (Linux 6.13: it splits no mapping, so that a million stacks need a
 * handful), else mprotect while the kernel still splits mappings; else there
 * is no stack.
 *
 * A stack is
 *
 *     taken   by the owner, who runs on it; on no list
 *     warm    given back with its contents; in `warm`, the last given first
 *     cold    never used, or emptied since; in `cold`
 *
 * At most STACKS_WARM are warm; the first STACKS_HOT_BYTES of them keep all
 * that they grew to, the others only what lies in their topmost page. A slab
 * that is cold all over is unmapped, unless its stacks are reserved.
 *
 * Reserve before you take: to reserve can fail, to take cannot.
 */
#ifndef TASK_SRC_STACK_H
#define TASK_SRC_STACK_H

#include "memory.h"

enum { STACKS_WARM = 4096, STACKS_HOT_BYTES = 4 << 20 };

struct stack {
    struct list_node node;
    struct stack_slab *slab;
    bool warm; /* whether its contents are those that it was given back with */
};

struct stacks {
    const struct allocator *allocator;
    size_t size; /* of one, usable: what was asked for, rounded up to pages */
    size_t page;
    size_t slab_length; /* how many stacks the next slab will have */
    size_t n_warm;
    size_t n_free; /* warm and cold */
    size_t n_taken;
    size_t n_reserved; /* never more than n_free */
    struct list warm;
    struct list cold;
    struct list slabs;
};

/* -EINVAL when the size is below TASK_STACK_MIN, or beyond all reason. */
int task__stacks_init(struct stacks *stacks, const struct allocator *allocator,
                      size_t size);

/* Unmap everything, also what is taken. */
void task__stacks_destroy(struct stacks *stacks);

/* Make sure that one more can be taken; -ENOMEM. */
int task__stacks_reserve(struct stacks *stacks);
void task__stacks_unreserve(struct stacks *stacks);

/* Take one that was reserved, a warm one first. */
struct stack *task__stacks_take(struct stacks *stacks);

/*
 * Give one back, which may be the one that this runs on: it stays warm.
 *
 * Returns a stack that has been warm for longest and is too many, or NULL: the
 * caller ends what is on it, then calls task__stack_cool.
 */
struct stack *task__stacks_give(struct stacks *stacks, struct stack *stack);

void task__stack_cool(struct stacks *stacks, struct stack *stack);

/* Its lowest usable address, and the first beyond its highest, 64-aligned. */
char *task__stack_low(const struct stack *stack);
char *task__stack_top(const struct stack *stack);

/* How much of it has been in use at some time, in bytes, to the word. */
size_t task__stack_used(const struct stack *stack);

#endif
