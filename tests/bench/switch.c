/* What the raw context switch costs: main and one coroutine in turn, without
 * the scheduler. */
#include "bench.h"

#include "context.h"

enum { SWITCHES = 20000000 };

static struct context here, coroutine;
static _Alignas(64) char stack[65536];

static void switch_back_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        context_switch(&coroutine, &here);
}

static int switch_to_and_fro(void *arg)
{
    (void)arg;
    for (long i = 0; i < SWITCHES / 2; i++)
        context_switch(&here, &coroutine);
    return 0;
}

int main(void)
{
    struct bench_case c = {.name = "switch", .operations = SWITCHES};
    unsigned id = task__context_begin(&coroutine, stack, sizeof stack,
                                      switch_back_for_ever, NULL);

    bench_rounds(&c, switch_to_and_fro, NULL);
    task__context_end(&coroutine, id);
    return 0;
}
