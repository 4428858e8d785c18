/*
 * The switch everywhere else: swapcontext, at the price of system calls.
 */
#ifndef TASK_SRC_CONTEXT_UCONTEXT_H
#define TASK_SRC_CONTEXT_UCONTEXT_H

#include <fenv.h>
#include <ucontext.h>

#define CONTEXT_IS_UCONTEXT 1

/* What a context that waits needs of its stack at the most, in bytes. */
enum { CONTEXT_ROOM = 1024 + sizeof(ucontext_t) };

struct context {
    void *sp; /* a ucontext_t on the stack of the one that waits */
    int saved_errno;
    CONTEXT_ASAN CONTEXT_TSAN
};

/* What a debugger has to know of it. */
#define CONTEXT_FIELDS(field) field(sp)

void task__context_jump(struct context *from, struct context *to);

static ALWAYS_INLINE void context_jump(struct context *from, struct context *to)
{
    task__context_jump(from, to);
}

/* What is not in the C library: without it nobody has changed the modes. Who is
 * linked statically has of it what it calls itself, which may be the rounding
 * mode's alone. */
#pragma weak fegetenv
#pragma weak fesetenv
#pragma weak fegetround
#pragma weak fesetround

/* The modes of the loop that this thread runs. */
extern THREAD_LOCAL fenv_t task__context_modes;
extern THREAD_LOCAL int task__context_rounding;

/* Give this thread of control the modes of the loop. */
static ALWAYS_INLINE void context_reset_modes(struct context *self,
                                              const struct context *model)
{
    (void)self;
    (void)model;
    if (fegetenv && fesetenv)
        fesetenv(&task__context_modes);
    else if (fesetround)
        fesetround(task__context_rounding);
}

static inline void task__context_note_modes(void)
{
    if (fegetenv)
        fegetenv(&task__context_modes);
    if (fegetround)
        task__context_rounding = fegetround();
}

/* Nothing below this is needed by a context that waits: the frame that has its
 * ucontext_t, and the call of swapcontext. */
static inline uintptr_t context_floor(const struct context *context)
{
    return ((uintptr_t)context->sp - 512) & ~(uintptr_t)15;
}

#endif
