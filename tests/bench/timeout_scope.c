/* What a time-out costs that does not expire: alone, in another, and around a
 * yield. */
#include "bench.h"

enum { SCOPES = 1000000 };

static int one(task_fn *body, void *arg)
{
    struct task_timeout timeout;

    task_timeout_begin(&timeout, TASK_HOUR);
    return task_timeout_end(&timeout, body ? body(arg) : 0);
}

static int alone(void *arg)
{
    int status = 0;

    for (long i = 0; i < SCOPES && status >= 0; i++)
        status = one(NULL, arg);
    return status;
}

static int in_another(void *arg)
{
    return one(alone, arg);
}

static int yields(void *arg)
{
    (void)arg;
    return task_yield();
}

static int around_a_yield(void *arg)
{
    int status = 0;

    for (long i = 0; i < SCOPES && status >= 0; i++)
        status = one(yields, arg);
    return status;
}

static int measure(void *arg)
{
    struct bench_case single = {.name = "time-out"};
    struct bench_case nested = {.name = "time-out in a time-out"};
    struct bench_case yielding = {.name = "time-out around a yield"};

    single.operations = nested.operations = yielding.operations = SCOPES;
    bench_rounds(&single, alone, arg);
    bench_rounds(&nested, in_another, arg);
    bench_rounds(&yielding, around_a_yield, arg);
    return 0;
}

int main(void)
{
    bench_run(measure, NULL);
    return 0;
}
