/* What timers cost: most time-outs are cancelled, some expire.
 *
 * The timers are those of sleeps and time-outs, in the caller's memory, as the
 * peers' are; then the same by loop_call_at, which allocates and has an id.
 *
 * a: 1,000,000 within a minute are set, then cancelled in the same order;
 * b: 1,000,000 within a second expire, processor time with setting them;
 *    and the same for 100,000 sleeping tasks, with creating them;
 * c: of 10,000 within a minute, one is cancelled and set again. */
#include "bench.h"
#include "scheduler.h"

#include <errno.h>
#include <stddef.h>

enum { MANY = 1000000, SLEEPERS = 100000, LIVE = 10000, CHURNS = 1000000 };

static int64_t ids[MANY];
static struct timer timers[MANY];
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

static struct timers *wheel(void)
{
    return scheduler_current()->timers;
}

static int set_and_cancel(void *arg)
{
    task_time now = loop_time();
    struct timers *all = wheel();

    (void)arg;
    for (long i = 0; i < MANY; i++)
        task__timer_arm(all, &timers[i], now + some_milliseconds(60000));
    for (long i = 0; i < MANY; i++)
        task__timer_cancel(all, &timers[i]);
    return 0;
}

static int call_and_cancel(void *arg)
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

static struct {
    long left;
    struct task *all; /* a future: they have all expired */
} expiry;

static void expire(void *arg)
{
    (void)arg;
    if (!--expiry.left)
        task_future_complete(expiry.all, 0);
}

static void fire(struct timer *timer)
{
    expire(timer);
}

static int set_and_wait(void *arg)
{
    task_time now = loop_time();

    (void)arg;
    expiry.left = MANY;
    expiry.all = task_future_create();
    for (long i = 0; i < MANY; i++) {
        timers[i].fire = fire;
        task__timer_arm(wheel(), &timers[i], now + some_milliseconds(1000));
    }
    return task_await(expiry.all);
}

static int call_and_wait(void *arg)
{
    task_time now = loop_time();

    expiry.left = MANY;
    expiry.all = task_future_create();
    for (long i = 0; i < MANY; i++) {
        if (loop_call_at(now + some_milliseconds(1000), expire, arg) < 0)
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

static task_time later(task_time now)
{
    return now + TASK_SECOND + some_milliseconds(59000);
}

static int churn(void *arg)
{
    task_time now = loop_time();
    struct timers *all = wheel();

    (void)arg;
    for (long i = 0; i < CHURNS; i++) {
        struct timer *timer = &timers[bench_random() % LIVE];

        task__timer_cancel(all, timer);
        task__timer_arm(all, timer, later(now));
    }
    return 0;
}

static int call_churn(void *arg)
{
    task_time now = loop_time();

    for (long i = 0; i < CHURNS; i++) {
        uint64_t which = bench_random() % LIVE;

        if (loop_call_cancel(ids[which]))
            return -ENOENT;
        ids[which] = loop_call_at(later(now), never, arg);
    }
    return 0;
}

static int measure_churn(void *arg)
{
    struct bench_case c = {.name = "timers: churn 10000"};
    struct bench_case calls = {.name = "timers: churn, loop_call_at"};
    task_time now = loop_time();

    c.operations = calls.operations = CHURNS;
    for (long i = 0; i < LIVE; i++)
        task__timer_arm(wheel(), &timers[i], later(now));
    bench_rounds(&c, churn, arg);
    for (long i = 0; i < LIVE; i++) {
        task__timer_cancel(wheel(), &timers[i]);
        ids[i] = loop_call_at(later(now), never, arg);
    }
    bench_rounds(&calls, call_churn, arg);
    for (long i = 0; i < LIVE; i++)
        loop_call_cancel(ids[i]);
    return 0;
}

static int measure(void *arg)
{
    struct bench_case a = {.name = "timers: set+cancel 1000000"};
    struct bench_case b = {.name = "timers: expire 1000000"};
    struct bench_case s = {.name = "sleepers: expire 100000"};

    struct bench_case a2 = {.name = "timers: set+cancel, loop_call_at"};
    struct bench_case b2 = {.name = "timers: expire, loop_call_at"};

    a.operations = b.operations = a2.operations = b2.operations = MANY;
    s.operations = SLEEPERS;
    b.unit = b2.unit = s.unit = "ns CPU";
    b.clock = b2.clock = s.clock = bench_cpu;
    bench_rounds(&a, set_and_cancel, arg);
    bench_rounds(&b, set_and_wait, arg);
    bench_rounds(&a2, call_and_cancel, arg);
    bench_rounds(&b2, call_and_wait, arg);
    bench_rounds(&s, sleep_all, arg);
    return measure_churn(arg);
}

int main(void)
{
    bench_run(measure, NULL);
    return 0;
}
