/*
 * The limit: what the memory and the system of a case cost, by hand.
 *
 * usage: by_hand create | parked N | sleep
 *
 * A task is a page, as far from the next one's as our stacks are and without a guard,
 * and a record of 256 bytes in a row of them; two lines of the page and all of the
 * record are written when it begins, and when it ends. A sleep is clock_nanosleep,
 * without slack.
 */
#include "../measure.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { TASKS = 100000, SLEEPS = 200 };
enum { DISTANCE = 72 << 10, LINE = 64, LINES = 2, COLOURS = 16, RECORD = 256 };

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

static void write_lines(char *at, int size)
{
    for (int i = 0; i < size; i += LINE)
        *(volatile char *)(at + i) = 1;
}

static void visit_all(const struct crowd *crowd)
{
    for (long i = 0; i < crowd->n; i++) {
        write_lines(crowd->stacks + i * DISTANCE + i % COLOURS * LINE,
                    LINES * LINE);
        write_lines(crowd->records + i * RECORD, RECORD);
    }
}

static int begin_and_end(void *crowd)
{
    visit_all(crowd);
    visit_all(crowd);
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
        bench_round(&fresh, begin_and_end, &crowd);
        if (i < BENCH_WINDOWS - 1)
            free_crowd(&crowd);
    }
    bench_report(&fresh);
    bench_rounds(&warm, begin_and_end, &crowd);
}

static void parked(long n)
{
    long rss = bench_process_size("VmRSS:");
    uint64_t began = bench_clock();
    struct crowd crowd = make_crowd(n);

    visit_all(&crowd);
    bench_report_parked(n, began, rss);
}

static void sleeps(long us)
{
    double late[SLEEPS];
    uint64_t cpu = bench_cpu();

    for (int i = 0; i < SLEEPS; i++) {
        uint64_t until = bench_clock() + (uint64_t)us * 1000;
        struct timespec time = {(time_t)(until / 1000000000),
                                (long)(until % 1000000000)};

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
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
    else if (!strcmp(what, "sleep"))
        sleep_all();
    else
        return 2;
    return 0;
}
