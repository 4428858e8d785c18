/* What a trace costs: a switch, and a wait with a wake, without and with one, a
 * stream or a ring; and so an event of it.
 *
 * usage: trace [FILE]: where streams go; /tmp/bench-trace.json, which is removed
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OFF, RING, STREAM };

static const char *path = "/tmp/bench-trace.json";

struct crowd {
    task_fn *fn;
    struct bench_ticks ticks;
    struct task_queue there;
    struct task_queue back;
};

static int yielder(void *arg)
{
    struct crowd *crowd = arg;

    while (bench_tick(&crowd->ticks))
        task_yield();
    return 0;
}

/* Each waits for the other's. */
static int ping(void *arg)
{
    struct crowd *crowd = arg;
    int ball = 0;

    while (bench_tick(&crowd->ticks)) {
        task_queue_put(&crowd->there, &ball);
        task_queue_get(&crowd->back, &ball);
    }
    task_queue_shutdown(&crowd->there, true);
    return 0;
}

static int pong(void *arg)
{
    struct crowd *crowd = arg;
    int ball;

    while (task_queue_get(&crowd->there, &ball) == 0)
        task_queue_put(&crowd->back, &ball);
    return 0;
}

static int run(void *arg)
{
    struct crowd *crowd = arg;
    struct task *tasks[2] = {
        task_create(crowd->fn, crowd),
        task_create(crowd->fn == ping ? pong : yielder, crowd)};

    return task_gather(tasks, 2, NULL);
}

static int begin(struct loop *loop, int how)
{
    switch (how) {
    case RING:
        return loop_trace_ring(loop, path, 1 << 20);
    case STREAM:
        return loop_trace_start(loop, path);
    default:
        return 0;
    }
}

static double smallest(const struct bench_case *c)
{
    double least = c->windows[0];

    for (int i = 1; i < c->n_windows; i++)
        least = c->windows[i] < least ? c->windows[i] : least;
    return least;
}

/* The best window of a run: the machine may have other things to do. */
static double measure(const char *name, task_fn *fn, int how)
{
    static const char *const hows[] = {"off", "ring", "stream"};
    char full[48];
    struct bench_case c = {.name = full};
    struct crowd crowd = {.fn = fn, .ticks = {.result = &c, .next = 100000}};
    struct loop *loop = loop_new(NULL);

    snprintf(full, sizeof full, "%s-%s", name, hows[how]);
    c.operations = how == STREAM ? 200000 : 1000000;
    task_queue_init(&crowd.there, sizeof(int), 0);
    task_queue_init(&crowd.back, sizeof(int), 0);
    bench_check(begin(loop, how), path);
    bench_check(loop_run_main(loop, run, &crowd), full);
    bench_check(how == OFF ? 0 : loop_trace_stop(loop), path);
    loop_free(loop);
    task_queue_destroy(&crowd.there);
    task_queue_destroy(&crowd.back);
    bench_report(&c);
    return smallest(&c);
}

/* `events`: of an operation, as they stand in the file. */
static void measure_all(const char *name, task_fn *fn, int events)
{
    double off = measure(name, fn, OFF);
    double ring = measure(name, fn, RING);
    double stream = measure(name, fn, STREAM);

    printf("%s: an event: %.1f ns in a ring, %.1f in a stream\n", name,
           (ring - off) / events, (stream - off) / events);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        path = argv[1];
    measure_all("yield", yielder, 1);
    /* Both of them run, wait and are woken, with two ends of an arrow. */
    measure_all("pingpong", ping, 2 * 4);
    if (argc == 1)
        unlink(path);
    return 0;
}
