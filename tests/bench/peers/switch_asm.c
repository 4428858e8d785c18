/* The limit: a switch by hand, x86-64: the six registers that a called function
 * keeps, and the stack. */
#include "../measure.h"

enum { SWITCHES = 20000000, REGISTERS = 6 };

void switch_stacks(void **from, void **to);
__asm__(".text\n"
        ".p2align 6\n"
        ".globl switch_stacks\n"
        "switch_stacks:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq (%rsi), %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rcx\n"
        "    jmp *%rcx\n"); /* a return would be mispredicted */

static void *here, *coroutine;
static _Alignas(64) char stack[65536];

static void switch_back_for_ever(void)
{
    for (;;)
        switch_stacks(&coroutine, &here);
}

static int switch_to_and_fro(void *arg)
{
    (void)arg;
    for (long i = 0; i < SWITCHES / 2; i++)
        switch_stacks(&here, &coroutine);
    return 0;
}

int main(void)
{
    struct bench_case c = {"switch", .operations = SWITCHES};
    void **entry = (void **)(void *)(stack + sizeof stack - 64);

    *entry = (void *)switch_back_for_ever;
    coroutine = entry - REGISTERS;
    bench_rounds(&c, switch_to_and_fro, NULL);
    return 0;
}
