/* Threads that end in the midst of a loop's run, and those that do not. */
#include "bodies.h"
#include "gate.h"
#include "record.h"

#include "loop.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * What is lost is never freed: so it lies in an arena, where nobody looks for
 * leaks.
 */
static _Alignas(64) char arena[4 << 20];
static size_t used;

static void *allocate(void *pointer, size_t size, void *arg)
{
    size_t *block = (void *)&arena[used];

    (void)arg;
    if (!size)
        return NULL;
    used += (size + 64 + 63) / 64 * 64;
    if (used > sizeof arena)
        return NULL;
    *block = size;
    block += 64 / sizeof *block;
    if (pointer) {
        size_t former = *(size_t *)(void *)((char *)pointer - 64);

        memcpy(block, pointer, former < size ? former : size);
    }
    return block;
}

/* A loop, and what is said of it in the thread that runs it. */
struct lost {
    struct loop *loop;
    struct loop_remote *remote;
    task_fn *fn;
    bool is_running; /* atomic */
    unsigned n_reports;
    enum loop_error_kind kind;
    char message[200];
    int status; /* of a coroutine that another thread runs in it */
    bool forks; /* in the first report */
    pid_t pid;
};

/* The child ends when its thread has lost the loop; it is waited for. */
static pthread_key_t ends_the_child;
static char last_round;

static void end_child(void *round)
{
    if (round == &last_round)
        _exit(0);
    pthread_setspecific(ends_the_child, &last_round);
}

static void fork_once(struct lost *lost)
{
    int status = -1;

    lost->forks = false;
    pthread_key_create(&ends_the_child, end_child);
    lost->pid = fork();
    if (!lost->pid) {
        alarm(10);
        pthread_setspecific(ends_the_child, lost);
        return;
    }
    CHECK(waitpid(lost->pid, &status, 0) == lost->pid);
    CHECK_STATUS(status, 0);
    pthread_key_delete(ends_the_child);
}

static void keep_report(const struct loop_error *error, void *arg)
{
    struct lost *lost = arg;

    lost->n_reports++;
    lost->kind = error->kind;
    snprintf(lost->message, sizeof lost->message, "%s", error->message);
    CHECK(error->loop == lost->loop);
    CHECK_STATUS(task_sleep(1), -EPERM);
    if (lost->forks)
        fork_once(lost);
}

static void *runs(void *arg)
{
    struct lost *lost = arg;

    CHECK_STATUS(loop_run_main(lost->loop, lost->fn, lost), 0);
    return NULL;
}

static void make_lost(struct lost *lost, task_fn *fn)
{
    struct loop_options options = test_options(NULL);

    options.clock = LOOP_CLOCK_REAL;
    options.on_error = keep_report;
    options.on_error_arg = lost;
    options.alloc = allocate;
    options.alloc_arg = NULL;
    *lost = (struct lost){.loop = loop_new(&options), .fn = fn};
    assert_non_null(lost->loop);
}

static void assert_lost(struct lost *lost, const char *message)
{
    int zero = 0;

    assert_int_equal(lost->n_reports, 1);
    assert_int_equal(lost->kind, LOOP_ERROR_LOST);
    assert_string_equal(lost->message, message);
    assert_int_equal(loop_run_main(lost->loop, returns, &zero), -EBUSY);
    assert_int_equal(loop_run_turn(lost->loop, 0), -EBUSY);
    assert_int_equal(loop_free(lost->loop), -EBUSY);
    assert_null(loop_current());
}

/* In a callback, in a task, in a wait. */

static void exits_as_callback(void *arg)
{
    pthread_exit(arg);
}

static int has_a_callback_that_exits(void *arg)
{
    task_detach(task_create(sleeps_for_ever, NULL));
    CHECK(loop_call_soon(exits_as_callback, arg) > 0);
    return task_sleep(TASK_FOREVER);
}

static void one_that_ends_in_a_callback_is_told_of(void **state)
{
    struct lost lost;

    (void)state;
    make_lost(&lost, has_a_callback_that_exits);
    thread_join(thread_start(runs, &lost));
    assert_lost(&lost, "a loop is lost, with 2 tasks: the thread that runs it "
                       "has ended");
}

static int exits(void *arg)
{
    pthread_exit(arg);
    return 0;
}

static int awaits_one_that_exits(void *arg)
{
    return task_await(
        task_create_with(exits, arg, &(struct task_options){.name = "last"}));
}

/* Sanitizers want threads to end on their own stacks. */
static void one_that_ends_in_a_task_is_told_of(void **state)
{
    struct lost lost;

    (void)state;
    if (HAVE_ASAN || HAVE_TSAN)
        skip();
    make_lost(&lost, awaits_one_that_exits);
    thread_join(thread_start(runs, &lost));
    assert_non_null(strstr(lost.message, "with 2 tasks: the thread that runs "
                                         "it has ended, in task 2 \"last\", "));
}

static int sleeps_and_says_so(void *arg)
{
    __atomic_store_n(&((struct lost *)arg)->is_running, true, __ATOMIC_RELEASE);
    return task_sleep(TASK_HOUR);
}

/* AddressSanitizer does not see that the frames are gone. */
static void one_that_is_cancelled_is_told_of(void **state)
{
    struct lost lost;
    pthread_t thread;

    (void)state;
    if (HAVE_ASAN)
        skip();
    make_lost(&lost, sleeps_and_says_so);
    thread = thread_start(runs, &lost);
    while (!__atomic_load_n(&lost.is_running, __ATOMIC_ACQUIRE))
        sched_yield();
    assert_int_equal(pthread_cancel(thread), 0);
    thread_join(thread);
    assert_lost(&lost, "a loop is lost, with 1 task: the thread that runs it "
                       "has ended");
}

/* Those that call it from elsewhere. */

static void counts(void *arg)
{
    (void)arg;
    CHECK_NOT_REACHED();
}

static void *runs_there(void *arg)
{
    struct lost *lost = arg;

    lost->status =
        loop_remote_run(lost->remote, sleeps_for_ever, NULL, TASK_FOREVER);
    return NULL;
}

static pthread_t other;

static void begin(struct lost *lost)
{
    lost->remote = loop_remote_open();
    other = thread_start(runs_there, lost);
}

static int exits_when_it_has_begun(void *arg)
{
    begin(arg);
    while (stats().tasks < 2)
        CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_soon(exits_as_callback, NULL) > 0);
    return task_sleep(TASK_FOREVER);
}

static void exits_before_it_begins(void *arg)
{
    begin(arg);
    while (!inbox_is_stirred(loop_current()->inbox))
        sched_yield();
    pthread_exit(NULL);
}

static int has_one_that_exits_before_it_begins(void *arg)
{
    CHECK(loop_call_soon(exits_before_it_begins, arg) > 0);
    return task_sleep(TASK_FOREVER);
}

static void those_that_wait_for_it_are_told(void **state)
{
    task_fn *const fns[] = {exits_when_it_has_begun,
                            has_one_that_exits_before_it_begins};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lost lost;

        make_lost(&lost, fns[i]);
        thread_join(thread_start(runs, &lost));
        thread_join(other);
        assert_int_equal(lost.n_reports, 1);
        assert_int_equal(lost.status, -ESHUTDOWN);
        assert_int_equal(loop_remote_call(lost.remote, counts, NULL),
                         -ESHUTDOWN);
        assert_int_equal(loop_remote_wake(lost.remote), -ESHUTDOWN);
        loop_remote_close(lost.remote);
    }
}

static void holds_and_exits(void *arg)
{
    const struct timespec moment = {.tv_nsec = 50000000};

    nanosleep(&moment, NULL);
    pthread_exit(arg);
}

static int has_one_that_holds_and_exits(void *arg)
{
    CHECK(loop_call_soon(holds_and_exits, arg) > 0);
    return task_sleep(TASK_FOREVER);
}

/* Nobody sends signals to the thread any more. What it has caught is told
 * before the loss. */
static void its_watchdog_ends_with_it(void **state)
{
    struct lost lost;

    (void)state;
    make_lost(&lost, has_one_that_holds_and_exits);
    lost.loop->options.stall_timeout = TASK_MILLISECOND;
    thread_join(thread_start(runs, &lost));
    assert_int_equal(lost.kind, LOOP_ERROR_LOST);
    assert_null(lost.loop->watchdog);
}

/* The watchdog's thread is none of the child's. */
static void a_child_that_is_forked_meanwhile_ends_too(void **state)
{
    struct lost lost;

    (void)state;
    make_lost(&lost, has_one_that_holds_and_exits);
    lost.loop->options.stall_timeout = TASK_MILLISECOND;
    lost.forks = true;
    thread_join(thread_start(runs, &lost));
    assert_true(lost.pid > 0);
    assert_checks();
}

/* Nothing is lost by a thread that has left its loops. */
static void one_that_ended_after_a_run_is_not_told_of(void **state)
{
    struct lost lost;

    (void)state;
    make_lost(&lost, yields);
    thread_join(thread_start(runs, &lost));
    thread_join(thread_start(runs, &lost));
    assert_int_equal(loop_run_main(lost.loop, yields, NULL), 0);
    assert_int_equal(loop_free(lost.loop), 0);
    assert_int_equal(lost.n_reports, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(one_that_ends_in_a_callback_is_told_of),
        behaviour(one_that_ends_in_a_task_is_told_of),
        behaviour(one_that_is_cancelled_is_told_of),
        behaviour(those_that_wait_for_it_are_told),
        behaviour(its_watchdog_ends_with_it),
        behaviour(a_child_that_is_forked_meanwhile_ends_too),
        behaviour(one_that_ended_after_a_run_is_not_told_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
