/*
 * A coroutine's context: begun by makecontext, and switched to by a few
 * instructions, or by swapcontext where there are none for the processor (and
 * with -DTASK_CONTEXT=ucontext).
 *
 * A switch keeps what a call keeps: the callee-saved registers, the stack, and
 * the floating-point control words. The signal mask is the thread's, not the
 * coroutine's (swapcontext, which keeps one of each, is told of that one).
 * errno is kept by whoever leaves a task or the loop, who knows where it is, in
 * `saved_errno`.
 *
 * The sanitizers' and Valgrind's hooks are all here and in context.c.
 */
#ifndef TASK_SRC_CONTEXT_H
#define TASK_SRC_CONTEXT_H

#include "base.h"

#include <stdbool.h>

/* What the sanitizers keep of a context while it waits: its last fields. */
#if HAVE_ASAN
#define CONTEXT_ASAN                                                           \
    const void *low;                                                           \
    size_t size;                                                               \
    void *fake_stack;
#else
#define CONTEXT_ASAN
#endif
#if HAVE_TSAN
#define CONTEXT_TSAN void *fiber;
#else
#define CONTEXT_TSAN
#endif

/* What makecontext makes is known of glibc's. */
#if defined(TASK_CONTEXT_UCONTEXT) || !defined(__GLIBC__)
#include "context_ucontext.h"
#elif defined(__x86_64__) && !defined(__ILP32__)
#include "context_x86_64.h"
#elif defined(__aarch64__)
#include "context_aarch64.h"
#else
#include "context_ucontext.h"
#endif

/*
 * A context is new until something runs by it: as long, its `sp` points to
 * itself, which is no stack, but may be prefetched like one.
 */
static ALWAYS_INLINE void context_mark_new(struct context *context)
{
    context->sp = (void *)context;
}

/* It is entered by another one, on whose stack it runs: so its frames will be
 * below that one's. */
static ALWAYS_INLINE void context_mark_begun(struct context *context,
                                             const struct context *entry)
{
    context->sp = (char *)entry->sp - CACHE_LINE;
}

static ALWAYS_INLINE bool context_is_new(const struct context *context)
{
    return (const void *)context->sp == context;
}

#if HAVE_ASAN || HAVE_TSAN
void task__context_leave(struct context *from, struct context *to);
void task__context_arrive(struct context *self);
#else
static ALWAYS_INLINE void task__context_leave(struct context *from,
                                              struct context *to)
{
    (void)from;
    (void)to;
}
static ALWAYS_INLINE void task__context_arrive(struct context *self)
{
    (void)self;
}
#endif

/* Go on at `to`; returns when somebody switches to `from`. */
static ALWAYS_INLINE void context_switch(struct context *from,
                                         struct context *to)
{
    task__context_leave(from, to);
    context_jump(from, to);
    task__context_arrive(from);
}

/*
 * Begin a coroutine: switching to `context` the first time calls `entry(arg)`,
 * which never returns, with `low` and `size` as its stack.
 *
 * Returns what Valgrind knows the stack by.
 */
unsigned task__context_begin(struct context *context, char *low, size_t size,
                             void (*entry)(void *arg), void *arg);

/* Forget a coroutine that waits in context_switch and is not resumed again. */
void task__context_end(struct context *context, unsigned stack_id);

#endif
