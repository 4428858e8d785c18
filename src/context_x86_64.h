/*
 * The switch on x86-64 (System V): three words are saved, and every other
 * register is named as clobbered, so that the compiler saves those that it
 * needs. It costs 1-2 ns; an out-of-line routine takes 5-13.
 *
 * The control words of x87 and SSE are kept per task, with one economy: to read
 * SSE's costs 4 ns, x87's 1 ns, and fesetround, feenableexcept and fesetenv set
 * both. So x87's tells whether a task has modes of its own. All that have the
 * plain ones share one MXCSR, as any code of a thread does; what sets that
 * alone (_mm_setcsr, flush to zero) sets it for all of them.
 */
#ifndef TASK_SRC_CONTEXT_X86_64_H
#define TASK_SRC_CONTEXT_X86_64_H

#include <ucontext.h>

/* What a context that waits needs of its stack at the most, in bytes. */
enum { CONTEXT_ROOM = 1024 };

struct context {
    void *sp;
    void *fp;
    void *resume;
    uint16_t x87;
    uint16_t mxcsr; /* when x87 is not X87_PLAIN: what C can set of it */
    int saved_errno;
    CONTEXT_ASAN CONTEXT_TSAN
};

/* What a debugger has to know of it. */
#define CONTEXT_FIELDS(field) field(sp) field(fp) field(resume)

#define CONTEXT_HAS_MODES 1
enum { X87_PLAIN = 0x037f };

/* Who leaves, and where to: given back, so that the frame of who leaves need
 * not keep them. */
struct contexts {
    struct context *from, *to;
};
struct contexts task__context_change_modes(struct context *from,
                                           struct context *to);
void task__context_set_modes(const struct context *model);

/* Take the modes of this thread, if they are plain, for the plain ones. */
void task__context_note_modes(void);

static ALWAYS_INLINE void context_jump(struct context *from, struct context *to)
{
    __asm__ volatile("fnstcw %0" : "=m"(from->x87));
    if (unlikely((from->x87 ^ X87_PLAIN) | (to->x87 ^ X87_PLAIN))) {
        struct contexts both = task__context_change_modes(from, to);

        from = both.from;
        to = both.to;
    }
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rsp, 0(%[from])\n\t"
                     "movq %%rbp, 8(%[from])\n\t"
                     "movq %%rax, 16(%[from])\n\t"
                     "movq 0(%[to]), %%rsp\n\t"
                     "movq 8(%[to]), %%rbp\n\t"
                     "jmpq *16(%[to])\n"
                     "1:\n\t"
                     "endbr64\n"
                     : [from] "+D"(from), [to] "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11",
                       "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
                       "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
                       "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)",
                       "st(6)", "st(7)", "memory", "cc");
}

/* What makecontext has made: as one that waits at its beginning. */
static inline void context_take(struct context *context, const ucontext_t *made)
{
    context->sp = (void *)made->uc_mcontext.gregs[REG_RSP];
    context->fp = NULL;
    context->resume = (void *)made->uc_mcontext.gregs[REG_RIP];
    context->x87 = X87_PLAIN;
}

/* Give this thread of control the modes that `model` was left with. It runs in
 * `self`, of which what a switch will save is scratch: a line that is in use
 * anyway. */
static ALWAYS_INLINE void context_reset_modes(struct context *self,
                                              const struct context *model)
{
    __asm__ volatile("fnstcw %0" : "=m"(self->x87));
    if (unlikely((self->x87 ^ X87_PLAIN) | (model->x87 ^ X87_PLAIN)))
        task__context_set_modes(model);
}

/* Nothing below this is needed by a context that waits: the red zone is
 * free. */
static inline uintptr_t context_floor(const struct context *context)
{
    return (uintptr_t)context->sp - 128;
}

#endif
