/*
 * The switch on AArch64 (AAPCS64): see context_x86_64.h.
 */
#ifndef TASK_SRC_CONTEXT_AARCH64_H
#define TASK_SRC_CONTEXT_AARCH64_H

#include <ucontext.h>

/* What a context that waits needs of its stack at the most, in bytes. */
enum { CONTEXT_ROOM = 1024 };

struct context {
    void *sp;
    void *fp;
    void *resume;
    uint32_t fpcr; /* all that is not reserved */
    int saved_errno;
    CONTEXT_ASAN CONTEXT_TSAN
};

/* What a debugger has to know of it. */
#define CONTEXT_FIELDS(field) field(sp) field(fp) field(resume)

static ALWAYS_INLINE void context_jump(struct context *from, struct context *to)
{
    register struct context *x0 __asm__("x0") = from;
    register struct context *x1 __asm__("x1") = to;

    __asm__ volatile("mrs x9, fpcr\n\t"
                     "mov x10, sp\n\t"
                     "adr x11, 1f\n\t"
                     "stp x10, x29, [%[from]]\n\t"
                     "str x11, [%[from], #16]\n\t"
                     "str w9, [%[from], #24]\n\t"
                     "ldp x10, x29, [%[to]]\n\t"
                     "ldr x16, [%[to], #16]\n\t"
                     "ldr w12, [%[to], #24]\n\t"
                     "mov sp, x10\n\t"
                     "cmp w9, w12\n\t"
                     "b.eq 2f\n\t"
                     "msr fpcr, x12\n"
                     "2:\n\t"
                     "br x16\n"
                     "1:\n\t"
                     "hint #36\n" /* bti j */
                     : [from] "+r"(x0), [to] "+r"(x1)
                     :
                     : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10",
                       "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18",
                       "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26",
                       "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5",
                       "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
                       "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21",
                       "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
                       "v30", "v31", "memory", "cc");
}

/* What makecontext has made: as one that waits at its beginning. */
static inline void context_take(struct context *context, const ucontext_t *made)
{
    context->sp = (void *)made->uc_mcontext.sp;
    context->fp = NULL;
    context->resume = (void *)made->uc_mcontext.pc;
    context->fpcr = 0;
}

/* Give this thread of control the control word that `model` was left with. */
static ALWAYS_INLINE void context_reset_modes(struct context *self,
                                              const struct context *model)
{
    uint64_t fpcr;

    (void)self;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    if (unlikely(fpcr != model->fpcr))
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)model->fpcr));
}

static inline void task__context_note_modes(void)
{
}

/* Nothing below this is needed by a context that waits. */
static inline uintptr_t context_floor(const struct context *context)
{
    return (uintptr_t)context->sp - 128;
}

#endif
