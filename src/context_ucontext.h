/*
 * The switch everywhere else: swapcontext, at the price of two system calls.
 */
#ifndef TASK_SRC_CONTEXT_UCONTEXT_H
#define TASK_SRC_CONTEXT_UCONTEXT_H

#include <fenv.h>
#include <ucontext.h>

#define CONTEXT_IS_UCONTEXT 1

struct context {
    ucontext_t *saved; /* on the stack of the one that waits */
    CONTEXT_ASAN CONTEXT_TSAN
};

static ALWAYS_INLINE void context_jump(struct context *from, struct context *to)
{
    ucontext_t here;

    from->saved = &here;
    swapcontext(&here, to->saved);
}

/* The control words that a thread of control starts with: the default ones. */
static ALWAYS_INLINE void context_reset_modes(const struct context *model)
{
    (void)model;
    fesetenv(FE_DFL_ENV);
}

#endif
