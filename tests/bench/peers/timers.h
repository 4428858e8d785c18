/* The timer cases of event loops: as those of ../timers.c, which says what they
 * are. A library defines the three functions, and counts n_left down. */
#ifndef TIMERS_H
#define TIMERS_H

#include "../measure.h"

enum { MANY = 1000000, LIVE = 10000, CHURNS = 1000000 };

static long n_left; /* timers that have not expired yet */

static void set_timer(long i, long ms);
static void cancel_timer(long i);
static void expire_all(void); /* run the loop until no timer is set */

static long below(uint64_t limit)
{
    return (long)(bench_random() % limit);
}

static int set_and_cancel(void *arg)
{
    (void)arg;
    for (long i = 0; i < MANY; i++)
        set_timer(i, below(60000));
    for (long i = 0; i < MANY; i++)
        cancel_timer(i);
    return 0;
}

static int set_and_wait(void *arg)
{
    (void)arg;
    n_left = MANY;
    for (long i = 0; i < MANY; i++)
        set_timer(i, below(1000));
    expire_all();
    return n_left ? -1 : 0;
}

static int churn(void *arg)
{
    (void)arg;
    for (long n = 0; n < CHURNS; n++) {
        long i = below(LIVE);

        cancel_timer(i);
        set_timer(i, 1000 + below(59000));
    }
    return 0;
}

static void measure_timers(void)
{
    struct bench_case set = {"timers: set+cancel 1000000", .operations = MANY};
    struct bench_case expire = {"timers: expire 1000000", .unit = "ns CPU"};
    struct bench_case change = {"timers: churn 10000", .operations = CHURNS};

    expire.operations = MANY;
    expire.clock = bench_cpu;
    bench_rounds(&set, set_and_cancel, NULL);
    bench_rounds(&expire, set_and_wait, NULL);
    for (long i = 0; i < LIVE; i++)
        set_timer(i, 1000 + below(59000));
    bench_rounds(&change, churn, NULL);
}

#endif
