/* glibc's swapcontext, which keeps the signal mask: a system call a switch. */
#include "../measure.h"

#include <ucontext.h>

enum { SWITCHES = 2000000 };

static ucontext_t here, coroutine;
static char stack[65536];

static void switch_back_for_ever(void)
{
    for (;;)
        swapcontext(&coroutine, &here);
}

static int switch_to_and_fro(void *arg)
{
    (void)arg;
    for (long i = 0; i < SWITCHES / 2; i++)
        swapcontext(&here, &coroutine);
    return 0;
}

int main(void)
{
    struct bench_case c = {"switch", .operations = SWITCHES};

    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = sizeof stack;
    makecontext(&coroutine, switch_back_for_ever, 0);
    bench_rounds(&c, switch_to_and_fro, NULL);
    return 0;
}
