/*
 * Measuring for the benchmarks: clocks, windows, result lines.
 *
 * A case is measured in one warm-up and then BENCH_WINDOWS windows; its figure
 * is the median of the windows, per operation. A benchmark that cannot go on
 * says why and exits with 1. All of it is in this header, so that a benchmark
 * is one file.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <task.h>

enum { BENCH_WINDOWS = 5 };

/** One case: what is measured, and what came out so far; zero = a fresh one. */
struct bench_case {
    const char *workload;          /* "w2": as in the peers' programs */
    const char *name;              /* "yield-t1000": likewise */
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

/** The next number of a fixed pseudo-random sequence: xorshift64*, as the
 * peers' programs use it. */
static inline uint64_t bench_random(void)
{
    static uint64_t state = 88172645463325252;

    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717;
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
 * With BENCH_FORM=peer in the environment, the line is that of the peers:
 * R, workload, case, program, median, min, unit, note; separated by tabs.
 */
static inline void bench_report(const struct bench_case *c)
{
    const char *form = getenv("BENCH_FORM");
    const char *unit = c->unit ? c->unit : "ns";
    const char *note = c->note ? c->note : "";
    struct bench_case sorted = *c;
    double *w = sorted.windows, *median = w + sorted.n_windows / 2;

    qsort(w, (size_t)sorted.n_windows, sizeof *w, bench_compare);
    if (form && !strcmp(form, "peer"))
        printf("R\t%s\t%s\tours\t%.3f\t%.3f\t%s\t%s\n", c->workload, c->name,
               *median, *w, unit, note);
    else
        printf("%-34s %9ld %10.1f %s%s%s\n", c->name, c->operations, *median,
               unit, *note ? "  " : "", note);
    fflush(stdout);
}

/** Run @p round once, and take the time as the next window. */
static inline void bench_round(struct bench_case *c, task_fn *round, void *arg)
{
    uint64_t (*now)(void) = c->clock ? c->clock : bench_clock;
    uint64_t began = now();

    bench_check(round(arg), c->name);
    bench_add(c, (double)(now() - began) / (double)c->operations);
}

/** A warm-up and all windows of @p round, then the report. */
static inline void bench_rounds(struct bench_case *c, task_fn *round, void *arg)
{
    bench_check(round(arg), c->name);
    for (int i = 0; i < BENCH_WINDOWS; i++)
        bench_round(c, round, arg);
    bench_report(c);
}

/** Run a loop with @p main, and check its status. */
static inline void bench_run(task_fn *main, void *arg)
{
    bench_check(loop_run(main, arg), "loop_run");
}

/** Create @p n tasks, and then await each; @p tasks is scratch space. */
static inline int bench_crowd(struct task *tasks[], long n, task_fn *fn,
                              void *arg)
{
    int status = 0;

    for (long i = 0; i < n; i++)
        tasks[i] = task_create(fn, arg);
    for (long i = 0; i < n; i++) {
        int s = task_await(tasks[i]);

        status = s < 0 ? s : status;
    }
    return status;
}

/** End a window, begin the next. @return false after the last one. */
static inline bool bench_ticks_turn(struct bench_ticks *ticks)
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

#endif
