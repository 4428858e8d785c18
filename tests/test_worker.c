/* Worker threads: lanes, when threads start and end, what they cannot have. */

/* The linker wraps: pthread_create pthread_join pthread_cond_signal eventfd */
/* The linker wraps: calloc task__spin_while task__spin_note_sleep */

#include "bodies.h"
#include "gate.h"
#include "record.h"
#include "spins.h"

#include "worker.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Threads. */

static struct {
    unsigned n_created;
    unsigned n_joined;
    unsigned n_signals; /* that one of them may have a job; atomic */
    int error;          /* what pthread_create gives from now on; 0: a thread */
    size_t stack;       /* that the last one asked for */
    int only_small;     /* the error is for those that ask for a stack */
} threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *), void *arg);
int __real_pthread_join(pthread_t thread, void **value);
int __wrap_pthread_join(pthread_t thread, void **value);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *), void *arg)
{
    size_t stack = 0;
    int error;

    if (attr) { /* of the pool */
        pthread_attr_getstacksize(attr, &stack);
        threads.stack = stack;
    }
    if (attr && threads.error && (!threads.only_small || stack < 8 << 20))
        return threads.error;
    error = __real_pthread_create(thread, attr, fn, arg);
    if (!error)
        __atomic_fetch_add(&threads.n_created, 1, __ATOMIC_RELAXED);
    return error;
}

int __wrap_pthread_join(pthread_t thread, void **value)
{
    int error = __real_pthread_join(thread, value);

    __atomic_fetch_add(&threads.n_joined, 1, __ATOMIC_RELAXED);
    return error;
}

int __real_pthread_cond_signal(pthread_cond_t *changed);
int __wrap_pthread_cond_signal(pthread_cond_t *changed);

int __wrap_pthread_cond_signal(pthread_cond_t *changed)
{
    __atomic_fetch_add(&threads.n_signals, 1, __ATOMIC_RELAXED);
    return __real_pthread_cond_signal(changed);
}

/* Spins. */

/* Atomic. */
static struct gate *watch_gate; /* for the next thread that watches */
static unsigned n_loop_spins;

bool __wrap_task__spin_while(struct spin *spin, const uintptr_t *word,
                             uintptr_t former)
{
    struct gate *gate = NULL;

    if (loop_current())
        __atomic_fetch_add(&n_loop_spins, 1, __ATOMIC_RELAXED);
    else
        gate = __atomic_exchange_n(&watch_gate, NULL, __ATOMIC_ACQUIRE);
    if (gate)
        gate_pass(gate);
    return __real_task__spin_while(spin, word, former);
}

static unsigned n_worker_sleeps; /* that are noted; atomic */

void __wrap_task__spin_note_sleep(struct spin *spin, task_time took)
{
    CHECK(took >= 0);
    if (!loop_current())
        __atomic_fetch_add(&n_worker_sleeps, 1, __ATOMIC_RELAXED);
    __real_task__spin_note_sleep(spin, took);
}

static int reset_threads(void **state)
{
    threads.n_created = threads.n_joined = 0;
    threads.error = threads.only_small = 0;
    return record_setup(state);
}

/* No thread is left, and none was not joined. */
static int check_threads(void **state)
{
    for (int lane = 0; lane < N_LANES; lane++)
        assert_int_equal(task__worker_threads((enum lane)lane), 0);
    assert_int_equal(threads.n_created, threads.n_joined);
    return record_teardown(state);
}

#define with_threads(test)                                                     \
    {                                                                          \
#test, run_in_main, reset_threads, check_threads, &(task_fn *)         \
        {                                                                      \
            test                                                               \
        }                                                                      \
    }

#define threaded(test)                                                         \
    cmocka_unit_test_setup_teardown(test, reset_threads, check_threads)

/* Bodies. */

struct work {
    enum lane lane;
    task_fn *fn;
    void *arg;
};

static int works(void *arg)
{
    const struct work *work = arg;

    return task__worker_run(work->lane, work->fn, work->arg);
}

static struct task *start_work(struct work *work)
{
    return test_start(works, work, NULL);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int run_nothing(enum lane lane)
{
    return task__worker_run(lane, nothing, NULL);
}

/* Opens the gate that the argument is. */
static void *open_soon(void *arg)
{
    const struct timespec moment = {.tv_nsec = 20000000};

    nanosleep(&moment, NULL);
    gate_open(arg);
    return NULL;
}

/* Lanes. */

static int stuck_look_ups_do_not_delay_a_file(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_NAMES, passes, &gate};
    struct task *tasks[100];

    (void)arg;
    for (int i = 0; i < 100; i++)
        tasks[i] = start_work(&work);
    gate_await(&gate, WORKERS_DEFAULT);
    CHECK_STATUS(run_nothing(LANE_FILES), 0);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    CHECK(gate_waiting(&gate) == WORKERS_DEFAULT);
    CHECK(stats().jobs == 100);
    gate_open(&gate);
    return task_gather(tasks, 100, NULL);
}

static int a_lane_has_threads_only_when_it_had_work(void *arg)
{
    (void)arg;
    CHECK(threads.n_created == 0);
    CHECK_STATUS(run_nothing(LANE_FILES), 0);
    CHECK(task__worker_threads(LANE_FILES) == 1);
    CHECK(task__worker_threads(LANE_NAMES) == 0);
    CHECK(task__worker_threads(LANE_USERS) == 0);
    return 0;
}

static int jobs_one_after_the_other_share_a_thread(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < test_rounds(500); i++) {
        CHECK_STATUS(run_nothing(LANE_USERS), 0);
        CHECK_STATUS(task_yield(), 0);
    }
    CHECK(threads.n_created == 1);
    return 0;
}

/* A thread watches for its next job, and sees it once the gate is opened. */
static struct gate *let_one_watch(void)
{
    static struct gate gate; /* it may be in there when all is done */

    gate = (struct gate)GATE_INIT;
    __atomic_store_n(&watch_gate, &gate, __ATOMIC_RELEASE);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    gate_await(&gate, 1);
    __atomic_store_n(&threads.n_signals, 0, __ATOMIC_RELAXED);
    return &gate;
}

/* What comes is `n` more jobs in its lane. */
static void submit_to_a_watcher(int n)
{
    struct gate *gate = let_one_watch();
    struct work work = {LANE_USERS, nothing, NULL};
    struct task *tasks[2];

    CHECK(n <= 2);
    for (int i = 0; i < n; i++)
        tasks[i] = start_work(&work);
    record("%u", __atomic_load_n(&threads.n_signals, __ATOMIC_RELAXED));
    gate_open(gate);
    for (int i = 0; i < n; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
}

static int a_job_that_is_watched_for_wakes_no_thread(void *arg)
{
    (void)arg;
    submit_to_a_watcher(1);
    CHECK_RECORD("0");
    CHECK(threads.n_created == 1);
    return 0;
}

static int the_second_does(void *arg)
{
    (void)arg;
    submit_to_a_watcher(2);
    CHECK_RECORD("1");
    CHECK(threads.n_created == 2);
    return 0;
}

static int one_that_is_taken_back_makes_way_for_the_next(void *arg)
{
    struct gate *gate = let_one_watch();
    struct work work = {LANE_USERS, nothing, NULL};
    struct task *task;

    (void)arg;
    CHECK_STATUS(task_cancel_await(start_work(&work)), -ECANCELED);
    CHECK(stats().jobs == 0);
    task = start_work(&work);
    gate_open(gate);
    CHECK_STATUS(task_await(task), 0);
    CHECK(threads.n_created == 1);
    return 0;
}

/* It was seen, and is not there any more when the thread comes for it. */
static int nor_does_one_that_the_watcher_misses_end_its_thread(void *arg)
{
    struct gate *gate = let_one_watch();
    struct work work = {LANE_USERS, nothing, NULL};

    (void)arg;
    CHECK_STATUS(task_cancel_await(start_work(&work)), -ECANCELED);
    gate_open(gate);
    gate_await_passed(gate, 1);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    CHECK(threads.n_created == 1);
    return 0;
}

/* Its job is not done before the loop waits for it. */
static int waits_for_a_job(void *arg)
{
    struct work work = {LANE_USERS, passes, arg};
    pthread_t opener = thread_start(open_soon, arg);
    int status = works(&work);

    thread_join(opener);
    return status;
}

static void a_loop_spins_for_its_jobs(void **state)
{
    struct gate gate = GATE_INIT;
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    n_loop_spins = 0;
    assert_int_equal(run_with(options, waits_for_a_job, &gate), 7);
    assert_true(n_loop_spins > 0);
}

/* The second one's thread may not have slept yet. */
static int works_after_a_while(void *arg)
{
    (void)arg;
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    return run_nothing(LANE_USERS);
}

static void a_sleep_that_a_job_ends_is_noted(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    n_worker_sleeps = 0;
    for (int i = 0; i < 1000 && !n_worker_sleeps; i++)
        assert_int_equal(run_with(options, works_after_a_while, NULL), 0);
    assert_int_equal(n_worker_sleeps, 1);
}

static int a_verb_says_what_a_task_waits_for(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work works[] = {{LANE_NAMES, passes, &gate},
                           {LANE_FILES, passes, &gate},
                           {LANE_USERS, passes, &gate}};
    struct task *tasks[3];

    (void)arg;
    for (int i = 0; i < 3; i++) {
        tasks[i] = start_work(&works[i]);
        record("%s", tasks[i]->waiter->kind->verb);
    }
    gate_open(&gate);
    CHECK_RECORD("looking up a name, waiting for a file, running in a thread");
    return task_gather(tasks, 3, NULL);
}

/* Stacks. */

static int threads_for_files_and_names_have_small_stacks(void *arg)
{
    pthread_attr_t attr;
    size_t usual;

    (void)arg;
    pthread_attr_init(&attr);
    pthread_attr_getstacksize(&attr, &usual);
    pthread_attr_destroy(&attr);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    CHECK(threads.stack == usual);
    CHECK_STATUS(run_nothing(LANE_FILES), 0);
    CHECK(threads.stack == (HAVE_ASAN || HAVE_TSAN ? usual : 256 << 10));
    CHECK_STATUS(run_nothing(LANE_NAMES), 0);
    CHECK(threads.stack == (HAVE_ASAN || HAVE_TSAN ? usual : 1 << 20));
    return 0;
}

static int where_a_small_stack_is_too_small_it_is_larger(void *arg)
{
    pthread_attr_t attr;
    size_t usual;

    (void)arg;
    pthread_attr_init(&attr);
    pthread_attr_getstacksize(&attr, &usual);
    pthread_attr_destroy(&attr);
    if (usual < 8 << 20)
        return 0;
    threads.error = EINVAL;
    threads.only_small = true;
    CHECK_STATUS(run_nothing(LANE_FILES), 0);
    CHECK(threads.stack == usual);
    return 0;
}

/* Signals. */

static int has_signals_blocked(void *arg)
{
    static const int blocked[] = {SIGINT,  SIGTERM, SIGHUP,  SIGUSR1,
                                  SIGCHLD, SIGALRM, SIGPIPE, SIGWINCH};
    sigset_t mask;

    (void)arg;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++)
        CHECK(sigismember(&mask, blocked[i]) == 1);
    CHECK(sigismember(&mask, SIGSEGV) == 0);
    CHECK(sigismember(&mask, SIGBUS) == 0);
    return 0;
}

static int workers_block_signals_and_the_loop_does_not(void *arg)
{
    sigset_t before;
    sigset_t after;

    (void)arg;
    sigemptyset(&before);
    sigemptyset(&after);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK_STATUS(task__worker_run(LANE_USERS, has_signals_blocked, NULL), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signo = 1; signo < 32; signo++)
        CHECK(sigismember(&before, signo) == sigismember(&after, signo));
    return 0;
}

/* Threads that cannot be had. */

static int without_any_thread_the_call_fails(void *arg)
{
    struct loop_stats before;

    (void)arg;
    threads.error = EAGAIN;
    CHECK_STATUS(run_nothing(LANE_USERS), -EAGAIN);
    before = stats();
    CHECK_STATUS(run_nothing(LANE_FILES), -EAGAIN);
    CHECK(stats().jobs == 0);
    CHECK(stats().parked == before.parked);
    threads.error = 0;
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    CHECK_STATUS(run_nothing(LANE_FILES), 0);
    return 0;
}

static int without_another_thread_a_job_waits_its_turn(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_USERS, passes, &gate};
    struct task *tasks[3];

    (void)arg;
    tasks[0] = start_work(&work);
    gate_await(&gate, 1);
    threads.error = EAGAIN;
    tasks[1] = start_work(&work);
    tasks[2] = start_work(&work);
    CHECK(stats().jobs == 3);
    CHECK(gate_waiting(&gate) == 1);
    gate_open(&gate);
    CHECK_STATUS(task_gather(tasks, 3, NULL), 0);
    CHECK(threads.n_created == 1);
    return 0;
}

static int works_without_threads(void *arg)
{
    int status;

    (void)arg;
    threads.error = EAGAIN;
    status = run_virtual(works, &(struct work){LANE_USERS, nothing, NULL});
    threads.error = 0;
    return status;
}

/* The thread that runs it cannot take its jobs. */
static int a_loop_in_a_worker_does_not_wait_for_its_own_thread(void *arg)
{
    (void)arg;
    CHECK_STATUS(task__worker_run(LANE_USERS, works_without_threads, NULL),
                 -EAGAIN);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    return 0;
}

/* They may be at work for loops that wait for this one's. */
static int nor_for_another_that_is_at_work(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *other = start_work(&(struct work){LANE_USERS, passes, &gate});

    (void)arg;
    gate_await(&gate, 1);
    CHECK_STATUS(task__worker_run(LANE_USERS, works_without_threads, NULL),
                 -EAGAIN);
    gate_open(&gate);
    CHECK_STATUS(task_await(other), 7);
    return 0;
}

/* A worker that waits for the loop, which waits for a job that was in line. */

struct knot {
    struct loop_remote *remote;
    struct task *last;
    unsigned n_done;
};

static int counts_itself(void *arg)
{
    ((struct knot *)arg)->n_done++;
    return 0;
}

static int awaits_the_last(void *arg)
{
    return task_await(((struct knot *)arg)->last);
}

static int waits_for_the_loop(void *arg)
{
    struct knot *knot = arg;

    return loop_remote_run(knot->remote, awaits_the_last, knot, TASK_FOREVER);
}

static int tie_a_knot(void *arg)
{
    struct knot knot = {.remote = loop_remote_open()};
    struct gate gate = GATE_INIT;
    struct work works[] = {{LANE_USERS, passes, &gate},
                           {LANE_USERS, waits_for_the_loop, &knot},
                           {LANE_USERS, counts_itself, &knot}};
    struct task *first = start_work(&works[0]);
    struct task *second = start_work(&works[1]);

    (void)arg;
    knot.last = start_work(&works[2]);
    gate_await(&gate, 1);
    threads.error = EAGAIN;
    gate_open(&gate);
    CHECK_STATUS(task_await(first), 7);
    CHECK_STATUS(task_await(second), -EAGAIN);
    CHECK(knot.n_done == 0);
    threads.error = 0;
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    loop_remote_close(knot.remote);
    return 0;
}

static void jobs_that_nobody_is_left_for_fail(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.worker_threads = 1;
    assert_int_equal(run_with(options, tie_a_knot, NULL), 0);
}

/* There were too few threads for a while. */
static int threads_are_made_up_for(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_USERS, passes, &gate};
    struct task *tasks[4];

    (void)arg;
    tasks[0] = start_work(&work);
    threads.error = EAGAIN;
    tasks[1] = start_work(&work);
    tasks[2] = start_work(&work);
    threads.error = 0;
    tasks[3] = start_work(&work);
    gate_await(&gate, 4);
    gate_open(&gate);
    return task_gather(tasks, 4, NULL);
}

/* Jobs that end their threads. */

static int ends_its_thread(void *arg)
{
    gate_pass(arg);
    pthread_exit(arg);
    return 0;
}

static int a_job_may_end_its_thread(void *arg)
{
    struct gate gate = GATE_INIT;

    (void)arg;
    gate_open(&gate);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task__worker_run(LANE_USERS, ends_its_thread, &gate),
                     -EOWNERDEAD);
        CHECK_STATUS(run_nothing(LANE_USERS), 0);
    }
    CHECK(threads.n_created > 1);
    CHECK(stats().jobs == 0);
    return 0;
}

static void takes_its_time_to_tell(const struct loop_error *error, void *arg)
{
    const struct timespec moment = {.tv_nsec = 50000000};

    nanosleep(&moment, NULL);
    __atomic_store_n((bool *)arg, error->kind == LOOP_ERROR_LOST,
                     __ATOMIC_RELAXED);
}

static void ends_the_thread(void *arg)
{
    pthread_exit(arg);
}

static int calls_what_ends_the_thread(void *arg)
{
    CHECK(loop_call_soon(ends_the_thread, arg) > 0);
    return task_sleep(TASK_FOREVER);
}

static int loses_a_loop(void *arg)
{
    struct loop_options options = {.on_error = takes_its_time_to_tell,
                                   .on_error_arg = arg};

    return loop_run_main(loop_new(&options), calls_what_ends_the_thread, NULL);
}

/* Its hook may use what is on the stack of the task that waits. */
static int a_loop_that_a_job_loses_is_told_of_first(void *arg)
{
    bool is_told = false;

    (void)arg;
    CHECK_STATUS(task__worker_run(LANE_USERS, loses_a_loop, &is_told),
                 -EOWNERDEAD);
    CHECK(__atomic_load_n(&is_told, __ATOMIC_RELAXED));
    return 0;
}

/* One waits since there was no thread for it: it gets one, or fails. */
static int who_waits_for_such_a_thread_is_not_left(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work works[] = {{LANE_USERS, ends_its_thread, &gate},
                           {LANE_USERS, nothing, NULL}};

    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task *first = start_work(&works[0]);
        struct task *second;

        gate_await(&gate, 1);
        threads.error = EAGAIN;
        second = start_work(&works[1]);
        threads.error = i ? 0 : EAGAIN;
        gate_open(&gate);
        CHECK_STATUS(task_await(first), -EOWNERDEAD);
        CHECK_STATUS(task_await(second), i ? 0 : -EAGAIN);
        threads.error = 0;
        gate = (struct gate)GATE_INIT;
    }
    return 0;
}

/* Until it waits for the next job. */
static int works_with_a_thread_more(void *arg)
{
    (void)arg;
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    return task_sleep(50 * TASK_MILLISECOND);
}

static int leaves_an_idle_thread_and_ends_its_own(void *arg)
{
    gate_pass(arg);
    CHECK_STATUS(loop_run(works_with_a_thread_more, NULL), 0);
    pthread_exit(arg);
    return 0;
}

/* The next one of the loop's is taken by the thread that is idle, at once. */
static int leave_the_next_to_an_idle_thread(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work works[] = {
        {LANE_USERS, leaves_an_idle_thread_and_ends_its_own, &gate},
        {LANE_USERS, nothing, NULL}};
    struct task *first = start_work(&works[0]);
    struct task *second = start_work(&works[1]);
    task_time begun = task__clock_monotonic();

    (void)arg;
    gate_await(&gate, 1);
    gate_open(&gate);
    CHECK_STATUS(task_await(first), -EOWNERDEAD);
    CHECK_STATUS(task_await(second), 0);
    CHECK(threads.n_created == 2);
    CHECK(task__clock_monotonic() - begun < task__worker_idle_time / 2);
    return 0;
}

static void an_idle_thread_takes_what_another_makes_way_for(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.worker_threads = 1;
    assert_int_equal(run_with(options, leave_the_next_to_an_idle_thread, NULL),
                     0);
}

/* Jobs whose threads are cancelled. */

static int cancels_its_thread(void *arg)
{
    pthread_cancel(pthread_self());
    if (arg)
        pthread_testcancel();
    return 7;
}

static int cancels_its_thread_and_will_not_hear(void *arg)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return cancels_its_thread(arg);
}

/* In a job: as pthread_exit(). After it: it is the thread's end, but neither
 * the job's nor the next one's. */
static int a_job_s_thread_may_be_cancelled(void *arg)
{
    int here = 0;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task__worker_run(LANE_USERS, cancels_its_thread, &here),
                     -EOWNERDEAD);
        CHECK_STATUS(run_nothing(LANE_USERS), 0);
        CHECK_STATUS(task__worker_run(LANE_USERS, cancels_its_thread, NULL), 7);
        CHECK_STATUS(run_nothing(LANE_USERS), 0);
        CHECK_STATUS(task__worker_run(LANE_USERS,
                                      cancels_its_thread_and_will_not_hear,
                                      NULL),
                     7);
        CHECK_STATUS(run_nothing(LANE_USERS), 0);
    }
    CHECK(stats().jobs == 0);
    return 0;
}

static int sets_how_it_is_cancelled(void *arg)
{
    int state;
    int type;

    (void)arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    return state == PTHREAD_CANCEL_ENABLE && type == PTHREAD_CANCEL_DEFERRED;
}

static int how_a_thread_is_cancelled_is_no_later_job_s(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(
            task__worker_run(LANE_USERS, sets_how_it_is_cancelled, NULL), 1);
    CHECK(threads.n_created == 1);
    return 0;
}

/* The end of threads. */

static int idle_threads_end(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_USERS, passes, &gate};
    struct task *tasks[5];
    const struct timespec moment = {.tv_nsec = 1000000};

    (void)arg;
    for (int i = 0; i < 5; i++)
        tasks[i] = start_work(&work);
    gate_await(&gate, 5);
    CHECK(task__worker_threads(LANE_USERS) == 5);
    gate_open(&gate);
    CHECK_STATUS(task_gather(tasks, 5, NULL), 0);
    while (task__worker_threads(LANE_USERS))
        nanosleep(&moment, NULL);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    CHECK(threads.n_created == 6);
    return 0;
}

static int work_again_and_again(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < test_rounds(500); i++)
        CHECK_STATUS(run_nothing(LANE_USERS), 0);
    return 0;
}

/* While there are no threads, this may be set. */
static void run_impatiently(task_fn *fn, task_time idle_time)
{
    task_time former = task__worker_idle_time;

    task__worker_idle_time = idle_time;
    assert_int_equal(run_virtual(fn, NULL), 0);
    task__worker_idle_time = former;
}

static void threads_end_when_there_is_no_work(void **state)
{
    (void)state;
    run_impatiently(idle_threads_end, TASK_MILLISECOND);
}

static void a_job_comes_when_its_thread_is_about_to_end(void **state)
{
    (void)state;
    run_impatiently(work_again_and_again, 0);
}

/* Many loops. */

static int counts_up(void *arg)
{
    ++*(int *)arg;
    return *(int *)arg;
}

static int works_a_lot(void *arg)
{
    unsigned n = test_rounds(300);

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        int numbers[3] = {0, 10, 20};
        struct work work[3];
        struct task *tasks[3];
        int statuses[3];

        for (int j = 0; j < 3; j++) {
            work[j] = (struct work){(enum lane)j, counts_up, &numbers[j]};
            tasks[j] = start_work(&work[j]);
        }
        CHECK_STATUS(task_gather(tasks, 3, statuses), 0);
        CHECK(statuses[0] == 1 && statuses[1] == 11 && statuses[2] == 21);
    }
    return 0;
}

static void *run_a_loop(void *arg)
{
    struct loop_options options = test_options(NULL);
    struct loop *loop = loop_new(&options);

    CHECK_STATUS(loop_run_main(loop, works_a_lot, arg), 0);
    CHECK_STATUS(loop_free(loop), 0);
    return NULL;
}

static void loops_in_many_threads_share_the_pool(void **state)
{
    pthread_t loops[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        loops[i] = thread_start(run_a_loop, NULL);
    for (int i = 0; i < 4; i++)
        thread_join(loops[i]);
}

/* That loops come and go does not disturb the pool. */
static void *run_short_loops(void *arg)
{
    for (unsigned i = 0; i < test_rounds(100); i++) {
        struct loop_options options = test_options(NULL);
        struct loop *loop = loop_new(&options);

        CHECK_STATUS(loop_run_main(loop, works, arg), 0);
        CHECK_STATUS(loop_free(loop), 0);
    }
    return NULL;
}

static void the_last_loop_ends_the_threads_while_others_begin(void **state)
{
    struct work work = {LANE_USERS, nothing, NULL};
    pthread_t loops[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        loops[i] = thread_start(run_short_loops, &work);
    for (int i = 0; i < 3; i++)
        thread_join(loops[i]);
}

static int runs_a_loop_of_its_own(void *arg)
{
    run_short_loops(arg);
    return 5;
}

static int a_worker_may_run_a_loop_with_workers(void *arg)
{
    struct work inner = {LANE_USERS, nothing, NULL};

    (void)arg;
    CHECK_STATUS(task__worker_run(LANE_USERS, runs_a_loop_of_its_own, &inner),
                 5);
    return 0;
}

/* What may fail at the first job of a loop. */

static struct {
    int eventfd_error;
    bool calloc_fails;
} faults;

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

int __wrap_eventfd(unsigned value, int flags)
{
    errno = faults.eventfd_error;
    return faults.eventfd_error ? -1 : __real_eventfd(value, flags);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return faults.calloc_fails ? NULL : __real_calloc(n, size);
}

static int the_first_job_of_a_loop_may_fail_and_the_next_succeed(void *arg)
{
    struct loop_stats before = stats();

    (void)arg;
    faults.calloc_fails = true;
    CHECK_STATUS(run_nothing(LANE_USERS), -ENOMEM);
    faults.calloc_fails = false;
    faults.eventfd_error = EMFILE;
    if (WAKEUP_BEST != &task__wakeup_pipe)
        CHECK_STATUS(run_nothing(LANE_USERS), -EMFILE);
    faults.eventfd_error = 0;
    CHECK(stats().jobs == 0);
    CHECK(stats().parked == before.parked);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    return 0;
}

/* The end of a loop. */

static int leaves_a_job(void *arg)
{
    struct work *work = arg;

    task_detach(start_work(work));
    gate_await(work->arg, 1);
    return 3;
}

static void a_loop_does_not_end_before_its_jobs(void **state)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_USERS, passes, &gate};
    pthread_t opener = thread_start(open_soon, &gate);

    (void)state;
    assert_int_equal(run_virtual(leaves_a_job, &work), 3);
    assert_int_equal(gate.n_passed, 1);
    thread_join(opener);
}

/* The task is given up; the job, which may use its stack, is not. */
static void a_loop_in_a_hurry_waits_for_jobs_all_the_same(void **state)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_USERS, passes, &gate};
    struct loop_options options = test_options(NULL);
    pthread_t opener = thread_start(open_soon, &gate);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    options.shutdown_timeout = TASK_MILLISECOND;
    assert_int_equal(run_with(options, leaves_a_job, &work), 3);
    assert_int_equal(gate.n_passed, 1);
    assert_record("shutdown(task-2, -110)");
    thread_join(opener);
}

/* fork. */

#define EXPECT(condition) ((condition) ? (void)0 : _exit(1))

static bool went_well(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

static int forks_while_a_job_runs(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_USERS, passes, &gate};
    struct work in_child = {LANE_USERS, nothing, NULL};
    struct task *task = start_work(&work);
    pid_t pid;

    (void)arg;
    gate_await(&gate, 1);
    CHECK_STATUS(run_nothing(LANE_FILES), 0);
    pid = fork();
    if (!pid) {
        alarm(20);
        EXPECT(task__worker_threads(LANE_USERS) == 0);
        EXPECT(task__worker_threads(LANE_FILES) == 0);
        EXPECT(run_nothing(LANE_USERS) == -EPERM);
        if (HAVE_TSAN) /* which has no threads after a fork */
            _exit(0);
        EXPECT(loop_run(works, &in_child) == 0);
        in_child.lane = LANE_FILES;
        EXPECT(loop_run(works, &in_child) == 0);
        EXPECT(task__worker_threads(LANE_FILES) == 0);
        _exit(0);
    }
    CHECK(went_well(pid));
    gate_open(&gate);
    CHECK_STATUS(task_await(task), 7);
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    return 0;
}

/* In a loop whose memory is not counted: the child's copy lies as it is. */
static void run_uncounted(task_fn *fn)
{
    struct loop *loop = test_loop_new(NULL);

    assert_int_equal(loop_run_main(loop, fn, NULL), 0);
    test_loop_free(loop, NULL);
}

static void a_child_has_workers_of_its_own(void **state)
{
    (void)state;
    run_uncounted(forks_while_a_job_runs);
}

static void end_well(void)
{
    _exit(0);
}

static int exits_while_a_job_runs(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work work = {LANE_USERS, passes, &gate};

    (void)arg;
    atexit(end_well); /* before leaks are looked for */
    start_work(&work);
    gate_await(&gate, 1);
    exit(1);
}

/* Nobody waits for it then, nor for the loop. */
static void a_process_may_exit_while_a_job_runs(void **state)
{
    pid_t pid;

    (void)state;
    if (getenv("TASK_TEST_VALGRIND") || HAVE_TSAN)
        skip(); /* a leak, to the one; the other has no threads after a fork */
    pid = fork();
    if (!pid) {
        alarm(20);
        loop_run(exits_while_a_job_runs, NULL);
    }
    assert_true(went_well(pid));
}

static int forks(void *arg)
{
    pid_t pid = fork();

    (void)arg;
    if (!pid) {
        alarm(20);
        atexit(end_well); /* before leaks are looked for */
    }
    return pid;
}

/* The child has that thread alone, which ends, and so the process. */
static int forks_in_a_worker(void *arg)
{
    int pid = task__worker_run(LANE_USERS, forks, NULL);

    (void)arg;
    CHECK(pid > 0);
    CHECK(went_well(pid));
    CHECK_STATUS(run_nothing(LANE_USERS), 0);
    return 0;
}

static void a_worker_that_forks_answers_once(void **state)
{
    (void)state;
    if (!getenv("TASK_TEST_VALGRIND")) /* which misses the loop's stack there */
        run_uncounted(forks_in_a_worker);
}

/* A worker that forks while another job is in line; the child's pool is empty,
 * and that worker none of its threads. */

static struct loop_remote *opened;

static int opens_and_waits(void *arg)
{
    opened = loop_remote_open();
    gate_pass(arg);
    return task_yield();
}

static void *runs_a_loop_that_waits(void *arg)
{
    EXPECT(loop_run(opens_and_waits, arg) == 0);
    return NULL;
}

static void be_a_child_in_a_worker(void)
{
    struct gate gate = GATE_INIT;
    pthread_t thread;

    alarm(20);
    thread = thread_start(runs_a_loop_that_waits, &gate);
    gate_await(&gate, 1);
    gate_open(&gate);
    (void)loop_remote_run(opened, nothing, NULL, TASK_FOREVER);
    EXPECT(task__worker_threads(LANE_USERS) == 0);
    thread_join(thread);
    loop_remote_close(opened);
    _exit(0);
}

static int forks_when_it_may(void *arg)
{
    pid_t pid;

    gate_pass(arg);
    pid = fork();
    if (!pid)
        be_a_child_in_a_worker();
    return pid;
}

static int forks_with_a_job_in_line(void *arg)
{
    struct gate gate = GATE_INIT;
    struct work works[] = {{LANE_USERS, forks_when_it_may, &gate},
                           {LANE_USERS, nothing, NULL}};
    struct task *first = start_work(&works[0]);
    struct task *second = start_work(&works[1]);

    (void)arg;
    gate_await(&gate, 1);
    gate_open(&gate);
    CHECK(went_well(task_await(first)));
    CHECK_STATUS(task_await(second), 0);
    return 0;
}

static void a_job_in_line_stays_the_parents(void **state)
{
    struct loop_options options = test_options(NULL);
    struct loop *loop;

    (void)state;
    if (getenv("TASK_TEST_VALGRIND") || HAVE_TSAN) /* as above */
        skip();
    options.worker_threads = 1;
    loop = loop_new(&options);
    assert_int_equal(loop_run_main(loop, forks_with_a_job_in_line, NULL), 0);
    test_loop_free(loop, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_threads(stuck_look_ups_do_not_delay_a_file),
        with_threads(a_lane_has_threads_only_when_it_had_work),
        with_threads(jobs_one_after_the_other_share_a_thread),
        with_threads(a_job_that_is_watched_for_wakes_no_thread),
        with_threads(the_second_does),
        with_threads(one_that_is_taken_back_makes_way_for_the_next),
        with_threads(nor_does_one_that_the_watcher_misses_end_its_thread),
        threaded(a_loop_spins_for_its_jobs),
        threaded(a_sleep_that_a_job_ends_is_noted),
        with_threads(a_verb_says_what_a_task_waits_for),
        with_threads(threads_for_files_and_names_have_small_stacks),
        with_threads(where_a_small_stack_is_too_small_it_is_larger),
        with_threads(workers_block_signals_and_the_loop_does_not),
        with_threads(without_any_thread_the_call_fails),
        with_threads(without_another_thread_a_job_waits_its_turn),
        with_threads(a_loop_in_a_worker_does_not_wait_for_its_own_thread),
        with_threads(nor_for_another_that_is_at_work),
        threaded(jobs_that_nobody_is_left_for_fail),
        threaded(an_idle_thread_takes_what_another_makes_way_for),
        with_threads(threads_are_made_up_for),
        with_threads(a_job_may_end_its_thread),
        with_threads(a_job_s_thread_may_be_cancelled),
        with_threads(how_a_thread_is_cancelled_is_no_later_job_s),
        with_threads(a_loop_that_a_job_loses_is_told_of_first),
        with_threads(who_waits_for_such_a_thread_is_not_left),
        threaded(threads_end_when_there_is_no_work),
        threaded(a_job_comes_when_its_thread_is_about_to_end),
        threaded(loops_in_many_threads_share_the_pool),
        threaded(the_last_loop_ends_the_threads_while_others_begin),
        with_threads(a_worker_may_run_a_loop_with_workers),
        with_threads(the_first_job_of_a_loop_may_fail_and_the_next_succeed),
        threaded(a_loop_does_not_end_before_its_jobs),
        threaded(a_loop_in_a_hurry_waits_for_jobs_all_the_same),
        threaded(a_child_has_workers_of_its_own),
        threaded(a_process_may_exit_while_a_job_runs),
        threaded(a_worker_that_forks_answers_once),
        threaded(a_job_in_line_stays_the_parents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
