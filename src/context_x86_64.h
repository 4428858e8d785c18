/*
 * The switch on x86-64 (System V): three words are saved, and every other
 * register is named as clobbered, so that the compiler saves those that it
 * needs. It costs 1-2 ns; an out-of-line routine takes 5-13.
 *
 * The control words of SSE and x87 are saved always, and loaded only when they
 * differ, since loading is what is dear. The flags of MXCSR are the caller's.
 */
#ifndef TASK_SRC_CONTEXT_X86_64_H
#define TASK_SRC_CONTEXT_X86_64_H

struct context {
    void *sp;
    void *fp;
    void *resume;
    uint32_t mxcsr;
    uint16_t x87;
    CONTEXT_ASAN CONTEXT_TSAN
};

enum { MXCSR_CONTROL = 0xffc0 };

static ALWAYS_INLINE void context_jump(struct context *from,
                                       const struct context *to)
{
    __asm__ volatile("stmxcsr 24(%[from])\n\t"
                     "fnstcw 28(%[from])\n\t"
                     "movq %%rsp, 0(%[from])\n\t"
                     "movq %%rbp, 8(%[from])\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rax, 16(%[from])\n\t"
                     "movl 24(%[to]), %%eax\n\t"
                     "xorl 24(%[from]), %%eax\n\t"
                     "testl %[control], %%eax\n\t"
                     "jnz 2f\n"
                     "3:\n\t"
                     "movzwl 28(%[to]), %%eax\n\t"
                     "cmpw 28(%[from]), %%ax\n\t"
                     "jne 4f\n"
                     "5:\n\t"
                     "movq 0(%[to]), %%rsp\n\t"
                     "movq 8(%[to]), %%rbp\n\t"
                     "jmpq *16(%[to])\n"
                     "2:\n\t"
                     "ldmxcsr 24(%[to])\n\t"
                     "jmp 3b\n"
                     "4:\n\t"
                     "fldcw 28(%[to])\n\t"
                     "jmp 5b\n"
                     "1:\n\t"
                     "endbr64\n"
                     : [from] "+D"(from), [to] "+S"(to)
                     : [control] "i"(MXCSR_CONTROL)
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11",
                       "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
                       "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
                       "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)",
                       "st(6)", "st(7)", "memory", "cc");
}

/* Give this thread of control the control words that `model` was left with. */
static ALWAYS_INLINE void context_reset_modes(const struct context *model)
{
    uint32_t mxcsr = __builtin_ia32_stmxcsr();
    uint16_t x87;

    __asm__ volatile("fnstcw %0" : "=m"(x87));
    if (unlikely((mxcsr ^ model->mxcsr) & MXCSR_CONTROL))
        __builtin_ia32_ldmxcsr(model->mxcsr);
    if (unlikely(x87 != model->x87))
        __asm__ volatile("fldcw %0" : : "m"(model->x87));
}

#endif
