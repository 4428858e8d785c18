/* What calls from another thread cost, with the loop and that thread on a core
 * each: a call, from the first to the last one's run, the processor time of
 * both, and of the caller alone; a round trip: to the thread by a condition
 * variable and back by a call; from the thread, by a coroutine that it waits
 * for; to a worker thread, by a job; a wake-up that is pending already. Besides,
 * calls that have piled up, when the loop comes to run them; and on one core a
 * job, and what it would cost at the least: a condition variable and an eventfd,
 * in plain C. */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { CALLS = 1000000, TRIPS = 20000 };

struct table {
    struct loop_remote *remote;
    struct task_event done;
    long n;              /* calls, trips, so far */
    uint64_t poster_cpu; /* of the last calls, in nanoseconds */
    bool piled_up;       /* all but the last were made; atomic */

    /* What the other thread is to do next. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void (*work)(struct table *table);
    bool over;
};

static void pin(size_t core)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    sched_setaffinity(0, sizeof cores, &cores); /* or as it was */
}

/* Have the other thread do that. */
static void order(struct table *table, void (*work)(struct table *table))
{
    pthread_mutex_lock(&table->mutex);
    table->work = work;
    table->over = !work;
    pthread_cond_signal(&table->changed);
    pthread_mutex_unlock(&table->mutex);
}

static void *obey(void *arg)
{
    struct table *table = arg;

    pin(1);
    pthread_mutex_lock(&table->mutex);
    while (!table->over) {
        void (*work)(struct table *) = table->work;

        table->work = NULL;
        pthread_mutex_unlock(&table->mutex);
        if (work)
            work(table);
        pthread_mutex_lock(&table->mutex);
        if (!table->work && !table->over)
            pthread_cond_wait(&table->changed, &table->mutex);
    }
    pthread_mutex_unlock(&table->mutex);
    return NULL;
}

static int wait_for_it(struct table *table, void (*work)(struct table *table))
{
    table->n = 0;
    task_event_clear(&table->done);
    order(table, work);
    return task_event_wait(&table->done);
}

static void take_call(void *arg)
{
    struct table *table = arg;

    if (++table->n == CALLS)
        task_event_set(&table->done);
}

static void call(struct table *table, loop_fn *fn)
{
    bench_check(loop_remote_call(table->remote, fn, table), "call");
}

/* The last one comes when the time has been taken. */
static void call_often(struct table *table)
{
    uint64_t began = bench_read_clock(CLOCK_THREAD_CPUTIME_ID);

    for (long i = 0; i < CALLS - 1; i++)
        call(table, take_call);
    table->poster_cpu = bench_read_clock(CLOCK_THREAD_CPUTIME_ID) - began;
    __atomic_store_n(&table->piled_up, true, __ATOMIC_RELEASE);
    call(table, take_call);
}

static int calls(void *arg)
{
    return wait_for_it(arg, call_often);
}

/* The same, as the poster sees it. */
static void measure_poster(struct bench_case *c, struct table *table)
{
    for (int i = 0; i < BENCH_WINDOWS; i++) {
        bench_check(calls(table), c->name);
        bench_add(c, (double)table->poster_cpu / CALLS);
    }
    bench_report(c);
}

/* They are made while the loop is held, and run then. */
static void measure_piled_up(struct bench_case *c, struct table *table)
{
    for (int i = 0; i < BENCH_WINDOWS; i++) {
        uint64_t began;

        table->n = 0;
        table->piled_up = false;
        task_event_clear(&table->done);
        order(table, call_often);
        while (!__atomic_load_n(&table->piled_up, __ATOMIC_ACQUIRE))
            continue;
        began = bench_clock();
        bench_check(task_event_wait(&table->done), c->name);
        bench_add(c, (double)(bench_clock() - began) / CALLS);
    }
    bench_report(c);
}

static void call_back(struct table *table);

static void turn_round(void *arg)
{
    struct table *table = arg;

    if (++table->n == TRIPS)
        task_event_set(&table->done);
    else
        order(table, call_back);
}

static void call_back(struct table *table)
{
    call(table, turn_round);
}

static int trips(void *arg)
{
    return wait_for_it(arg, call_back);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Coroutines, one by one; then a call that is counted as the last. */
static void run_often(struct table *table)
{
    int status = 0;

    for (long i = 0; i < TRIPS && !status; i++)
        status = loop_remote_run(table->remote, nothing, NULL, TASK_FOREVER);
    bench_check(status, "loop_remote_run");
    table->n = CALLS - 1;
    call(table, take_call);
}

static int runs(void *arg)
{
    return wait_for_it(arg, run_often);
}

/* A job, whose thread leaves the loop's core, which it has inherited. */
static int move_away(void *arg)
{
    (void)arg;
    pin(1);
    return 0;
}

static int jobs(void *arg)
{
    int status = 0;

    (void)arg;
    for (long i = 0; i < TRIPS && !status; i++)
        status = task_to_thread(nothing, NULL);
    return status;
}

/* Plain C, on the loop's processor, as jobs on one core. */

struct plain {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int n; /* jobs to do; negative: no more */
    int done;
    int epoll;
};

static void *work_plainly(void *arg)
{
    struct plain *plain = arg;
    const uint64_t one = 1;

    for (;;) {
        pthread_mutex_lock(&plain->mutex);
        while (!plain->n)
            pthread_cond_wait(&plain->changed, &plain->mutex);
        if (plain->n < 0)
            break;
        plain->n--;
        pthread_mutex_unlock(&plain->mutex);
        bench_check((int)write(plain->done, &one, sizeof one), "write");
    }
    pthread_mutex_unlock(&plain->mutex);
    return NULL;
}

static void order_plainly(struct plain *plain, int n)
{
    pthread_mutex_lock(&plain->mutex);
    plain->n = n;
    pthread_mutex_unlock(&plain->mutex);
    pthread_cond_signal(&plain->changed);
}

static int plain_jobs(void *arg)
{
    struct plain *plain = arg;
    struct epoll_event event;

    for (long i = 0; i < TRIPS; i++) {
        order_plainly(plain, 1);
        while (epoll_wait(plain->epoll, &event, 1, -1) != 1)
            continue;
    }
    return 0;
}

static void measure_plain(struct bench_case *c)
{
    struct plain plain = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER,
                          .done = eventfd(0, 0),
                          .epoll = epoll_create1(0)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    pthread_t worker;

    bench_check(
        epoll_ctl(plain.epoll, EPOLL_CTL_ADD, plain.done, &event) ? -errno : 0,
        "epoll_ctl");
    bench_check(-pthread_create(&worker, NULL, work_plainly, &plain),
                "pthread_create");
    bench_rounds(c, plain_jobs, &plain);
    order_plainly(&plain, -1);
    pthread_join(worker, NULL);
    close(plain.epoll);
    close(plain.done);
}

static int wakes(void *arg)
{
    const struct table *table = arg;
    int status = 0;

    for (long i = 0; i < CALLS && !status; i++)
        status = loop_remote_wake(table->remote);
    return status;
}

static struct bench_case timed(const char *name, long operations)
{
    return (struct bench_case){.name = name, .operations = operations};
}

static struct bench_case processor(const char *name, long operations)
{
    return (struct bench_case){.name = name,
                               .unit = "ns CPU",
                               .operations = operations,
                               .clock = bench_cpu};
}

static int main_task(void *arg)
{
    struct table *table = arg;
    struct bench_case post = timed("thread: post", CALLS);
    struct bench_case post_cpu = processor("thread: post, processor", CALLS);
    struct bench_case trip = timed("thread: round trip", TRIPS);
    struct bench_case trip_cpu =
        processor("thread: round trip, processor", TRIPS);
    struct bench_case coroutine = timed("thread: coroutine", TRIPS);
    struct bench_case job_here = timed("thread: job, one core", TRIPS);
    struct bench_case job = timed("thread: job", TRIPS);
    struct bench_case job_cpu = processor("thread: job, processor", TRIPS);
    struct bench_case wake = timed("thread: wake, pending", CALLS);
    struct bench_case poster = {
        .name = "thread: post, poster", .unit = "ns CPU", .operations = CALLS};
    struct bench_case piled_up = timed("thread: run, piled up", CALLS);
    struct bench_case plain = timed("thread: job in plain C, one core", TRIPS);

    table->remote = loop_remote_open();
    bench_check(table->remote ? 0 : -ENOMEM, "loop_remote_open");
    bench_rounds(&post, calls, table);
    bench_rounds(&post_cpu, calls, table);
    bench_rounds(&trip, trips, table);
    bench_rounds(&trip_cpu, trips, table);
    bench_rounds(&coroutine, runs, table);
    bench_rounds(&job_here, jobs, table);
    bench_check(task_to_thread(move_away, NULL), "task_to_thread");
    bench_rounds(&job, jobs, table);
    bench_rounds(&job_cpu, jobs, table);
    bench_rounds(&wake, wakes, table);
    measure_poster(&poster, table);
    measure_piled_up(&piled_up, table);
    measure_plain(&plain);
    order(table, NULL);
    return 0;
}

int main(void)
{
    struct table table = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER};
    pthread_t other;

    pin(0);
    bench_check(-pthread_create(&other, NULL, obey, &table), "pthread_create");
    bench_run(main_task, &table);
    pthread_join(other, NULL);
    loop_remote_close(table.remote);
    return 0;
}
