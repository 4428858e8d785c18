/* State Threads. usage: st yield N | create | parked N | sleepers | sleep
 *
 * Debian's has no yield: a sleep of no time is what its users take. */
#include "../measure.h"

#include <errno.h>
#include <st.h>

enum { MANY = 100000, ONE_BY_ONE = 1000000, SLEEPS = 200 };

static st_thread_t threads[MANY];
static struct bench_case counted;
static struct bench_ticks ticks = {.result = &counted};

static void start(st_thread_t *thread, void *(*fn)(void *), void *arg)
{
    *thread = st_thread_create(fn, arg, 1, 0);
    bench_check(*thread ? 0 : -ENOMEM, "st_thread_create");
}

static void *yielder(void *arg)
{
    while (bench_tick(&ticks))
        st_usleep(0);
    bench_ticks_exit(&ticks);
    return arg;
}

static void yields(long n)
{
    st_thread_t thread;
    char name[32];

    snprintf(name, sizeof name, "yield %ld", n);
    counted.name = name;
    counted.operations = 1000000;
    ticks.next = 2 * (uint64_t)n + 200000;
    for (long i = 0; i < n; i++)
        start(&thread, yielder, NULL);
    st_sleep(3600);
}

static void *end_at_once(void *arg)
{
    return arg;
}

static void *yield_once(void *arg)
{
    st_usleep(0);
    return arg;
}

static int one_by_one(void *arg)
{
    for (long i = 0; i < ONE_BY_ONE; i++) {
        start(&threads[0], end_at_once, arg);
        st_thread_join(threads[0], NULL);
    }
    return 0;
}

static void crowd(void *(*fn)(void *))
{
    for (long i = 0; i < MANY; i++)
        start(&threads[i], fn, NULL);
    for (long i = 0; i < MANY; i++)
        st_thread_join(threads[i], NULL);
}

static int many(void *arg)
{
    (void)arg;
    crowd(end_at_once);
    return 0;
}

static int many_that_yield(void *arg)
{
    (void)arg;
    crowd(yield_once);
    return 0;
}

static void create(void)
{
    struct bench_case fresh = {"create+await 100000, fresh",
                               .operations = MANY};
    struct bench_case warm = {"create+await 100000, warm", .operations = MANY};
    struct bench_case one = {"create+await 1", .operations = ONE_BY_ONE};
    struct bench_case all = {"create+await 100000", .operations = MANY};

    bench_round(&fresh, many_that_yield, NULL);
    bench_report(&fresh);
    bench_rounds(&warm, many_that_yield, NULL);
    bench_rounds(&one, one_by_one, NULL);
    bench_rounds(&all, many, NULL);
}

static void *park(void *arg)
{
    st_sleep(36000);
    return arg;
}

static void parked(long n)
{
    long rss = bench_process_size("VmRSS:");
    uint64_t began = bench_clock();
    st_thread_t thread;

    for (long i = 0; i < n; i++)
        start(&thread, park, NULL);
    st_usleep(0);
    bench_report_parked(n, began, rss);
    _exit(0);
}

static void *sleeper(void *arg)
{
    st_usleep(bench_random() % 1000000);
    return arg;
}

static int sleep_all(void *arg)
{
    (void)arg;
    crowd(sleeper);
    return 0;
}

static void sleepers(void)
{
    struct bench_case c = {"sleepers: expire 100000", .unit = "ns CPU"};

    c.operations = MANY;
    c.clock = bench_cpu;
    bench_rounds(&c, sleep_all, NULL);
}

static void sleeps(long us)
{
    double late[SLEEPS];
    uint64_t cpu = bench_cpu();

    for (int i = 0; i < SLEEPS; i++) {
        uint64_t began = bench_clock();

        st_usleep((st_utime_t)us);
        late[i] = (double)(bench_clock() - began) - (double)us * 1000;
    }
    bench_report_sleeps(us, late, SLEEPS, bench_cpu() - cpu);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    long n = argc > 2 ? atol(argv[2]) : 0;

    st_set_eventsys(ST_EVENTSYS_ALT);
    bench_check(st_init() ? -errno : 0, "st_init");
    if (!strcmp(what, "yield"))
        yields(n);
    else if (!strcmp(what, "create"))
        create();
    else if (!strcmp(what, "parked"))
        parked(n);
    else if (!strcmp(what, "sleepers"))
        sleepers();
    else if (!strcmp(what, "sleep"))
        for (int i = 0; i < BENCH_DELAYS; i++)
            sleeps(bench_delays[i]);
    else
        return 2;
    return 0;
}
