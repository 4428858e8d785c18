/*
 * Stacks by the million: slabs of many in one mapping, each with a guard.
 *
 *     slab  |beside|guard|  stack 0   |guard|  stack 1   |guard|  ...
 *                         low ...  top       low ...  top
 *
 * A slab is address space only; a stack costs memory from its first use. Every
 * stack ends, downwards, in a guard page: MADV_GUARD_INSTALL where the kernel
 * has it (Linux 6.13: it splits no mapping, so that a million stacks need a
 * handful), else mprotect while the kernel still splits mappings; else there is
 * no stack. Beside each stack are STACK_BESIDE bytes, for what others look at
 * while its owner waits: these lie side by side, and each stack in pages of its
 * own.
 *
 * A stack is
 *
 *     taken   by the owner, who runs on it; on no list
 *     warm    given back with its contents; `hot`, the one given last, or
 *             in its row's `warm`
 *     cold    never used, or emptied since; in `cold`. (What is about to be taken
 *             may have its first page: if it is not, after all, it keeps that)
 *
 * Besides the hot one at most STACKS_WARM are warm, or as many as were taken at
 * once in the last two periods, if that is more: a crowd that comes again finds
 * its stacks, and what it leaves is given back little by little after that
 * time. The first STACKS_HOT_BYTES of them keep all that they grew to, the
 * others only the pages of their topmost `kept` bytes; where few grow, one or
 * two in a hundred may keep more. When they are too many those go whose row has
 * been warm for longest: all of a slab, if none of it is taken. Then it is
 * unmapped, unless its stacks are reserved.
 *
 * A crowd gives its stacks back in any order. They are taken again row by row,
 * and those of a row in the order of their addresses: a page that is not in the
 * TLB costs a third when it is near the one before.
 *
 * Reserve before you take: to reserve can fail, to take cannot.
 */
#ifndef TASK_SRC_STACK_H
#define TASK_SRC_STACK_H

#include "context.h"
#include "list.h"
#include "memory.h"

#include <errno.h>
#include <task/time.h>

enum { STACKS_WARM = 4096, STACKS_HOT_BYTES = 4 << 20 };

/* How many bytes there are beside each stack. */
enum { STACK_BESIDE = CACHE_LINE };

/* Of so many taken stacks those that were not used last have left the cache. */
enum { STACKS_MANY = 2000 };

/* How long a period is, at the least. */
#define STACKS_PERIOD TASK_SECOND

/* Of a crowd of them each is a line of the cache (but where sanitizers have
 * more). */
struct stack {
    union {
        struct list_node node; /* while cold: in `cold` */

        /* Of the coroutine that lives on it: new when a cold one is taken; to
         * be begun before the stack is given back; and where it waits, while
         * warm. */
        struct context context;
    };
    struct stack_slab *slab;
    char *top; /* the first address beyond its highest, a multiple of 64 */

    /* The trace's, while the stack is taken: how a task waits (NULL: it does
     * not) and since when. */
    const char *waits;
    task_time since;
};

enum {
    STACKS_ROW = 64,
    STACKS_SLAB_ROWS = 8,
    STACKS_SLAB_MAX = STACKS_SLAB_ROWS * STACKS_ROW
};

/* STACKS_ROW neighbours in a slab; fewer, if that is short. */
struct stack_row {
    struct list_node node; /* in the stacks' `warm`, while any of it is */
    uint64_t warm;         /* a bit for each that is */
    uint64_t used;         /* likewise: that is not cold */
    struct stack *stack;   /* the first */
};

struct stack_slab {
    struct list_node node;
    struct stacks *stacks;
    char *base;      /* of the first stack's guard */
    char *beside;    /* what is beside the first stack */
    size_t length;   /* how many stacks */
    size_t n_listed; /* of these, warm but not hot, or in `cold` */
    struct stack_row row[STACKS_SLAB_ROWS];
    _Alignas(CACHE_LINE) struct stack stack[];
};

struct stacks {
    const struct allocator *allocator;
    size_t size; /* of one, usable: what was asked for, rounded up to pages */
    size_t kept; /* what is at the top of a warm one is kept, in bytes */
    size_t n_whole; /* so many warm ones keep all that they grew to */
    size_t page;
    size_t slab_length; /* how many stacks the next slab will have */
    size_t n_all;
    size_t n_free;     /* hot, warm and cold */
    size_t n_reserved; /* never more than n_free */
    size_t n_warm;     /* in their rows' `warm` */
    uint64_t n_small;  /* given back, not to keep all, since one had grown */
    size_t n_most[2];  /* taken at once (or STACKS_WARM): last two periods */
    task_time since;   /* when this period began */
    struct stack *hot; /* the one given back last, if it was not taken again */
    struct list warm;  /* rows */
    struct list cold;  /* stacks */
    struct list slabs;
    struct stacks *next; /* of another size: for whoever has several */
};

/* Memcheck runs this: it reports reads of what was never written, or is in no
 * frame any more. Known once there are stacks. */
extern bool task__on_memcheck;

static ALWAYS_INLINE bool on_memcheck(void)
{
    return unlikely(__atomic_load_n(&task__on_memcheck, __ATOMIC_RELAXED));
}

/* -EINVAL when the size is below TASK_STACK_MIN, or beyond all reason. */
int task__stacks_init(struct stacks *stacks, const struct allocator *allocator,
                      size_t size, size_t kept);

/* Unmap everything, also what is taken. */
void task__stacks_destroy(struct stacks *stacks);

/* Call a function for each stack that is taken or warm. */
void task__stacks_visit(const struct stacks *stacks,
                        void (*visit)(struct stack *stack));

int task__stacks_grow(struct stacks *stacks);
struct stack *task__stacks_take_cold(struct stacks *stacks);
bool task__stacks_give_another(struct stacks *stacks, struct stack *stack,
                               task_time now);

/* Make sure that one more can be taken; -ENOMEM. */
static inline int stacks_reserve(struct stacks *stacks)
{
    if (unlikely(stacks->n_reserved == stacks->n_free) &&
        task__stacks_grow(stacks))
        return -ENOMEM;
    stacks->n_reserved++;
    return 0;
}

static inline void stacks_unreserve(struct stacks *stacks)
{
    assert(stacks->n_reserved);
    stacks->n_reserved--;
}

/* The row whose warm ones are taken next; there is one. */
static ALWAYS_INLINE struct stack_row *
stacks_warm_row(const struct stacks *stacks)
{
    return container_of(stacks->warm.first, struct stack_row, node);
}

/* Its place in its slab. */
static ALWAYS_INLINE size_t stack_index(const struct stack *stack)
{
    return (size_t)(stack - stack->slab->stack);
}

static ALWAYS_INLINE struct stack_row *stack_row_of(const struct stack *stack)
{
    return &stack->slab->row[stack_index(stack) / STACKS_ROW];
}

static ALWAYS_INLINE uint64_t stack_bit_of(const struct stack *stack)
{
    return (uint64_t)1 << stack_index(stack) % STACKS_ROW;
}

static ALWAYS_INLINE bool stack_is_cold(const struct stack *stack)
{
    return !(stack_row_of(stack)->used & stack_bit_of(stack));
}

/* Of a row, the first of those in a set. */
static ALWAYS_INLINE struct stack *row_first(const struct stack_row *row,
                                             uint64_t bits)
{
    return row->stack + __builtin_ctzll(bits);
}

/* One of a row, of which this is the bit, is warm no more. */
static ALWAYS_INLINE void stacks_leave_row(struct stacks *stacks,
                                           struct stack_row *row, uint64_t bit)
{
    row->warm &= ~bit;
    if (unlikely(!row->warm))
        list_remove(&row->node);
    stacks->n_warm--;
}

/* Take one that was reserved, the hot one first. */
static inline struct stack *stacks_take(struct stacks *stacks)
{
    struct stack *stack = stacks->hot;
    struct stack_row *row;

    stacks_unreserve(stacks);
    stacks->n_free--;
    if (likely(stack)) {
        stacks->hot = NULL;
        return stack;
    }
    if (unlikely(list_empty(&stacks->warm)))
        return task__stacks_take_cold(stacks);
    row = stacks_warm_row(stacks);
    stack = row_first(row, row->warm);
    stacks_leave_row(stacks, row, row->warm & -row->warm);
    stack->slab->n_listed--;
    return stack;
}

/*
 * Give one back, which may be the one that this runs on: it stays warm.
 *
 * Returns whether too many are warm now: the caller calls task__stacks_cool.
 */
static inline bool stacks_give(struct stacks *stacks, struct stack *stack,
                               task_time now)
{
    stacks->n_free++;
    assert(!stack_is_cold(stack));
    if (unlikely(stacks->hot))
        return task__stacks_give_another(stacks, stack, now);
    stacks->hot = stack;
    return false;
}

/* Whether too many are warm by now, though none is given back. */
bool task__stacks_are_too_many(struct stacks *stacks, task_time now);

static ALWAYS_INLINE bool stacks_are_too_many(struct stacks *stacks,
                                              task_time now)
{
    return unlikely(stacks->n_warm > STACKS_WARM) &&
           task__stacks_are_too_many(stacks, now);
}

/* When they may be, though none is given back: now, at the end of a period, or
 * never, as they are no more than those that are taken. */
task_time task__stacks_next_look(struct stacks *stacks, task_time now);

/* Cool one or more, never the one given last; `end` is called for each
 * before. */
void task__stacks_cool(struct stacks *stacks, void (*end)(struct stack *stack));

/* What is beside it: undefined contents when the stack is taken. */
static ALWAYS_INLINE void *stack_beside(const struct stack *stack)
{
    return stack->slab->beside + stack_index(stack) * STACK_BESIDE;
}

/* How many bytes of it are usable. */
size_t task__stack_size(const struct stack *stack);

/* Its lowest usable address. */
char *task__stack_low(const struct stack *stack);

/* Zero all of a warm one that is below an address. */
void task__stack_clean(struct stack *stack, uintptr_t floor);

/* The one that stacks_take would give, if there is any. */
static inline struct stack *stacks_next(const struct stacks *stacks)
{
    if (stacks->hot)
        return stacks->hot;
    if (!list_empty(&stacks->warm))
        return row_first(stacks_warm_row(stacks),
                         stacks_warm_row(stacks)->warm);
    return list_empty(&stacks->cold)
               ? NULL
               : container_of(stacks->cold.first, struct stack, node);
}

/* The warm one that is taken when so many others have been, while none is hot;
 * NULL: there is none. */
static inline const struct stack *stacks_ahead(const struct stacks *stacks,
                                               int n)
{
    const struct stack_row *row;
    uint64_t bits;

    assert(!stacks->hot);
    if (list_empty(&stacks->warm))
        return NULL;
    row = stacks_warm_row(stacks);
    bits = row->warm;
    for (; n > 0; n--) {
        bits &= bits - 1;
        if (likely(bits))
            continue;
        if (!row->node.next)
            return NULL;
        row = container_of(row->node.next, const struct stack_row, node);
        bits = row->warm;
    }
    return row_first(row, bits);
}

static inline bool stacks_are_many(const struct stacks *stacks)
{
    return stacks->n_all - stacks->n_free >= STACKS_MANY;
}

/* Whether an address is in its guard page. */
bool task__stack_guards(const struct stack *stack, uintptr_t address);

/* The stack with this address in it or its guard page; or NULL. */
struct stack *task__stacks_find(const struct stacks *stacks, uintptr_t address);

/* How much of it has been in use at some time, in bytes, to the word. */
size_t task__stack_used(const struct stack *stack);

#endif
