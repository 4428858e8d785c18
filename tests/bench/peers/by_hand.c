/*
 * The limit: what the memory and the system of a case cost, by hand.
 *
 * usage: by_hand create | parked N | yield N | timers | sleep
 *
 * A task is a page, as far from the next one's as our stacks are and without a guard,
 * and a record of four lines in a row of them. What ours touch is written: three lines
 * of the record when it is created, one of the page and three of the record when it
 * begins and when it ends, three of the record when it is awaited. When it yields it is
 * one of each, which are sent for while four others run.
 *
 * A timer is 48 bytes in a row of them. It is hung into a chain of its millisecond when
 * it is set, and visited when that has come; the one that comes 16 later is sent for
 * then. In churn one that is picked at random is taken off a chain that goes both ways,
 * and hung into another one, of 1,024. A sleep is clock_nanosleep, in `sleep` without
 * slack.
 */
#include "../measure.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { TASKS = 100000, SLEEPS = 200 };
enum { DISTANCE = 72 << 10, LINE = 64, COLOURS = 16, RECORD = 4 * LINE };
enum { YIELDS = 2000000, TASKS_AHEAD = 4 };
enum { TIMERS = 1000000, MILLISECONDS = 1000, AHEAD = 16 };
enum { LIVE = 10000, CHURNS = 1000000, SLOTS = 1024 };

struct crowd {
    long n;
    char *stacks;
    char *records;
};

static struct crowd make_crowd(long n)
{
    size_t size = (size_t)n * DISTANCE;
    char *stacks = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *records = malloc((size_t)n * RECORD);

    bench_check(stacks == MAP_FAILED || !records ? -ENOMEM : 0, "by_hand");
    bench_check(madvise(stacks, size, MADV_NOHUGEPAGE) ? -errno : 0, "madvise");
    return (struct crowd){n, stacks, records};
}

static void free_crowd(struct crowd *crowd)
{
    munmap(crowd->stacks, (size_t)crowd->n * DISTANCE);
    free(crowd->records);
}

static void write_line(char *at)
{
    *(volatile char *)at = 1;
}

static void write_three(char *at)
{
    for (int i = 0; i < 3; i++)
        write_line(at + i * LINE);
}

static char *line_of_stack(const struct crowd *crowd, long i)
{
    return crowd->stacks + i * DISTANCE + i % COLOURS * LINE;
}

/* What it is to be created, or awaited. */
static void visit_records(const struct crowd *crowd)
{
    for (long i = 0; i < crowd->n; i++)
        write_three(crowd->records + i * RECORD);
}

/* To begin, or to end. */
static void visit_stacks(const struct crowd *crowd)
{
    for (long i = 0; i < crowd->n; i++) {
        write_line(line_of_stack(crowd, i));
        write_three(crowd->records + i * RECORD + LINE);
    }
}

static int live(void *crowd)
{
    visit_records(crowd);
    visit_stacks(crowd);
    visit_stacks(crowd);
    visit_records(crowd);
    return 0;
}

static void create(void)
{
    struct bench_case fresh = {"create+await 100000, fresh",
                               .operations = TASKS};
    struct bench_case warm = {"create+await 100000, warm", .operations = TASKS};
    struct crowd crowd;

    for (int i = 0; i < BENCH_WINDOWS; i++) {
        crowd = make_crowd(TASKS);
        bench_round(&fresh, live, &crowd);
        if (i < BENCH_WINDOWS - 1)
            free_crowd(&crowd);
    }
    bench_report(&fresh);
    bench_rounds(&warm, live, &crowd);
}

static void parked(long n)
{
    long rss = bench_process_size("VmRSS:");
    uint64_t began = bench_clock();
    struct crowd crowd = make_crowd(n);

    visit_records(&crowd);
    visit_stacks(&crowd);
    bench_report_parked(n, began, rss);
}

/* Each in turn. */
static int visit_all(void *arg)
{
    const struct crowd *crowd = arg;

    for (long n = YIELDS, i = 0; n > 0; n--, i = (i + 1) % crowd->n) {
        long ahead = (i + TASKS_AHEAD) % crowd->n;

        __builtin_prefetch(line_of_stack(crowd, ahead), 1);
        __builtin_prefetch(crowd->records + ahead * RECORD, 1);
        write_line(line_of_stack(crowd, i));
        write_line(crowd->records + i * RECORD);
    }
    return 0;
}

static void yields(long n)
{
    char name[32];
    struct bench_case c = {name, .operations = YIELDS};
    struct crowd crowd = make_crowd(n);

    snprintf(name, sizeof name, "yield %ld", n);
    bench_rounds(&c, visit_all, &crowd);
    free_crowd(&crowd);
}

struct timer {
    struct timer *next;
    struct timer *ahead; /* the one that comes AHEAD later */
    uint64_t when;
    char rest[24];
};

static struct slot {
    struct timer *first;
    struct timer *hung[AHEAD]; /* the last ones, in a ring */
    unsigned n;
} slots[MILLISECONDS];

static void set(struct timer *timer, uint64_t ms)
{
    struct slot *slot = &slots[ms];
    struct timer **hung = &slot->hung[slot->n++ % AHEAD];

    timer->next = slot->first;
    timer->ahead = *hung;
    timer->when = ms;
    *(volatile char *)&timer->rest = 1;
    slot->first = *hung = timer;
}

static void send_for(const struct timer *timer)
{
    if (!timer)
        return;
    __builtin_prefetch(timer, 1);
    __builtin_prefetch(&timer->rest, 1);
}

static void expire(struct slot *slot)
{
    for (struct timer *timer = slot->first; timer; timer = timer->next) {
        send_for(timer->ahead);
        timer->when = 0;
        *(volatile char *)&timer->rest = 0;
    }
    *slot = (struct slot){.n = 0};
}

static void sleep_until(uint64_t until)
{
    struct timespec time = {(time_t)(until / 1000000000),
                            (long)(until % 1000000000)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static int set_and_wait(void *timers)
{
    uint64_t began = bench_clock();

    for (long i = 0; i < TIMERS; i++)
        set((struct timer *)timers + i, bench_random() % MILLISECONDS);
    for (uint64_t ms = 0; ms < MILLISECONDS; ms++) {
        sleep_until(began + ms * 1000000);
        expire(&slots[ms]);
    }
    return 0;
}

static void expiry(void)
{
    struct bench_case c = {"timers: expire 1000000", "ns CPU",
                           .operations = TIMERS, .clock = bench_cpu};
    struct timer *timers = calloc(TIMERS, sizeof *timers);

    bench_check(timers ? 0 : -ENOMEM, "by_hand");
    bench_rounds(&c, set_and_wait, timers);
    free(timers);
}

/* In a chain that any of it may leave. */
struct link {
    struct link *next;
    struct link **before; /* what points to it */
    char rest[32];
};

static struct link *chains[SLOTS];

static void hang(struct link *link, uint64_t slot)
{
    struct link **first = &chains[slot];

    link->next = *first;
    link->before = first;
    if (link->next)
        link->next->before = &link->next;
    *first = link;
    *(volatile char *)&link->rest = 1;
}

static void take_off(struct link *link)
{
    *link->before = link->next;
    if (link->next)
        link->next->before = link->before;
}

static int churn(void *links)
{
    for (long i = 0; i < CHURNS; i++) {
        struct link *link = (struct link *)links + bench_random() % LIVE;

        take_off(link);
        hang(link, bench_random() % SLOTS);
    }
    return 0;
}

static void churn_among(void)
{
    static struct link links[LIVE];
    struct bench_case c = {"timers: churn 10000", .operations = CHURNS};

    for (long i = 0; i < LIVE; i++)
        hang(&links[i], bench_random() % SLOTS);
    bench_rounds(&c, churn, links);
}

static void expire_and_churn(void)
{
    expiry();
    churn_among();
}

static void sleeps(long us)
{
    double late[SLEEPS];
    uint64_t cpu = bench_cpu();

    for (int i = 0; i < SLEEPS; i++) {
        uint64_t until = bench_clock() + (uint64_t)us * 1000;

        sleep_until(until);
        late[i] = (double)(bench_clock() - until);
    }
    bench_report_sleeps(us, late, SLEEPS, bench_cpu() - cpu);
}

static void sleep_all(void)
{
    bench_check(prctl(PR_SET_TIMERSLACK, 1) ? -errno : 0, "prctl");
    for (int i = 0; i < BENCH_DELAYS; i++)
        sleeps(bench_delays[i]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    long n = argc > 2 ? atol(argv[2]) : 0;

    if (!strcmp(what, "create"))
        create();
    else if (!strcmp(what, "parked") && n > 0)
        parked(n);
    else if (!strcmp(what, "yield") && n > 0)
        yields(n);
    else if (!strcmp(what, "timers"))
        expire_and_churn();
    else if (!strcmp(what, "sleep"))
        sleep_all();
    else
        return 2;
    return 0;
}
