/* The core, with n of something: tasks, timers, items, children. For `growth` and
 * for counting instructions, which is why the clock is virtual: how often the loop
 * looks at the real one depends on how fast it goes.
 *
 * usage: core CASE N ROUNDS
 *
 * After a round to warm up, prints the processor time of a round by n. */
#include "bench.h"
#include "scheduler.h"

#include <errno.h>

struct crowd {
    long n;
    long rounds;
    struct task **tasks;
    struct timer *timers;
    struct task_event event;
    struct task_lock lock;
    struct task_queue queue;
    task_fn *child;
    long left;
    struct task *done; /* a future */
};

static struct timers *wheel(void)
{
    return scheduler_current()->timers;
}

static int create(void *arg)
{
    struct crowd *crowd = arg;

    return bench_crowd(crowd->tasks, crowd->n, crowd->child, crowd);
}

static int group(void *arg)
{
    struct crowd *crowd = arg;
    struct task_group children;
    int status = 0;

    task_group_begin(&children);
    for (long i = 0; i < crowd->n && status >= 0; i++)
        status = task_group_start(&children, bench_end_at_once, NULL);
    return task_group_end(&children, status);
}

static int gather(void *arg)
{
    struct crowd *crowd = arg;

    for (long i = 0; i < crowd->n; i++)
        crowd->tasks[i] = task_create(bench_end_at_once, NULL);
    return task_gather(crowd->tasks, (size_t)crowd->n, NULL);
}

static int wait_for_event(void *arg)
{
    struct crowd *crowd = arg;

    return task_event_wait(&crowd->event);
}

/* All are created, park, are woken at once and end. */
static int park(void *arg)
{
    struct crowd *crowd = arg;
    int status = 0;

    task_event_clear(&crowd->event);
    for (long i = 0; i < crowd->n; i++)
        crowd->tasks[i] = task_create(wait_for_event, crowd);
    task_yield();
    task_event_set(&crowd->event);
    for (long i = 0; i < crowd->n && status >= 0; i++)
        status = task_await(crowd->tasks[i]);
    return status;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return task_sleep(TASK_HOUR);
}

static int cancel(void *arg)
{
    struct crowd *crowd = arg;
    int status = 0;

    for (long i = 0; i < crowd->n; i++)
        crowd->tasks[i] = task_create(sleep_long, NULL);
    task_yield();
    for (long i = 0; i < crowd->n; i++)
        task_cancel(crowd->tasks[i]);
    for (long i = 0; i < crowd->n; i++)
        if (task_await(crowd->tasks[i]) != -ECANCELED)
            status = -EPROTO;
    return status;
}

static int time_out_around_a_yield(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_HOUR);
    return task_timeout_end(&timeout, task_yield());
}

static int sleep_somewhat(void *arg)
{
    (void)arg;
    return task_sleep((task_time)(bench_random() % 1000000) * TASK_MICROSECOND);
}

/* A user's turns with what all share: the first waits until all others are there. */
static int hand_over(void *arg)
{
    struct crowd *crowd = arg;

    for (int turn = 0; turn < 2; turn++) {
        bench_check(task_lock_acquire(&crowd->lock), "task_lock_acquire");
        if (crowd->left++ == 0)
            task_yield();
        task_lock_release(&crowd->lock);
    }
    return 0;
}

static int lock(void *arg)
{
    struct crowd *crowd = arg;

    crowd->left = 0;
    return bench_crowd(crowd->tasks, crowd->n, hand_over, crowd);
}

static int put_all(void *arg)
{
    struct crowd *crowd = arg;

    for (long i = 0; i < crowd->n; i++)
        bench_check(task_queue_put(&crowd->queue, &i), "task_queue_put");
    return 0;
}

/* From a task to another one, through a queue that has room for a tenth. */
static int queue(void *arg)
{
    struct crowd *crowd = arg;
    struct task *producer;
    long item;

    task_queue_init(&crowd->queue, sizeof item, (size_t)crowd->n / 10);
    producer = task_create(put_all, crowd);
    for (long i = 0; i < crowd->n; i++)
        bench_check(task_queue_get(&crowd->queue, &item), "task_queue_get");
    bench_check(task_await(producer), "task_await");
    return task_queue_destroy(&crowd->queue);
}

static int set_and_cancel(void *arg)
{
    struct crowd *crowd = arg;
    task_time now = loop_time();

    for (long i = 0; i < crowd->n; i++)
        task__timer_arm(wheel(), &crowd->timers[i],
                        now + (task_time)(bench_random() % 60000) *
                                  TASK_MILLISECOND);
    for (long i = 0; i < crowd->n; i++)
        task__timer_cancel(wheel(), &crowd->timers[i]);
    return 0;
}

static struct crowd *expiring;

static void expire(struct timer *timer)
{
    (void)timer;
    if (!--expiring->left)
        task_future_complete(expiring->done, 0);
}

static int set_and_expire(void *arg)
{
    struct crowd *crowd = expiring = arg;
    task_time now = loop_time();

    crowd->left = crowd->n;
    crowd->done = task_future_create();
    for (long i = 0; i < crowd->n; i++) {
        crowd->timers[i].fire = expire;
        task__timer_arm(wheel(), &crowd->timers[i],
                        now + (task_time)(bench_random() % 1000000) *
                                  TASK_MICROSECOND);
    }
    return task_await(crowd->done);
}

static const struct core_case {
    const char *name;
    task_fn *round;
    task_fn *child; /* of `create` */
} cases[] = {
    {"create", create, bench_end_at_once},
    {"yield", create, bench_yield_once},
    {"park", park, NULL},
    {"cancel", cancel, NULL},
    {"timeout", create, time_out_around_a_yield},
    {"sleep", create, sleep_somewhat},
    {"timers", set_and_cancel, NULL},
    {"expire", set_and_expire, NULL},
    {"queue", queue, NULL},
    {"lock", lock, NULL},
    {"group", group, NULL},
    {"gather", gather, NULL},
};

struct run {
    const struct core_case *what;
    struct crowd *crowd;
    uint64_t cpu;
};

static int run_rounds(void *arg)
{
    struct run *run = arg;
    struct crowd *crowd = run->crowd;
    int status = run->what->round(crowd);

    run->cpu = bench_cpu();
    for (long i = 0; i < crowd->rounds && status >= 0; i++)
        status = run->what->round(crowd);
    run->cpu = bench_cpu() - run->cpu;
    return status;
}

static void measure(const struct core_case *what, long n, long rounds)
{
    struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL};
    struct crowd crowd = {.n = n, .rounds = rounds, .child = what->child};
    struct run run = {.what = what, .crowd = &crowd};
    struct loop *loop = loop_new(&options);

    crowd.tasks = calloc((size_t)n, sizeof *crowd.tasks);
    crowd.timers = calloc((size_t)n, sizeof *crowd.timers);
    if (!loop || !crowd.tasks || !crowd.timers)
        bench_check(-ENOMEM, what->name);
    bench_check(loop_run_main(loop, run_rounds, &run), what->name);
    loop_free(loop);
    printf("%.2f\n", (double)run.cpu / (double)n / (double)rounds);
    free(crowd.tasks);
    free(crowd.timers);
}

int main(int argc, char **argv)
{
    long n = argc == 4 ? atol(argv[2]) : 0,
         rounds = argc == 4 ? atol(argv[3]) : 0;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (n >= 10 && rounds > 0 && !strcmp(argv[1], cases[i].name)) {
            measure(&cases[i], n, rounds);
            return 0;
        }
    fprintf(stderr, "usage: %s CASE N ROUNDS, N at least 10; of the cases\n",
            argv[0]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fprintf(stderr, "  %s\n", cases[i].name);
    return 2;
}
