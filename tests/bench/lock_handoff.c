/* Locks and semaphores: free ones, and a lock that n tasks hand to each other.
 *
 * usage: lock_handoff [N...] */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FREE_ROUNDS = 10000000, HANDOFFS = 2000000 };

static int use_lock(void *arg)
{
    struct task_lock *lock = arg;

    for (int i = 0; i < FREE_ROUNDS; i++) {
        bench_check(task_lock_acquire(lock), "task_lock_acquire");
        task_lock_release(lock);
    }
    return 0;
}

static int use_semaphore(void *arg)
{
    struct task_semaphore *semaphore = arg;

    for (int i = 0; i < FREE_ROUNDS; i++) {
        bench_check(task_semaphore_acquire(semaphore),
                    "task_semaphore_acquire");
        task_semaphore_release(semaphore);
    }
    return 0;
}

static int measure_free(void *arg)
{
    struct task_lock lock = {0};
    struct task_semaphore semaphore = TASK_SEMAPHORE_INIT(1);
    struct bench_case locks = {.name = "lock, free"};
    struct bench_case semaphores = {.name = "semaphore, free"};

    (void)arg;
    locks.operations = semaphores.operations = FREE_ROUNDS;
    bench_rounds(&locks, use_lock, &lock);
    bench_rounds(&semaphores, use_semaphore, &semaphore);
    return 0;
}

/* With a yield while the first has it, all others wait; from then on each
 * release hands it to the next, and each acquire parks. */
struct crowd {
    long n;
    struct task_lock lock;
    struct bench_ticks ticks;
};

static int user(void *arg)
{
    struct crowd *crowd = arg;
    bool goes_on = true;

    while (goes_on) {
        bench_check(task_lock_acquire(&crowd->lock), "task_lock_acquire");
        if (!crowd->ticks.count)
            task_yield();
        goes_on = bench_tick(&crowd->ticks);
        task_lock_release(&crowd->lock);
    }
    return 0;
}

static int hand_around(void *arg)
{
    struct crowd *crowd = arg;
    struct task **tasks = calloc((size_t)crowd->n, sizeof *tasks);
    int status = -ENOMEM;

    if (tasks)
        status = bench_crowd(tasks, crowd->n, user, crowd);
    free(tasks);
    return status;
}

static void measure_handoff(long n)
{
    char name[32];
    struct bench_case c = {.name = name};
    struct crowd crowd = {.n = n, .ticks = {.result = &c}};

    snprintf(name, sizeof name, "lock hand-over %ld", n);
    c.operations = HANDOFFS;
    crowd.ticks.next = 2 * (uint64_t)n + HANDOFFS / 10;
    bench_run(hand_around, &crowd);
    bench_report(&c);
}

int main(int argc, char **argv)
{
    bench_run(measure_free, NULL);
    for (int i = 1; i < argc; i++)
        measure_handoff(atol(argv[i]));
    if (argc == 1) {
        measure_handoff(2);
        measure_handoff(100);
    }
    return 0;
}
