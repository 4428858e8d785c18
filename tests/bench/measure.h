/*
 * Measuring for the benchmarks and for the peers' programs, in C and C++:
 * clocks, windows, result lines. Knows nothing of libtask.
 *
 * A case is measured in one warm-up and then BENCH_WINDOWS windows; its figure
 * is the median of the windows, per operation. A benchmark that cannot go on
 * says why and exits with 1.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BENCH_WINDOWS = 5 };

/** Does all operations of a window. @return a negative errno if it cannot. */
typedef int bench_fn(void *arg);

/** The sleeps that are measured, in microseconds. */
enum { BENCH_DELAYS = 4 };
static const long bench_delays[BENCH_DELAYS] = {50, 200, 1000, 10000};

/** One case: what is measured, and what came out so far; zero = a fresh one. */
struct bench_case {
    const char *name;              /* "yield 1000": as in the peers' programs */
    const char *unit;              /* NULL: "ns" */
    const char *note;              /* NULL: none */
    long operations;               /* in one window */
    uint64_t (*clock)(void);       /* NULL: bench_clock */
    double windows[BENCH_WINDOWS]; /* per operation */
    int n_windows;
};

/**
 * Counts operations that several tasks do in turn, and makes windows of them.
 *
 * The first @c next operations are the warm-up.
 */
struct bench_ticks {
    struct bench_case *result;
    uint64_t count;
    uint64_t next;    /* the count that ends this window */
    uint64_t started; /* 0 in the warm-up */
};

static inline uint64_t bench_read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/** Nanoseconds of the monotonic clock. */
static inline uint64_t bench_clock(void)
{
    return bench_read_clock(CLOCK_MONOTONIC);
}

/** Nanoseconds of processor time, user and system. */
static inline uint64_t bench_cpu(void)
{
    return bench_read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/** The next number of a fixed pseudo-random sequence: xorshift64*. */
static inline uint64_t bench_random(void)
{
    static uint64_t state = 88172645463325252;

    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717;
}

/** A line of /proc/self/status ("VmRSS:"), in KiB. */
static inline long bench_process_size(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long size = 0;

    while (f && fgets(line, sizeof line, f)) {
        if (!strncmp(line, key, strlen(key)))
            size = atol(line + strlen(key));
    }
    if (f)
        fclose(f);
    return size;
}

/** Exit with a sentence on stderr if @p status is negative. */
static inline void bench_check(int status, const char *what)
{
    if (status >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-status));
    exit(1);
}

/** Take a window's figure, measured elsewhere. */
static inline void bench_add(struct bench_case *c, double per_operation)
{
    if (c->n_windows < BENCH_WINDOWS)
        c->windows[c->n_windows++] = per_operation;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/**
 * Print one line: name, operations, median per operation, note.
 *
 * With BENCH_FORM=tabs in the environment: name, median, unit, note, separated
 * by tabs, which is what `run` reads.
 */
static inline void bench_report(const struct bench_case *c)
{
    const char *form = getenv("BENCH_FORM");
    const char *unit = c->unit ? c->unit : "ns";
    const char *note = c->note ? c->note : "";
    struct bench_case sorted = *c;
    double *w = sorted.windows, median;

    qsort(w, (size_t)sorted.n_windows, sizeof *w, bench_compare);
    median = w[sorted.n_windows / 2];
    if (form && !strcmp(form, "tabs"))
        printf("%s\t%.3f\t%s\t%s\n", c->name, median, unit, note);
    else
        printf("%-38s %9ld %10.1f %s%s%s\n", c->name, c->operations, median,
               unit, *note ? "  " : "", note);
    fflush(stdout);
}

/** Report a figure that is measured once. */
static inline void bench_report_one(const char *name, const char *unit,
                                    long operations, double per_operation)
{
    struct bench_case c = {name, unit, NULL, operations, NULL, {0}, 0};

    bench_add(&c, per_operation);
    bench_report(&c);
}

/** Report how late @p n sleeps of @p us ended, in ns, and their share of @p cpu;
 * sorts @p late. */
static inline void bench_report_sleeps(long us, double *late, long n,
                                       uint64_t cpu)
{
    char name[48];

    qsort(late, (size_t)n, sizeof *late, bench_compare);
    snprintf(name, sizeof name, "sleep %ld us: late, p50", us);
    bench_report_one(name, "ns", n, late[n / 2]);
    snprintf(name, sizeof name, "sleep %ld us: late, p99", us);
    bench_report_one(name, "ns", n, late[n * 99 / 100]);
    snprintf(name, sizeof name, "sleep %ld us: processor", us);
    bench_report_one(name, "ns CPU", n, (double)cpu / (double)n);
}

/** Report what it took to create @p n parked tasks: the time since @p began, and
 * the resident memory beyond @p rss, in KiB. */
static inline void bench_report_parked(long n, uint64_t began, long rss)
{
    double time = (double)(bench_clock() - began);
    double size = (double)(bench_process_size("VmRSS:") - rss) * 1024;
    char name[48];

    snprintf(name, sizeof name, "parked %ld: create", n);
    bench_report_one(name, NULL, n, time / (double)n);
    snprintf(name, sizeof name, "parked %ld: memory", n);
    bench_report_one(name, "B/task", n, size / (double)n);
}

/** Run @p round once, and take the time as the next window. */
static inline void bench_round(struct bench_case *c, bench_fn *round, void *arg)
{
    uint64_t (*now)(void) = c->clock ? c->clock : bench_clock;
    uint64_t began = now();

    bench_check(round(arg), c->name);
    bench_add(c, (double)(now() - began) / (double)c->operations);
}

/** A warm-up and all windows of @p round, then the report. */
static inline void bench_rounds(struct bench_case *c, bench_fn *round,
                                void *arg)
{
    bench_check(round(arg), c->name);
    for (int i = 0; i < BENCH_WINDOWS; i++)
        bench_round(c, round, arg);
    bench_report(c);
}

/** End a window, begin the next; apart, so that this is not in each task's
 * frame. @return false after the last one. */
static __attribute__((noinline, unused)) bool
bench_ticks_turn(struct bench_ticks *ticks)
{
    struct bench_case *c = ticks->result;
    uint64_t now = bench_clock();

    if (ticks->started)
        bench_add(c, (double)(now - ticks->started) / (double)c->operations);
    if (c->n_windows == BENCH_WINDOWS)
        return false;
    ticks->next = ticks->count + (uint64_t)c->operations;
    ticks->started = bench_clock();
    return true;
}

/** Count one operation. @return false once all windows are full. */
static inline bool bench_tick(struct bench_ticks *ticks)
{
    return ++ticks->count < ticks->next || bench_ticks_turn(ticks);
}

/** Report what was counted, and exit: for tasks that know no other end. */
static inline void bench_ticks_exit(const struct bench_ticks *ticks)
{
    bench_report(ticks->result);
    _exit(0);
}

#endif
