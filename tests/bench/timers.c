/* What timers cost: most time-outs are cancelled, some expire.
 *
 * a: 1,000,000 within a minute are set, then cancelled in the same order;
 * b: 1,000,000 within a second expire, processor time with setting them;
 *    and the same for 100,000 sleeping tasks, with creating them;
 * c: of 10,000 within a minute, one is cancelled and set again. */
#include "bench.h"

#include <errno.h>
#include <stddef.h>

enum {
    MANY = 1000000,
    SLEEPERS = 100000,
    LIVE = 10000,
    CHURNS = 10000000
};

static int64_t ids[MANY];
static struct task *tasks[SLEEPERS];

/* Some whole milliseconds below @p limit. */
static task_time some_milliseconds(uint64_t limit)
{
    return (task_time)(bench_random() % limit) * TASK_MILLISECOND;
}

static void never(void *arg)
{
    (void)arg;
}

static int set_and_cancel(void *arg)
{
    task_time now = loop_time();

    for (long i = 0; i < MANY; i++)
        ids[i] = loop_call_at(now + some_milliseconds(60000), never, arg);
    for (long i = 0; i < MANY; i++) {
        if (loop_call_cancel(ids[i]))
            return -ENOENT;
    }
    return 0;
}

struct expiry {
    long left;
    struct task *all; /* a future: they have all expired */
};

static void expire(void *arg)
{
    struct expiry *expiry = arg;

    if (!--expiry->left)
        task_future_complete(expiry->all, 0);
}

static int set_and_wait(void *arg)
{
    struct expiry expiry = {.left = MANY, .all = task_future_create()};
    task_time now = loop_time();

    (void)arg;
    for (long i = 0; i < MANY; i++) {
        if (loop_call_at(now + some_milliseconds(1000), expire, &expiry) < 0)
            return -ENOMEM;
    }
    return task_await(expiry.all);
}

static int sleeper(void *arg)
{
    (void)arg;
    return task_sleep((task_time)(bench_random() % 1000000) * TASK_MICROSECOND);
}

static int sleep_all(void *arg)
{
    return bench_crowd(tasks, SLEEPERS, sleeper, arg);
}

static void set_one(task_time now, uint64_t i)
{
    ids[i] =
        loop_call_at(now + TASK_SECOND + some_milliseconds(59000), never, NULL);
}

static int churn(void *arg)
{
    task_time now = loop_time();

    (void)arg;
    for (long i = 0; i < CHURNS; i++) {
        uint64_t which = bench_random() % LIVE;

        if (loop_call_cancel(ids[which]))
            return -ENOENT;
        set_one(now, which);
    }
    return 0;
}

static int measure_churn(void *arg)
{
    struct bench_case c = {"w5", .name = "c churn 10k live"};
    task_time now = loop_time();

    for (uint64_t i = 0; i < LIVE; i++)
        set_one(now, i);
    c.operations = CHURNS;
    bench_rounds(&c, churn, arg);
    for (long i = 0; i < LIVE; i++)
        loop_call_cancel(ids[i]);
    return 0;
}

static int measure(void *arg)
{
    struct bench_case a = {"w5", .name = "a insert+cancel 1M"};
    struct bench_case b = {"w5", .name = "b expire 1M in 1s"};
    struct bench_case s = {"w5", .name = "b expire (sleeping tasks, 100k)"};

    a.operations = b.operations = MANY;
    s.operations = SLEEPERS;
    b.unit = s.unit = "ns CPU";
    b.clock = s.clock = bench_cpu;
    bench_rounds(&a, set_and_cancel, arg);
    bench_rounds(&b, set_and_wait, arg);
    bench_rounds(&s, sleep_all, arg);
    return measure_churn(arg);
}

int main(void)
{
    bench_run(measure, NULL);
    return 0;
}
