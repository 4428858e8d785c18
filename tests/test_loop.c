/*
 * The loop: running, ending, stopping, turns and their order, deadlocks,
 * reports, figures.
 */
#include "base.h"
#include "child.h"
#include "loop.h"
#include "record.h"
#include "stack.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int return_number(void *arg)
{
    return *(const int *)arg;
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int note(void *arg)
{
    record("%s", (const char *)arg);
    return 0;
}

static void note_call(void *arg)
{
    record("%s", (const char *)arg);
}

static int yield_and_note(void *arg)
{
    CHECK_STATUS(task_yield(), 0);
    return note(arg);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return task_sleep(TASK_FOREVER);
}

static size_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* What is written to stderr meanwhile. */

static int real_stderr;
static FILE *caught;

static void catch_stderr(void)
{
    fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    caught = tmpfile();
    assert_non_null(caught);
    dup2(fileno(caught), STDERR_FILENO);
}

static void release_stderr(char *text, size_t size)
{
    fflush(stderr);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(caught);
    text[fread(text, 1, size - 1, caught)] = '\0';
    fclose(caught);
}

/* Running. */

static void loop_run_returns_what_main_returned(void **state)
{
    int numbers[] = {7, 0, -EIO, -ECANCELED, -EAGAIN, INT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(loop_run(return_number, &numbers[i]), numbers[i]);
        assert_int_equal(run_virtual(return_number, &numbers[i]), numbers[i]);
    }
}

static void no_function_and_no_loop_are_invalid(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    assert_int_equal(loop_run(NULL, NULL), -EINVAL);
    assert_int_equal(loop_run_main(loop, NULL, NULL), -EINVAL);
    assert_int_equal(loop_run_main(NULL, do_nothing, NULL), -EINVAL);
    assert_int_equal(loop_run_forever(NULL), -EINVAL);
    assert_int_equal(loop_run_turn(NULL, 0), -EINVAL);
    assert_int_equal(loop_fd(NULL), -EINVAL);
    assert_true(loop_next_timeout(NULL) == TASK_FOREVER);
    assert_null(loop_create_task(NULL, do_nothing, NULL));
    assert_null(loop_create_task(loop, NULL, NULL));
    assert_null((loop_create_task)(loop, NULL, NULL));
    loop_stop(NULL);
    loop_advance(NULL, 1);
    loop_set_debug(NULL, true);
    loop_set_error_handler(NULL, NULL, NULL);
    test_loop_free(loop, NULL);
}

static void run_everything_inside(void *arg)
{
    struct loop *other = arg;

    CHECK_STATUS(loop_run(note, text("never")), -EBUSY);
    CHECK_STATUS(loop_run_main(other, note, text("never")), -EBUSY);
    CHECK_STATUS(loop_run_main(loop_current(), note, text("never")), -EBUSY);
    CHECK_STATUS(loop_run_forever(other), -EBUSY);
    CHECK_STATUS(loop_run_forever(loop_current()), -EBUSY);
    CHECK_STATUS(loop_run_turn(other, 0), -EBUSY);
    CHECK_STATUS(loop_run_turn(loop_current(), 0), -EBUSY);
    CHECK_STATUS(loop_free(other), -EBUSY);
    CHECK_STATUS(loop_free(loop_current()), -EBUSY);
}

static int run_inside(void *arg)
{
    struct loop *self = loop_current();

    run_everything_inside(arg);
    CHECK(loop_call_soon(run_everything_inside, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_current() == self);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return 3;
}

static void a_running_loop_lets_no_other_run_in_its_thread(void **state)
{
    struct loop *other = test_loop_new(NULL);
    int number = 4;

    (void)state;
    assert_int_equal(run_virtual(run_inside, other), 3);
    assert_int_equal(loop_run_main(other, return_number, &number), 4);
    test_loop_free(other, NULL);
}

static int know_the_loop(void *arg)
{
    (void)arg;
    CHECK(loop_current() != NULL);
    return task_sleep(TASK_MILLISECOND);
}

static void runs_leave_nothing_behind(void **state)
{
    size_t before = open_descriptors();

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_null(loop_current());
        assert_int_equal(loop_run(know_the_loop, NULL), 0);
        assert_null(loop_current());
        assert_null(task_current());
        assert_int_equal(open_descriptors(), before);
    }
}

static int do_a_little(void *arg)
{
    task_detach(task_create(sleep_for_ever, NULL));
    CHECK_STATUS(task_sleep(1), 0);
    return task_await(task_create(return_number, arg));
}

static void many_runs_keep_memory_flat(void **state)
{
    unsigned n = test_rounds(5000);
    size_t before = 0;
    int number = 7;

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        if (i == n / 10)
            before = resident_bytes();
        assert_int_equal(loop_run(do_a_little, &number), 7);
    }
    assert_true(resident_bytes() <= before + (1 << 20));
}

static void a_loop_that_never_ran_leaves_nothing_behind(void **state)
{
    size_t before = open_descriptors();
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(open_descriptors(), before);
    loop_fd(loop);
    test_loop_free(loop, &count);
    assert_int_equal(open_descriptors(), before);
}

static void bad_options_make_no_loop(void **state)
{
    const struct loop_options bad[] = {
        {.stack_size = 1},
        {.stack_size = TASK_STACK_MIN - 1},
        {.stack_size = SIZE_MAX},
        {.clock = (enum loop_clock)2},
        {.clock = (enum loop_clock)99},
        {.backend = (enum loop_backend)3},
        {.backend = (enum loop_backend)99},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_null(loop_new(&bad[i]));
}

static void default_options_are_zero(void **state)
{
    struct loop_options zero = {0};
    struct loop *loop = loop_new(&zero);
    int number = 5;

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_run_main(loop, return_number, &number), 5);
    assert_int_equal(loop_free(loop), 0);
    loop = loop_new(NULL);
    assert_non_null(loop);
    assert_int_equal(loop_run_main(loop, return_number, &number), 5);
    assert_int_equal(loop_free(loop), 0);
}

static int tell_stack_size(void *arg)
{
    (void)arg;
    return (int)task_stack_size(task_current());
}

static void tasks_have_the_stack_size_of_their_loop(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    assert_int_equal(run_with(options, tell_stack_size, NULL),
                     TASK_STACK_DEFAULT);
    options.stack_size = TASK_STACK_MIN;
    assert_int_equal(run_with(options, tell_stack_size, NULL), TASK_STACK_MIN);
    options.stack_size = 100001;
    assert_true(run_with(options, tell_stack_size, NULL) >= 100001);
}

/* What is left when main returns. */

static int clean_up_slowly(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    record("%s has ended", (const char *)arg);
    return -ECANCELED;
}

static int leave_two_behind(void *arg)
{
    (void)arg;
    task_create(clean_up_slowly, text("a"));
    task_detach(task_create(clean_up_slowly, text("b")));
    CHECK_STATUS(task_yield(), 0);
    record("main has ended");
    return 5;
}

static void leftovers_are_cancelled_and_awaited(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_two_behind, NULL), 5);
    assert_record("main has ended, a has ended, b has ended");
}

static int never_stepped(void *arg)
{
    CHECK_STATUS(task_yield(), -ECANCELED);
    return note(arg);
}

static int leave_new_ones_behind(void *arg)
{
    (void)arg;
    task_create(never_stepped, text("a"));
    task_detach(task_create(never_stepped, text("b")));
    return 0;
}

static void leftovers_that_never_ran_run(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_new_ones_behind, NULL), 0);
    assert_record("a, b");
}

static int helper(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    note(arg);
    return 11;
}

static int clean_up_with_help(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    CHECK_STATUS(task_await(task_create(helper, text("helped"))), 11);
    CHECK_STATUS(task_await(task_create(helper, text("helped again"))), 11);
    return note(arg);
}

static int leave_one_that_needs_help(void *arg)
{
    (void)arg;
    task_detach(task_create(clean_up_with_help, text("cleaned up")));
    return task_yield();
}

static void clean_up_may_create_tasks_and_await_them(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_one_that_needs_help, NULL), 0);
    assert_record("helped, helped again, cleaned up");
}

/* Each, when cancelled, leaves another behind. */
static int leave_a_chain(void *arg)
{
    int *n = arg;

    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    record("%d", *n);
    if (--*n)
        task_detach(task_create(leave_a_chain, n));
    return 0;
}

static int begin_a_chain(void *arg)
{
    task_detach(task_create(leave_a_chain, arg));
    return task_yield();
}

static void what_clean_up_leaves_behind_is_cancelled_in_turn(void **state)
{
    int n = 5;

    (void)state;
    assert_int_equal(run_virtual(begin_a_chain, &n), 0);
    assert_record("5, 4, 3, 2, 1");
}

/* A daemon that answers a question a second, and those who ask it at the end. */
static struct task *question;

static int answer(void *arg)
{
    int status;

    (void)arg;
    while (!(status = task_sleep(TASK_SECOND)))
        if (question && !task_done(question))
            CHECK_STATUS(task_future_complete(question, 42), 0);
    record("daemon ends");
    return status;
}

static int ask_when_cancelled(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    question = task_future_create();
    task_retain(question);
    CHECK_STATUS(task_await(question), 42);
    record("answered");
    task_detach(question);
    question = NULL;
    return 0;
}

static int leave_a_daemon_and_one_who_asks(void *arg)
{
    struct task_options daemon = {.daemon = true, .name = "daemon"};

    (void)arg;
    task_detach(task_create_with(answer, NULL, &daemon));
    task_detach(task_create(ask_when_cancelled, NULL));
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static void daemons_serve_until_all_others_have_ended(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_a_daemon_and_one_who_asks, NULL), 0);
    assert_record("answered, daemon ends");
}

/* A daemon that says yes whenever it is asked, and one who asks it when there is an
 * end to what nothing but a request can wake. */
static struct task_event asked;
static struct task_event answered;

static int say_yes(void *arg)
{
    int status;

    (void)arg;
    while (!(status = task_event_wait(&asked))) {
        task_event_clear(&asked);
        task_event_set(&answered);
    }
    record("daemon ends");
    return status;
}

static int ask_after_a_helper_that_is_stuck(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_await(task_create(sleep_for_ever, NULL)), -ECANCELED);
    task_event_set(&asked);
    CHECK_STATUS(task_event_wait(&answered), 0);
    record("answered");
    return 0;
}

static int leave_a_daemon_and_one_with_a_helper(void *arg)
{
    struct task_options daemon = {.daemon = true};

    (void)arg;
    task_detach(task_create_with(say_yes, NULL, &daemon));
    task_detach(task_create(ask_after_a_helper_that_is_stuck, NULL));
    return task_yield();
}

static void daemons_serve_while_a_request_to_others_helps(void **state)
{
    (void)state;
    asked = answered = (struct task_event){0};
    assert_int_equal(run_virtual(leave_a_daemon_and_one_with_a_helper, NULL),
                     0);
    assert_record("answered, daemon ends");
}

/* What is asked to end last has ended in a batch, and others are left that were
 * not asked yet: a task that was made meanwhile, or a daemon. */

static int sleep_until_asked(void *arg)
{
    int status = task_sleep(TASK_HOUR);

    record("%s: %d at %d", (char *)arg, status,
           (int)(loop_time() / TASK_SECOND));
    return 0;
}

struct leftover {
    task_time takes;
    bool makes_one;
};

static int clean_up(void *arg)
{
    const struct leftover *leftover = arg;

    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(leftover->takes), 0);
    if (leftover->makes_one)
        task_detach(task_create(sleep_until_asked, text("made")));
    return 0;
}

static int leave_one_that_makes_another(void *arg)
{
    static struct leftover leftovers[] = {{TASK_SECOND, true},
                                          {5 * TASK_SECOND, false}};

    (void)arg;
    for (int i = 0; i < 2; i++)
        task_detach(task_create(clean_up, &leftovers[i]));
    return task_yield();
}

static int leave_a_daemon_that_sleeps(void *arg)
{
    static struct leftover leftover = {TASK_SECOND, false};
    struct task_options daemon = {.daemon = true};

    (void)arg;
    task_detach(task_create_with(sleep_until_asked, text("daemon"), &daemon));
    task_detach(task_create(clean_up, &leftover));
    return task_yield();
}

static void each_round_is_asked_when_the_last_has_ended(void **state)
{
    char expected[40];

    (void)state;
    assert_int_equal(run_virtual(leave_one_that_makes_another, NULL), 0);
    snprintf(expected, sizeof expected, "made: %d at 5", -ECANCELED);
    assert_record(expected);
    assert_int_equal(run_virtual(leave_a_daemon_that_sleeps, NULL), 0);
    snprintf(expected, sizeof expected, "daemon: %d at 1", -ECANCELED);
    assert_record(expected);
}

struct heirs {
    int n;
    bool is_over;
};

static void end_the_line(void *arg)
{
    struct heirs *heirs = arg;

    heirs->is_over = true;
}

/* It leaves another one when it is asked to end, until there has been a look. */
static int leave_an_heir(void *arg)
{
    struct heirs *heirs = arg;

    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    heirs->n++;
    if (!heirs->is_over)
        task_detach(task_create(leave_an_heir, heirs));
    return 0;
}

static int begin_a_line(void *arg)
{
    CHECK(loop_call_later(TASK_MILLISECOND, end_the_line, arg) > 0);
    task_detach(task_create(leave_an_heir, arg));
    return task_yield();
}

static void the_world_is_looked_at_in_each_round(void **state)
{
    struct loop_options options = test_options(NULL);
    struct heirs heirs = {0};

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, begin_a_line, &heirs), 0);
    assert_true(heirs.n > 0 && heirs.is_over);
}

static int fail_when_cancelled(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    return *(const int *)arg;
}

static int leave_failures_behind(void *arg)
{
    static const int io = -EIO;
    static const int pipe = -EPIPE;
    static const int cancelled = -ECANCELED;
    static const int fine = 3;

    (void)arg;
    task_detach(task_create(fail_when_cancelled, (void *)(uintptr_t)&io));
    task_create(fail_when_cancelled, (void *)(uintptr_t)&pipe);
    task_create(fail_when_cancelled, (void *)(uintptr_t)&cancelled);
    task_create(fail_when_cancelled, (void *)(uintptr_t)&fine);
    CHECK_STATUS(task_yield(), 0);
    return 9;
}

static void a_leftover_that_fails_is_reported_once(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_failures_behind, NULL), 9);
    assert_record("unawaited(task-2, -5), unawaited(task-3, -32)");
}

static int refuse_to_end(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_HOUR), 0);
    return note(arg);
}

static int leave_one_that_refuses(void *arg)
{
    (void)arg;
    task_detach(task_create(refuse_to_end, text("refused")));
    task_detach(task_create(clean_up_slowly, text("b")));
    CHECK_STATUS(task_yield(), 0);
    return 6;
}

static void without_a_shutdown_timeout_leftovers_take_their_time(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_one_that_refuses, NULL), 6);
    assert_record("b has ended, refused");
}

static void after_the_shutdown_timeout_leftovers_are_dropped(void **state)
{
    struct loop_options options = test_options(NULL);
    char expected[80];

    (void)state;
    options.shutdown_timeout = 2 * TASK_SECOND;
    assert_int_equal(run_with(options, leave_one_that_refuses, NULL), 6);
    snprintf(expected, sizeof expected, "b has ended, shutdown(task-2, %d)",
             -ETIMEDOUT);
    assert_record(expected);
}

static int yield_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        task_yield();
    return 0;
}

static int leave_one_that_yields(void *arg)
{
    (void)arg;
    task_detach(task_create(yield_for_ever, NULL));
    return task_yield();
}

static void the_shutdown_timeout_drops_those_that_never_stop(void **state)
{
    struct loop_options options = test_options(NULL);
    char expected[80];

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    options.shutdown_timeout = 10 * TASK_MILLISECOND;
    assert_int_equal(run_with(options, leave_one_that_yields, NULL), 0);
    snprintf(expected, sizeof expected, "shutdown(task-2, %d)", -ETIMEDOUT);
    assert_record(expected);
}

static int hear_and_end(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    return note(arg);
}

static int leave_one_that_ends_at_once(void *arg)
{
    (void)arg;
    task_detach(task_create(hear_and_end, text("heard")));
    return task_yield();
}

/* A nanosecond is over before the first of them runs. */
static void the_shortest_shutdown_timeout_cancels_all_the_same(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    options.shutdown_timeout = 1;
    assert_int_equal(run_with(options, leave_one_that_ends_at_once, NULL), 0);
    assert_record("heard");
}

enum { LEFT = 2 };

static void list_those_left(const struct loop_error *error, void *arg)
{
    struct task *left[4 * LEFT];
    size_t n = task_all(left, 4 * LEFT);

    (void)arg;
    record("%llu of", (unsigned long long)error->task_id);
    for (size_t i = 0; i < n; i++)
        record("%llu", (unsigned long long)task_id(left[i]));
}

static int leave_some_that_yield(void *arg)
{
    (void)arg;
    loop_set_error_handler(loop_current(), list_those_left, NULL);
    for (int i = 0; i < LEFT; i++)
        task_detach(task_create(yield_for_ever, NULL));
    return task_yield();
}

static void all_that_are_dropped_are_listed_meanwhile(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    options.shutdown_timeout = 10 * TASK_MILLISECOND;
    assert_int_equal(run_with(options, leave_some_that_yield, NULL), 0);
    assert_record("2 of, 2, 3, 3 of, 2, 3");
}

static void cancel_call(void *id)
{
    loop_call_cancel(*(int64_t *)id);
    *(int64_t *)id = 0;
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

static struct task_local calls_later = {.destroy = cancel_call};
static int64_t ids_of_calls[3];
static int n_calls;

/* The timers of its calls are neighbours of that with which it sleeps. */
static int sleep_and_call_later(void *arg)
{
    int64_t *id = arg;

    CHECK_STATUS(task_local_set(&calls_later, id), 0);
    *id = loop_call_later(TASK_HOUR, count_call, &n_calls);
    CHECK(*id > 0);
    for (;;)
        task_sleep(TASK_HOUR);
    return 0;
}

static int leave_some_that_sleep(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        task_detach(task_create(sleep_and_call_later, &ids_of_calls[i]));
    return task_yield();
}

static void timers_of_those_that_are_dropped_harm_nobody(void **state)
{
    struct loop_options options = test_options(NULL);
    char expected[120];

    (void)state;
    options.shutdown_timeout = 2 * TASK_SECOND;
    assert_int_equal(run_with(options, leave_some_that_sleep, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ids_of_calls[i], 0);
    assert_int_equal(n_calls, 0);
    snprintf(expected, sizeof expected,
             "shutdown(task-2, %d), shutdown(task-3, %d), shutdown(task-4, %d)",
             -ETIMEDOUT, -ETIMEDOUT, -ETIMEDOUT);
    assert_record(expected);
}

static int leave_many_handles(void *arg)
{
    (void)arg;
    for (unsigned i = test_rounds(300000); i; i--)
        CHECK(task_future_create());
    return 0;
}

/* Would it take a time that grows with the square of them, it took minutes. */
static void any_number_of_handles_ends_with_the_loop(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_many_handles, NULL), 0);
}

static int sleep_for_ever_twice(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    return task_sleep(TASK_FOREVER);
}

static int leave_one_that_nothing_wakes(void *arg)
{
    (void)arg;
    task_detach(task_create(sleep_for_ever_twice, NULL));
    return task_yield();
}

static void a_leftover_that_nothing_can_wake_is_dropped(void **state)
{
    char expected[80];

    (void)state;
    assert_int_equal(run_virtual(leave_one_that_nothing_wakes, NULL), 0);
    snprintf(expected, sizeof expected, "deadlock(%d), shutdown(task-2, %d)",
             -EDEADLK, -ETIMEDOUT);
    assert_record(expected);
}

static int keep_handles(void *arg)
{
    struct task *done = task_create(do_nothing, NULL);
    struct task *future = task_future_create();

    (void)arg;
    CHECK(task_retain(task_retain(done)) == done);
    CHECK(task_retain(future) == future);
    CHECK(task_future_create() != NULL);
    CHECK_STATUS(task_future_complete(future, 1), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(done));
    task_set_name(task_future_create(), "a name that is freed as well");
    return 0;
}

static void handles_that_are_left_are_ended(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(keep_handles, NULL), 0);
}

/* What functions of the program's may do while the loop is freed. */

static void ignore_call(void *arg)
{
    (void)arg;
}

static void try_to_make_all(struct loop *loop)
{
    const char *const argv[] = {"true", NULL};
    struct task_process *process = NULL;
    struct loop_hooks hooks = {.arg = NULL};
    int ends[2];

    CHECK_STATUS(pipe(ends), 0);
    CHECK(loop_current() == loop);
    CHECK(!task_create(do_nothing, NULL));
    CHECK(!loop_create_task(loop, do_nothing, NULL));
    CHECK(!task_future_create());
    CHECK(!loop_remote_open());
    CHECK(!task_stream_open(ends[0]));
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, ignore_call, NULL),
                 -ESHUTDOWN);
    CHECK_STATUS(task_process_exec(&process, argv, NULL), -ESHUTDOWN);
    CHECK_STATUS(loop_add_reader(ends[0], ignore_call, NULL), -ESHUTDOWN);
    CHECK_STATUS(loop_add_hooks(loop, &hooks), -ESHUTDOWN);
    CHECK_STATUS(loop_trace_start(loop, "/dev/null"), -ESHUTDOWN);
    CHECK_STATUS(loop_trace_ring(loop, "/dev/null", 1 << 16), -ESHUTDOWN);
    CHECK(loop_call_soon(ignore_call, NULL) > 0);
    CHECK(loop_call_later(1, ignore_call, NULL) > 0);
    close(ends[0]);
    close(ends[1]);
    record("tried");
}

static void try_when_told(const struct loop_error *error, void *arg)
{
    (void)arg;
    try_to_make_all(error->loop);
}

static void try_in_destroy(void *value)
{
    try_to_make_all(value);
}

static int try_at_the_end(struct loop *loop, void *arg)
{
    int *n_runs = arg;

    if (--*n_runs == 0)
        try_to_make_all(loop);
    return 0;
}

static int fail_with_io(void *arg)
{
    (void)arg;
    return -EIO;
}

static int refuse_with_a_local(void *arg)
{
    static struct task_local local = {.destroy = try_in_destroy};

    (void)arg;
    CHECK_STATUS(task_local_set(&local, loop_current()), 0);
    for (;;)
        task_sleep(TASK_SECOND);
    return 0;
}

/* A failure and one that refuses to end; in debug mode a stream that is open. */
static int leave_what_is_told_of(void *arg)
{
    CHECK(task_stream_open(*(const int *)arg) != NULL);
    CHECK(task_create(fail_with_io, NULL) != NULL);
    task_detach(task_create(refuse_with_a_local, NULL));
    return task_yield();
}

static void nothing_can_be_made_while_the_loop_is_freed(void **state)
{
    struct memory_count count = {0};
    struct loop_options options = test_options(&count);
    size_t before = open_descriptors();
    int n_runs = 2;
    struct loop_hooks hooks = {.run_ends = try_at_the_end, .arg = &n_runs};
    struct loop *loop;
    struct sigaction action;
    int ends[2];

    (void)state;
    options.debug = true;
    options.shutdown_timeout = 2 * TASK_SECOND;
    options.on_error = try_when_told;
    loop = loop_new(&options);
    assert_non_null(loop);
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(loop_run_main(loop, leave_what_is_told_of, &ends[0]), 0);
    assert_record("");
    test_loop_free(loop, &count);
    close(ends[1]);
    assert_record("tried, tried, tried, tried, tried");
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(sigaction(SIGUSR1, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
}

/* Several runs. */

static int sleep_and_note(void *arg)
{
    CHECK_STATUS(task_sleep(5 * TASK_SECOND), 0);
    return note(arg);
}

static int leave_a_sleeper(void *arg)
{
    (void)arg;
    task_detach(task_create(sleep_and_note, text("sleeper")));
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    record("first");
    return 1;
}

static int outlive_the_sleeper(void *arg)
{
    (void)arg;
    record("second at %d s", (int)(loop_time() / TASK_SECOND));
    CHECK_STATUS(task_sleep(4 * TASK_SECOND), 0);
    record("end at %d s", (int)(loop_time() / TASK_SECOND));
    return 2;
}

static void tasks_are_carried_over_to_the_next_run(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, leave_a_sleeper, NULL), 1);
    assert_record("first");
    assert_int_equal(loop_run_main(loop, outlive_the_sleeper, NULL), 2);
    assert_record("second at 1 s, sleeper, end at 5 s");
    test_loop_free(loop, &count);
}

static int leave_a_callback(void *arg)
{
    CHECK(loop_call_later(TASK_SECOND, note_call, arg) > 0);
    CHECK(loop_call_soon(note_call, text("soon")) > 0);
    return 0;
}

static void callbacks_are_carried_over_to_the_next_run(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, leave_a_callback, text("later")), 0);
    assert_record("");
    assert_int_equal(loop_run_main(loop, helper, text("main")), 11);
    assert_record("soon, later, main");
    test_loop_free(loop, &count);
}

static void callbacks_that_are_left_are_dropped(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leave_a_callback, text("never")), 0);
}

/* Stopping. */

static void stop_call(void *arg)
{
    (void)arg;
    record("stop");
    loop_stop(loop_current());
}

static void note_and_call_soon(void *arg)
{
    record("%s", (const char *)arg);
    CHECK(loop_call_soon(note_call, text("next turn")) > 0);
}

static int set_a_batch(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(note_call, text("a")) > 0);
    CHECK(loop_call_soon(stop_call, NULL) > 0);
    CHECK(loop_call_soon(note_and_call_soon, text("b")) > 0);
    task_detach(task_create(note, text("c")));
    return 0;
}

static void a_stop_lets_the_batch_end(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, set_a_batch, NULL), 0);
    assert_record("");
    assert_int_equal(loop_run_forever(loop), 0);
    assert_record("a, stop, b, c");
    loop_stop(loop);
    assert_int_equal(loop_run_forever(loop), 0);
    assert_record("next turn");
    test_loop_free(loop, &count);
}

static int stop_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        loop_stop(loop_current());
    CHECK(loop_call_soon(note_call, text("after the stop")) > 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    record("main goes on");
    return 8;
}

static int end_the_run(void *arg)
{
    note(arg);
    loop_stop(loop_current());
    return 0;
}

static int sleep_and_end_the_run(void *arg)
{
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    return end_the_run(arg);
}

static void several_stops_in_a_turn_are_one(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, stop_often, NULL), -EAGAIN);
    assert_record("");
    task_detach(loop_create_task(loop, sleep_and_end_the_run, text("stops")));
    assert_int_equal(loop_run_forever(loop), 0);
    assert_record("after the stop, main goes on, stops");
    test_loop_free(loop, &count);
}

static void a_main_that_was_stopped_goes_on_in_the_next_run(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, stop_often, NULL), -EAGAIN);
    assert_int_equal(loop_run_main(loop, outlive_the_sleeper, NULL), 2);
    assert_record("after the stop, second at 0 s, main goes on, end at 4 s");
    test_loop_free(loop, &count);
}

static int stop_and_end(void *arg)
{
    loop_stop(loop_current());
    return *(const int *)arg;
}

static void a_main_that_ends_as_it_stops_has_a_status(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    int numbers[] = {12, 13};

    (void)state;
    assert_int_equal(loop_run_main(loop, stop_and_end, &numbers[0]), 12);
    assert_int_equal(loop_run_main(loop, return_number, &numbers[1]), 13);
    test_loop_free(loop, &count);
}

static void a_stop_before_the_run_leaves_it_one_batch(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    task_detach(loop_create_task(loop, yield_and_note, text("second batch")));
    loop_stop(loop);
    loop_stop(loop);
    assert_int_equal(loop_run_main(loop, sleep_for_ever, NULL), -EAGAIN);
    assert_record("");
    assert_int_equal(loop_run_main(loop, do_nothing, NULL), 0);
    assert_record("second batch");
    test_loop_free(loop, &count);
}

static void a_stop_before_a_run_of_nothing_ends_it(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    loop_stop(loop);
    assert_int_equal(loop_run_forever(loop), 0);
    test_loop_free(loop, NULL);
}

static void stop_from_a_timer(void *arg)
{
    (void)arg;
    record("stop at %d s", (int)(loop_time() / TASK_SECOND));
    loop_stop(loop_current());
}

static int stop_later(void *arg)
{
    (void)arg;
    CHECK(loop_call_later(TASK_SECOND, stop_from_a_timer, NULL) > 0);
    CHECK(loop_call_later(3 * TASK_SECOND, stop_from_a_timer, NULL) > 0);
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    record("awake at %d s", (int)(loop_time() / TASK_SECOND));
    return 0;
}

static void what_sleeps_when_the_loop_stops_sleeps_on(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, stop_later, NULL), -EAGAIN);
    assert_record("stop at 1 s");
    assert_int_equal(loop_run_forever(loop), 0);
    assert_record("awake at 2 s, stop at 3 s");
    test_loop_free(loop, &count);
}

static void a_main_that_never_ended_is_cancelled_at_the_end(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    loop_stop(loop);
    assert_int_equal(loop_run_main(loop, clean_up_slowly, text("main")),
                     -EAGAIN);
    assert_record("");
    test_loop_free(loop, &count);
    assert_record("main has ended");
}

static void a_run_of_nothing_is_deadlocked(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    char expected[40];

    (void)state;
    assert_int_equal(loop_run_forever(loop), -EDEADLK);
    snprintf(expected, sizeof expected, "deadlock(%d)", -EDEADLK);
    assert_record(expected);
    test_loop_free(loop, NULL);
}

/* Freeing. */

static void no_loop_is_freed_with_success(void **state)
{
    (void)state;
    assert_int_equal(loop_free(NULL), 0);
}

static void a_loop_is_freed_with_tasks_that_never_ran(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_non_null(loop_create_task(loop, never_stepped, text("a")));
    task_detach(loop_create_task(loop, never_stepped, text("b")));
    test_loop_free(loop, &count);
    assert_record("a, b");
}

static int free_the_running_loop(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_free(loop_current()), -EBUSY);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(loop_free(loop_current()), -EBUSY);
    return 2;
}

static void a_running_loop_is_not_freed(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(free_the_running_loop, NULL), 2);
}

/* Tasks of a loop that does not run. */

static int count_others(void *arg)
{
    CHECK_STATUS((int)task_all(NULL, 0), *(const int *)arg);
    return 0;
}

static void tasks_may_be_created_before_the_loop_runs(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *a = loop_create_task(loop, note, text("a"));
    struct task *b = (loop_create_task)(loop, yield_and_note, text("b"));
    struct task *c = loop_create_task(loop, never_stepped, text("c"));
    int n = 2;

    (void)state;
    assert_int_equal(task_id(a), 1);
    assert_string_equal(task_name(b), "task-2");
    assert_false(task_done(a));
    assert_int_equal(task_status(a), -EINPROGRESS);
    assert_true(task_cancel(c));
    assert_int_equal(loop_run_main(loop, count_others, &n), 0);
    assert_record("a, c");
    assert_true(task_done(a));
    assert_int_equal(task_status(a), 0);
    assert_int_equal(task_status(c), 0);
    assert_int_equal(loop_run_main(loop, do_nothing, NULL), 0);
    assert_record("b");
    task_detach(a);
    task_detach(b);
    task_detach(c);
    test_loop_free(loop, &count);
}

static int create_in_another_loop(void *arg)
{
    struct task *task = loop_create_task(arg, note, text("there"));

    CHECK(task != NULL);
    CHECK_STATUS(task_await(task), -EINVAL);
    CHECK_STATUS(task_cancel_await(task), -EINVAL);
    CHECK_STATUS(task_cancelling(task), 0);
    CHECK(!task_done(task));
    task_detach(task);
    record("here");
    return 0;
}

static void a_task_of_another_loop_cannot_be_awaited(void **state)
{
    struct memory_count count = {0};
    struct loop *other = test_loop_new(&count);

    (void)state;
    assert_int_equal(run_virtual(create_in_another_loop, other), 0);
    assert_record("here");
    assert_int_equal(loop_run_main(other, yield_and_note, text("main")), 0);
    assert_record("there, main");
    test_loop_free(other, &count);
}

static int await_one_that_is_done(void *arg)
{
    CHECK(task_done(arg));
    CHECK_STATUS(task_await(arg), -EINVAL);
    return 0;
}

static void a_done_task_of_another_loop_cannot_be_awaited_either(void **state)
{
    struct memory_count count = {0};
    struct loop *other = test_loop_new(&count);
    struct task *task = loop_create_task(other, do_nothing, NULL);

    (void)state;
    assert_int_equal(loop_run_main(other, do_nothing, NULL), 0);
    assert_int_equal(run_virtual(await_one_that_is_done, task), 0);
    task_detach(task);
    test_loop_free(other, &count);
}

/* Threads. */

static int add_up(void *arg)
{
    int *sum = arg;

    for (int i = 0; i < 20; i++) {
        *sum += 1;
        CHECK_STATUS(i % 2 ? task_yield() : task_sleep(TASK_MICROSECOND), 0);
    }
    return 0;
}

static void add_one(void *arg)
{
    *(int *)arg += 1;
}

static int add_up_together(void *arg)
{
    struct task *tasks[20];

    for (size_t i = 0; i < 20; i++)
        tasks[i] = task_create(add_up, arg);
    for (size_t i = 0; i < 20; i++)
        CHECK(loop_call_later((task_time)i * TASK_MICROSECOND, add_one, arg) >
              0);
    for (size_t i = 0; i < 20; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    return *(int *)arg;
}

static void *run_a_loop(void *arg)
{
    struct loop_options options = test_options(NULL);
    uintptr_t failures = 0;

    options.clock = arg ? LOOP_CLOCK_REAL : LOOP_CLOCK_VIRTUAL;
    for (unsigned i = 0; i < test_rounds(50); i++) {
        struct loop *loop = loop_new(&options);
        int sum = 0;

        failures += !loop || loop_current();
        failures += loop_run_main(loop, add_up_together, &sum) != 420;
        failures += loop_free(loop) != 0;
    }
    return (void *)failures;
}

static void threads_run_a_loop_each(void **state)
{
    pthread_t threads[3];
    void *failures;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_a_loop,
                                        (void *)(uintptr_t)(i % 2)),
                         0);
    assert_null(run_a_loop(NULL));
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
    assert_checks();
}

/* A thread's stack need hold the loop only, not its tasks. */
static void a_thread_with_a_small_stack_runs_a_loop(void **state)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *failures;

    (void)state;
    if (HAVE_ASAN || HAVE_TSAN)
        skip(); /* their frames are large */
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 32 << 10), 0);
    assert_int_equal(pthread_create(&thread, &attributes, run_a_loop, NULL), 0);
    pthread_join(thread, &failures);
    assert_null(failures);
    pthread_attr_destroy(&attributes);
    assert_checks();
}

static void *run_in_this_thread(void *arg)
{
    int status = loop_run_main(arg, outlive_the_sleeper, NULL);

    record_clear();
    return (void *)(intptr_t)status;
}

static int leave_tasks_parked(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        task_detach(task_create(sleep_and_note, text("sleeper")));
    return task_sleep(TASK_SECOND);
}

static atomic_bool is_elsewhere;
static int n_arrived;

/* Of the thread that calls it, which the compiler cannot know to be another one. */
static NEVER_INLINE int errno_here(void)
{
    __asm__ volatile("");
    return errno;
}

static int yield_here_and_there(void *arg)
{
    int number = *(const int *)arg;

    errno = number;
    while (!is_elsewhere)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(errno_here(), number);
    CHECK_STATUS(task_yield(), 0);
    n_arrived++;
    return 0;
}

static int leave_tasks_ready(void *arg)
{
    static int numbers[] = {7, 8, 9};

    (void)arg;
    for (int i = 0; i < 3; i++)
        task_detach(task_create(yield_here_and_there, &numbers[i]));
    return task_yield();
}

static int yield_thrice(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_yield(), 0);
    return 2;
}

static void *run_elsewhere(void *loop)
{
    is_elsewhere = true;
    return (void *)(intptr_t)loop_run_main(loop, yield_thrice, NULL);
}

static void who_yields_may_go_on_in_another_thread(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    pthread_t thread;
    void *status;

    (void)state;
    is_elsewhere = false;
    n_arrived = 0;
    assert_int_equal(loop_run_main(loop, leave_tasks_ready, NULL), 0);
    assert_int_equal(n_arrived, 0);
    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, loop), 0);
    pthread_join(thread, &status);
    assert_int_equal((intptr_t)status, 2);
    assert_int_equal(n_arrived, 3);
    test_loop_free(loop, NULL);
}

static void a_loop_may_go_on_in_another_thread(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    pthread_t thread;
    void *status;

    (void)state;
    assert_int_equal(loop_run_main(loop, leave_tasks_parked, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_in_this_thread, loop),
                     0);
    pthread_join(thread, &status);
    assert_int_equal((intptr_t)status, 2);
    test_loop_free(loop, NULL);
}

struct watched {
    struct loop *loop;
    atomic_bool ends;
    bool is_right;
};

static void *watch_figures(void *arg)
{
    struct watched *watched = arg;
    struct loop_stats stats;

    watched->is_right = true;
    while (!watched->ends) {
        loop_get_stats(watched->loop, &stats);
        watched->is_right &= stats.tasks <= 100 && stats.ready <= 100 &&
                             stats.parked <= 100 && stats.timers <= 100;
    }
    return NULL;
}

static int change_figures(void *arg)
{
    for (unsigned i = 0; i < test_rounds(300); i++) {
        int sum = 0;

        CHECK_STATUS(task_await(task_create(add_up, &sum)), 0);
        CHECK_STATUS(sum, 20);
    }
    *(atomic_bool *)arg = true;
    return 0;
}

static void figures_may_be_read_from_another_thread(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct watched watched = {.loop = loop};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, watch_figures, &watched), 0);
    assert_int_equal(loop_run_main(loop, change_figures, &watched.ends), 0);
    pthread_join(thread, NULL);
    assert_true(watched.is_right);
    test_loop_free(loop, NULL);
}

/* Deadlocks. */

static char deadlock_text[2000];
static unsigned n_deadlocks;

static void keep_text(const struct loop_error *error, void *arg)
{
    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_DEADLOCK);
    CHECK_STATUS(error->status, -EDEADLK);
    CHECK(error->loop == loop_current());
    CHECK(error->task == NULL && error->task_id == 0 && !error->task_name);
    CHECK_STATUS(error->fd, -1);
    snprintf(deadlock_text, sizeof deadlock_text, "%s", error->message);
    n_deadlocks++;
}

static struct loop_options keeping_text(void)
{
    struct loop_options options = test_options(NULL);

    options.on_error = keep_text;
    deadlock_text[0] = '\0';
    n_deadlocks = 0;
    return options;
}

static int await_it(void *arg)
{
    return task_await(task_retain(arg));
}

static int deadlock_with_others(void *arg)
{
    struct task *future = task_future_create();
    struct task_options a = {.name = "reader"};
    struct task_options b = {.name = "the daemon", .daemon = true};
    struct task_options c = {.name = "writer"};

    (void)arg;
    task_set_name(future, "the answer");
    task_detach(task_create_with(await_it, future, &a));
    task_detach(task_create_with(sleep_for_ever, NULL, &b));
    task_set_name(task_current(), "chief");
    return task_await(task_create_with(sleep_for_ever, NULL, &c));
}

static void a_deadlock_is_reported_with_all_who_wait(void **state)
{
    (void)state;
    assert_int_equal(run_with(keeping_text(), deadlock_with_others, NULL),
                     -EDEADLK);
    assert_int_equal(n_deadlocks, 1);
    assert_non_null(strstr(deadlock_text, "\"chief\""));
    assert_non_null(strstr(deadlock_text, "awaiting task 5 \"writer\""));
    assert_non_null(strstr(deadlock_text, "\"reader\""));
    assert_non_null(strstr(deadlock_text, "awaiting future 2 \"the answer\""));
    assert_non_null(strstr(deadlock_text, "sleeping"));
    assert_non_null(strstr(deadlock_text, "test_loop.c:"));
    assert_null(strstr(deadlock_text, "daemon"));
    assert_null(strstr(deadlock_text, "cycle"));
    assert_int_not_equal(deadlock_text[strlen(deadlock_text) - 1], '\n');
}

static int end_cancelled(void *arg)
{
    int status = task_sleep(TASK_FOREVER);

    record("%s: %d", (const char *)arg, status);
    return status;
}

static void loop_run_cancels_a_deadlocked_main(void **state)
{
    char expected[40];
    char printed[2000];
    int status;

    (void)state;
    catch_stderr();
    status = loop_run(end_cancelled, text("main"));
    release_stderr(printed, sizeof printed);
    assert_int_equal(status, -EDEADLK);
    assert_non_null(strstr(printed, "deadlock"));
    assert_non_null(strstr(printed, "task-1"));
    snprintf(expected, sizeof expected, "main: %d", -ECANCELED);
    assert_record(expected);
}

static int deadlock_with_another(void *arg)
{
    task_detach(task_create(end_cancelled, text("other")));
    return end_cancelled(arg);
}

static void a_deadlocked_run_cancels_nothing_by_itself(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    char expected[80];
    int number = 5;

    (void)state;
    assert_int_equal(loop_run_main(loop, deadlock_with_another, text("main")),
                     -EDEADLK);
    snprintf(expected, sizeof expected, "deadlock(%d)", -EDEADLK);
    assert_record(expected);
    assert_int_equal(loop_run_main(loop, return_number, &number), 5);
    assert_record("");
    test_loop_free(loop, &count);
    snprintf(expected, sizeof expected, "main: %d, other: %d", -ECANCELED,
             -ECANCELED);
    assert_record(expected);
}

static void each_run_reports_its_deadlock(void **state)
{
    struct loop_options options = keeping_text();
    struct loop *loop = loop_new(&options);

    (void)state;
    assert_int_equal(loop_run_main(loop, sleep_for_ever, NULL), -EDEADLK);
    assert_int_equal(loop_run_main(loop, sleep_for_ever, NULL), -EDEADLK);
    assert_int_equal(n_deadlocks, 2);
    assert_int_equal(loop_run_forever(loop), -EDEADLK);
    assert_int_equal(n_deadlocks, 3);
    assert_int_equal(loop_run_turn(loop, 0), -EDEADLK); /* the same */
    assert_int_equal(n_deadlocks, 3);
    test_loop_free(loop, NULL);
}

static int wait_beside_a_timer(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    task_detach(task_create(sleep_for_ever, NULL));
    task_detach(task_create(await_it, future));
    CHECK_STATUS(task_sleep(1000 * TASK_HOUR), 0);
    CHECK(loop_call_later(1000 * TASK_HOUR, note_call, text("called")) > 0);
    CHECK_STATUS(task_sleep(1000 * TASK_HOUR), 0);
    return 0;
}

static void complete_it(void *arg)
{
    CHECK_STATUS(task_future_complete(arg, 31), 0);
}

static int wait_for_a_callback(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK(loop_call_later(TASK_HOUR, complete_it, future) > 0);
    task_retain(future);
    CHECK_STATUS(task_await(future), 31);
    task_detach(future);
    return 0;
}

static void nothing_is_deadlocked_while_there_is_a_timer(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(wait_beside_a_timer, NULL), 0);
    assert_record("called");
    assert_int_equal(run_virtual(wait_for_a_callback, NULL), 0);
}

static int wait_for_a_callback_that_never_comes(void *arg)
{
    (void)arg;
    CHECK(loop_call_later(TASK_FOREVER, note_call, text("never")) > 0);
    CHECK(loop_call_at(TASK_FOREVER, note_call, text("never")) > 0);
    return task_sleep_until(TASK_FOREVER);
}

static void what_is_due_never_does_not_prevent_a_deadlock(void **state)
{
    (void)state;
    assert_int_equal(
        run_with(keeping_text(), wait_for_a_callback_that_never_comes, NULL),
        -EDEADLK);
    assert_int_equal(n_deadlocks, 1);
}

static int leave_a_deadlocked_daemon(void *arg)
{
    struct task_options daemon = {.name = "the daemon", .daemon = true};

    (void)arg;
    task_detach(task_create_with(sleep_for_ever, NULL, &daemon));
    return task_yield();
}

static void a_daemon_alone_is_not_named_in_a_deadlock(void **state)
{
    struct loop_options options = keeping_text();
    struct loop *loop = loop_new(&options);

    (void)state;
    assert_int_equal(loop_run_main(loop, leave_a_deadlocked_daemon, NULL), 0);
    assert_int_equal(loop_run_forever(loop), -EDEADLK);
    assert_null(strstr(deadlock_text, "daemon"));
    test_loop_free(loop, NULL);
}

/* Turns. */

static int order_a_turn(void *arg)
{
    (void)arg;
    CHECK(loop_call_later(0, note_call, text("timer")) > 0);
    CHECK(loop_call_soon(note_call, text("a")) > 0);
    task_detach(task_create(note, text("b")));
    CHECK(loop_call_soon(note_and_call_soon, text("c")) > 0);
    CHECK_STATUS(task_yield(), 0);
    record("main");
    CHECK_STATUS(task_yield(), 0);
    record("main again");
    return 0;
}

static void a_turn_runs_what_was_ready_and_then_timers(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(order_a_turn, NULL), 0);
    assert_record("a, b, c, main, timer, next turn, main again");
}

static uint64_t turns(void)
{
    struct loop_stats stats;

    loop_get_stats(loop_current(), &stats);
    return stats.turns;
}

static void call_soon_again(void *arg)
{
    uint64_t *turn = arg;

    CHECK_STATUS((long long)turns(), (long long)++*turn);
    CHECK(loop_call_soon(call_soon_again, arg) > 0);
}

static void record_turn(void *arg)
{
    *(uint64_t *)arg = turns();
}

static int count_turns(void *arg)
{
    uint64_t now = turns();
    uint64_t then = 0;

    (void)arg;
    CHECK(loop_call_soon(record_turn, &then) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS((long long)then, (long long)now + 1);
    CHECK_STATUS((long long)turns(), (long long)now + 1);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS((long long)turns(), (long long)now + 2);
    return 0;
}

static void what_a_callback_sets_runs_in_the_next_turn(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(count_turns, NULL), 0);
}

static int let_callbacks_go_on(void *arg)
{
    uint64_t turn = turns();

    (void)arg;
    CHECK(loop_call_soon(call_soon_again, &turn) > 0);
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_yield(), 0);
    loop_stop(loop_current());
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    return 0;
}

static void a_callback_that_sets_itself_starves_no_task(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, let_callbacks_go_on, NULL), -EAGAIN);
    test_loop_free(loop, &count);
}

/* Fairness, on the real clock. A bail-out keeps a failure from hanging. */

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static struct loop_options real_options(void)
{
    struct loop_options options = test_options(NULL);

    options.clock = LOOP_CLOCK_REAL;
    return options;
}

static int yield_until_called(void *arg)
{
    task_time start = loop_time();
    bool called = false;

    (void)arg;
    CHECK(loop_call_later(5 * TASK_MILLISECOND, set_flag, &called) > 0);
    while (!called && loop_time() - start < 10 * TASK_SECOND)
        CHECK_STATUS(task_yield(), 0);
    CHECK(called);
    CHECK(loop_time() - start >= 5 * TASK_MILLISECOND);
    return 0;
}

static void a_task_that_yields_starves_no_timer(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), yield_until_called, NULL), 0);
}

/* Sets itself until it is told to stop. */
struct chain {
    bool over;
    bool with_timers; /* of no delay, instead of calls in the next turn */
    size_t n;
};

static void call_next(void *arg)
{
    struct chain *chain = arg;

    chain->n++;
    if (chain->over)
        return;
    if (chain->with_timers)
        CHECK(loop_call_later(0, call_next, chain) > 0);
    else
        CHECK(loop_call_soon(call_next, chain) > 0);
}

/* Beside such a chain: a timer, a sleeper, callbacks, tasks. */
static int live_beside_a_chain(void *arg)
{
    struct chain chain = {.with_timers = *(const bool *)arg};
    task_time start = loop_time();
    bool called = false;
    bool called_soon = false;
    size_t n;

    call_next(&chain);
    CHECK(loop_call_later(3 * TASK_MILLISECOND, set_flag, &called) > 0);
    CHECK_STATUS(task_sleep(5 * TASK_MILLISECOND), 0);
    CHECK(loop_time() - start < 10 * TASK_SECOND);
    CHECK(called);
    n = chain.n;
    CHECK(n > 1);
    CHECK(loop_call_soon(set_flag, &called_soon) > 0);
    CHECK_STATUS(task_await(task_create(yield_and_note, text("task"))), 0);
    CHECK(called_soon);
    chain.over = true;
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK(chain.n > n);
    return 0;
}

static void a_callback_that_sets_itself_starves_nobody(void **state)
{
    bool with_timers = false;

    (void)state;
    assert_int_equal(
        run_with(real_options(), live_beside_a_chain, &with_timers), 0);
    assert_record("task");
}

static void timers_without_delay_starve_nobody(void **state)
{
    bool with_timers = true;

    (void)state;
    assert_int_equal(
        run_with(real_options(), live_beside_a_chain, &with_timers), 0);
    assert_record("task");
}

static int yield_beside_a_sleeper(void *arg)
{
    task_time start = loop_time();
    struct task *task = task_create(know_the_loop, NULL);

    (void)arg;
    while (!task_done(task) && loop_time() - start < 10 * TASK_SECOND)
        CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(task));
    return task_await(task);
}

static void a_task_that_yields_starves_no_sleeper(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), yield_beside_a_sleeper, NULL), 0);
}

static int yield_beside_a_callback(void *arg)
{
    bool called = false;

    (void)arg;
    for (int i = 0; i < 100; i++) {
        called = false;
        CHECK(loop_call_soon(set_flag, &called) > 0);
        CHECK_STATUS(task_yield(), 0);
        CHECK(called);
    }
    return 0;
}

static void a_task_that_yields_starves_no_callback(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), yield_beside_a_callback, NULL),
                     0);
}

static void be_busy(task_time time)
{
    task_time end = loop_time() + time;

    while (loop_time() < end)
        continue;
}

/* Many short steps, so that the loop believes in them; then long ones. */
static int take_longer_steps(void *arg)
{
    task_time deadline;
    bool called = false;
    int late = 0;

    (void)arg;
    for (unsigned i = 0; i < test_rounds(100000); i++)
        CHECK_STATUS(task_yield(), 0);
    deadline = loop_time() + 5 * TASK_MILLISECOND;
    CHECK(loop_call_at(deadline, set_flag, &called) > 0);
    for (int i = 0; i < 100 && !called; i++) {
        late += loop_time() >= deadline;
        be_busy(TASK_MILLISECOND);
        CHECK_STATUS(task_yield(), 0);
    }
    CHECK(called);
    CHECK(late <= 9); /* eight steps may be taken on trust */
    return 0;
}

static void steps_that_become_long_starve_no_timer(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), take_longer_steps, NULL), 0);
}

/* In a run that begins with a look at a crowd of timers, which takes longer than
 * what the ticks are measured by then. */

static int leave_a_crowd(void *flag)
{
    for (int i = 0; i < 2000; i++)
        CHECK(loop_call_later(0, set_flag, flag) > 0);
    return 0;
}

static int run_after_a_crowd(task_fn *fn, void *arg)
{
    struct memory_count count = {0};
    struct loop_options options = test_options(&count);
    struct loop *loop;
    bool flag;
    int status;

    options.clock = LOOP_CLOCK_REAL;
    loop = loop_new(&options);
    assert_non_null(loop);
    assert_int_equal(loop_run_main(loop, leave_a_crowd, &flag), 0);
    status = loop_run_main(loop, fn, arg);
    test_loop_free(loop, &count);
    return status;
}

static void have_two_looks(void)
{
    be_busy(15 * TASK_MICROSECOND);
    CHECK_STATUS(task_yield(), 0);
    be_busy(300 * TASK_MICROSECOND);
    CHECK_STATUS(task_yield(), 0);
}

static int stop_after_two_looks(void *steps)
{
    int *n = steps;

    have_two_looks();
    loop_stop(loop_current());
    do
        ++*n;
    while (*n < 100000 && !task_yield());
    return 0;
}

static void a_crowd_of_timers_does_not_delay_a_stop(void **state)
{
    int steps = 0;

    (void)state;
    assert_int_equal(run_after_a_crowd(stop_after_two_looks, &steps), -EAGAIN);
    assert_int_equal(steps, 1);
}

/* Of steps that take a microsecond at the least, few fit into the time for which
 * the loop does not look. */
static int yield_until_it_is_noticed(void *arg)
{
    task_time deadline;
    bool called = false;
    int late = 0;

    (void)arg;
    have_two_looks();
    deadline = loop_time() + 100 * TASK_MICROSECOND;
    CHECK(loop_call_at(deadline, set_flag, &called) > 0);
    while (!called && late < 100000) {
        late += loop_time() >= deadline;
        be_busy(TASK_MICROSECOND);
        CHECK_STATUS(task_yield(), 0);
    }
    CHECK(called);
    CHECK(late < 200);
    return 0;
}

static void a_crowd_of_timers_does_not_delay_the_next_one(void **state)
{
    (void)state;
    assert_int_equal(run_after_a_crowd(yield_until_it_is_noticed, NULL), 0);
}

/* Shuffling. */

static int note_three_times(void *arg)
{
    for (int i = 0; i < 3; i++) {
        note(arg);
        CHECK_STATUS(task_yield(), 0);
    }
    return 0;
}

static int make_a_trace(void *arg)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct task *tasks[8];

    (void)arg;
    for (size_t i = 0; i < 8; i++)
        tasks[i] = task_create(note_three_times, text(names[i]));
    CHECK(loop_call_soon(note_call, text("1")) > 0);
    CHECK(loop_call_soon(note_call, text("2")) > 0);
    for (size_t i = 0; i < 8; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    return 0;
}

#define FIFO_TRACE                                                             \
    "a, b, c, d, e, f, g, h, 1, 2, a, b, c, d, e, f, g, h, a, b, c, d, e, f, " \
    "g, h"

static void without_a_seed_the_order_is_first_in_first_out(void **state)
{
    (void)state;
    assert_int_equal(run_seeded(0, make_a_trace, NULL), 0);
    assert_record(FIFO_TRACE);
}

struct trace {
    char text[200];
};

static _Thread_local struct trace *tracing;

static int trace_three_times(void *arg)
{
    for (int i = 0; i < 3; i++) {
        strcat(tracing->text, arg);
        CHECK_STATUS(task_yield(), 0);
    }
    return 0;
}

static void trace_call(void *arg)
{
    strcat(tracing->text, arg);
}

static int trace_all(void *arg)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct task *tasks[8];

    tracing = arg;
    for (size_t i = 0; i < 8; i++)
        tasks[i] = task_create(trace_three_times, text(names[i]));
    CHECK(loop_call_soon(trace_call, text("1")) > 0);
    CHECK(loop_call_later(TASK_SECOND, trace_call, text("2")) > 0);
    for (size_t i = 0; i < 8; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    return task_sleep(2 * TASK_SECOND);
}

static struct trace trace_of(uint64_t seed)
{
    struct trace trace = {.text = ""};

    assert_int_equal(run_seeded(seed, trace_all, &trace), 0);
    assert_int_equal(strlen(trace.text), 26);
    return trace;
}

static void the_same_seed_gives_the_same_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct trace first = trace_of(seed);
        struct trace second = trace_of(seed);

        assert_string_equal(first.text, second.text);
    }
}

static void different_seeds_give_different_orders(void **state)
{
    struct trace fifo = trace_of(0);
    struct trace traces[20];

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        traces[i] = trace_of(i + 1);
        assert_string_not_equal(traces[i].text, fifo.text);
        for (uint64_t j = 0; j < i; j++)
            assert_string_not_equal(traces[i].text, traces[j].text);
    }
}

/* Each of n that are ready is first about as often as any other. */
enum { RACERS = 8, RACES = 4000 };

struct race {
    unsigned wins[RACERS];
    bool is_over;
};

struct racer {
    struct race *race;
    unsigned number;
};

static int run_race(void *arg)
{
    struct racer *racer = arg;

    if (!racer->race->is_over)
        racer->race->wins[racer->number]++;
    racer->race->is_over = true;
    return 0;
}

static int run_races(void *arg)
{
    struct racer racers[RACERS];
    struct task *tasks[RACERS];

    for (unsigned i = 0; i < RACES; i++) {
        ((struct race *)arg)->is_over = false;
        for (unsigned j = 0; j < RACERS; j++) {
            racers[j] = (struct racer){arg, j};
            tasks[j] = task_create(run_race, &racers[j]);
        }
        for (unsigned j = 0; j < RACERS; j++)
            CHECK_STATUS(task_await(tasks[j]), 0);
    }
    return 0;
}

static void shuffling_prefers_nobody(void **state)
{
    struct race race = {.is_over = false};

    (void)state;
    assert_int_equal(run_seeded(12345, run_races, &race), 0);
    for (unsigned i = 0; i < RACERS; i++)
        assert_in_range(race.wins[i], RACES / RACERS / 2, RACES / RACERS * 2);
}

/* Waiting for all others to be parked. */

static int work_in_steps(void *arg)
{
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(task_yield(), 0);
    note(arg);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return note(arg);
}

static int wait_for_others(void *arg)
{
    struct task *task = task_create(work_in_steps, text("other"));

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    record("blocked at %d s", (int)(loop_time() / TASK_SECOND));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    record("still");
    return task_await(task);
}

static void one_waits_until_all_others_are_parked(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(wait_for_others, NULL), 0);
    assert_record("other, blocked at 0 s, still, other");
}

static int wait_and_note(void *arg)
{
    CHECK_STATUS(task_wait_all_blocked(), 0);
    return note(arg);
}

static int wait_together(void *arg)
{
    struct task *a = task_create(wait_and_note, text("a"));
    struct task *b = task_create(wait_and_note, text("b"));
    struct task *c = task_create(work_in_steps, text("worker"));

    (void)arg;
    wait_and_note(text("main"));
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 0);
    return task_await(c);
}

static void several_wait_until_all_others_are_parked(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(wait_together, NULL), 0);
    assert_record("worker, main, a, b, worker");
}

static int wait_with_a_request(void *arg)
{
    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_wait_all_blocked(), -ECANCELED);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    return 0;
}

static int be_refused(void *arg)
{
    CHECK_STATUS(task_wait_all_blocked(), *(const int *)arg);
    return 0;
}

static int cancel_a_watcher(void *arg)
{
    int canceled = -ECANCELED;
    struct task *busy = task_create(yield_and_note, text("busy"));
    struct task *task = task_create(be_refused, &canceled);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), 0);
    return task_await(busy);
}

static void waiting_for_the_others_can_be_cancelled(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(cancel_a_watcher, NULL), 0);
    assert_record("busy");
    assert_int_equal(run_virtual(wait_with_a_request, NULL), 0);
    assert_int_equal(task_wait_all_blocked(), -EPERM);
}

/* Figures. */

static struct loop_stats figures(void)
{
    struct loop_stats stats;

    loop_get_stats(loop_current(), &stats);
    return stats;
}

static int look_at_figures(void *arg)
{
    struct task *sleeper = task_create(helper, text("sleeper"));
    struct task *other = task_create(yield_and_note, text("other"));
    struct loop_stats stats = figures();

    (void)arg;
    CHECK_STATUS((long long)stats.tasks, 3);
    CHECK_STATUS((long long)stats.ready, 2);
    CHECK_STATUS((long long)stats.parked, 0);
    CHECK_STATUS((long long)stats.timers, 0);
    CHECK_STATUS(task_yield(), 0);
    stats = figures();
    CHECK_STATUS((long long)stats.tasks, 3);
    CHECK_STATUS((long long)stats.ready, 1);
    CHECK_STATUS((long long)stats.parked, 1);
    CHECK_STATUS((long long)stats.timers, 1);
    CHECK_STATUS((long long)stats.stacks_used, 3);
    CHECK_STATUS((long long)stats.watched_fds, 0);
    CHECK_STATUS((long long)stats.jobs, 0);
    CHECK_STATUS((long long)stats.switches, 4);
    CHECK_STATUS(task_await(other), 0);
    CHECK_STATUS(task_await(sleeper), 11);
    stats = figures();
    CHECK_STATUS((long long)stats.tasks, 1);
    CHECK_STATUS((long long)stats.timers, 0);
    CHECK_STATUS((long long)stats.stacks_used, 1);
    CHECK_STATUS((long long)stats.stacks_cached, 2);
    return 0;
}

static void figures_count_tasks_timers_and_stacks(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(look_at_figures, NULL), 0);
    assert_record("other, sleeper");
}

static int count_ready_callbacks(void *arg)
{
    (void)arg;
    CHECK_STATUS((long long)figures().ready, 0);
    CHECK(loop_call_soon(note_call, text("a")) > 0);
    CHECK(loop_call_soon(note_call, text("b")) > 0);
    CHECK_STATUS((long long)figures().ready, 2);
    task_detach(task_create(note, text("c")));
    CHECK_STATUS((long long)figures().ready, 3);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS((long long)figures().ready, 0);
    return 0;
}

static void figures_count_callbacks_that_are_ready(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(count_ready_callbacks, NULL), 0);
    assert_record("a, b, c");
}

static int count_special_stacks(void *arg)
{
    struct task_options options = {.stack_size = 4 * TASK_STACK_DEFAULT};
    struct task *task = task_create_with(sleep_for_ever, NULL, &options);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS((long long)figures().stacks_used, 2);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS((long long)figures().stacks_used, 1);
    CHECK_STATUS((long long)figures().stacks_cached, 1);
    return 0;
}

static int sleeps_a_little(void *arg)
{
    (void)arg;
    return task_sleep(TASK_MILLISECOND);
}

/* With nobody else, whose end would do so, the loop itself gives them back. */
static int the_stacks_of_a_crowd_go(void *arg)
{
    enum { MANY = STACKS_WARM + 1000 };
    struct task_options options = {.stack_size =
                                       arg ? 2 * TASK_STACK_DEFAULT : 0};

    for (int i = 0; i < MANY; i++)
        task_detach(task_create_with(sleeps_a_little, NULL, &options));
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(figures().stacks_cached >= MANY);
    for (int i = 0; i < 1100; i++)
        CHECK_STATUS(task_sleep(5 * TASK_MILLISECOND), 0);
    CHECK(figures().stacks_cached <= STACKS_WARM + 2);
    return 0;
}

static void the_stacks_of_a_crowd_go_when_it_is_long_gone(void **state)
{
    (void)state;
    if (HAVE_TSAN) /* to which each stack is like a thread */
        skip();
    assert_int_equal(run_virtual(the_stacks_of_a_crowd_go, NULL), 0);
    assert_int_equal(run_virtual(the_stacks_of_a_crowd_go, text("others")), 0);
}

static void figures_count_stacks_of_every_size(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(count_special_stacks, NULL), 0);
}

/* All sizes from 100 pages on, up to eight times as much. */
static int stacks_of_many_sizes(void *arg)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const struct loop *loop = loop_current();
    size_t n = 0;

    (void)arg;
    for (size_t size = 100 * page; size <= 800 * page; size += page) {
        struct task_options options = {.stack_size = size - page / 2};
        struct task *task = task_create_with(tell_stack_size, NULL, &options);
        size_t rounded = task_stack_size(task);

        CHECK(rounded >= size && rounded <= size + size / 8);
        CHECK_STATUS(task_await(task), (int)rounded);
    }
    for (const struct stacks *at = loop->stacks.next; at; at = at->next)
        n++;
    CHECK(n <= 3 * 8 + 1);
    return 0;
}

static void stacks_of_many_sizes_are_of_a_few(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(stacks_of_many_sizes, NULL), 0);
}

/* Figures are of the last look, which is after `began`. */
static int spend_time(void *arg)
{
    task_time began = loop_time();

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);

    struct loop_stats before = figures();

    CHECK_STATUS(task_sleep(10 * TASK_MILLISECOND), 0);
    be_busy(5 * TASK_MILLISECOND);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);

    struct loop_stats after = figures();
    task_time idle_time = after.idle_time - before.idle_time;
    task_time busy_time = after.busy_time - before.busy_time;

    CHECK(idle_time >= 5 * TASK_MILLISECOND);
    CHECK(busy_time >= 5 * TASK_MILLISECOND);
    CHECK(idle_time + busy_time <= loop_time() - began);
    CHECK(after.polls > before.polls);
    return 0;
}

static void figures_tell_idle_time_from_busy_time(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), spend_time, NULL), 0);
}

/* Reports. */

static int detach_a_failure(void *arg)
{
    task_detach(task_create(return_number, arg));
    return task_yield();
}

struct seen {
    struct loop_error error;
    char message[300];
    char name[40];
    char file[100];
    unsigned n;
};

static void see_error(const struct loop_error *error, void *arg)
{
    struct seen *seen = arg;

    seen->n++;
    seen->error = *error;
    snprintf(seen->message, sizeof seen->message, "%s", error->message);
    snprintf(seen->name, sizeof seen->name, "%s", error->task_name);
    snprintf(seen->file, sizeof seen->file, "%s", error->file);
    CHECK_STATUS(task_sleep(0), -EPERM);
    CHECK(error->loop == loop_current());
}

static void a_report_tells_all_about_a_failure(void **state)
{
    struct loop_options options = test_options(NULL);
    struct seen seen = {.n = 0};
    int number = -EIO;

    (void)state;
    options.on_error = see_error;
    options.on_error_arg = &seen;
    assert_int_equal(run_with(options, detach_a_failure, &number), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.error.kind, LOOP_ERROR_UNAWAITED);
    assert_int_equal(seen.error.status, -EIO);
    assert_int_equal(seen.error.task_id, 2);
    assert_int_equal(seen.error.fd, -1);
    assert_non_null(seen.error.task);
    assert_true(seen.error.line > 0);
    assert_string_equal(seen.name, "task-2");
    assert_non_null(strstr(seen.file, "test_loop.c"));
    assert_non_null(strstr(seen.message, "task-2"));
    assert_non_null(strstr(seen.message, "test_loop.c:"));
    assert_null(strchr(seen.message, '\n'));
}

static void see_other_error(const struct loop_error *error, void *arg)
{
    (void)error;
    record("%s", (const char *)arg);
}

static int change_the_handler(void *arg)
{
    loop_set_error_handler(loop_current(), see_other_error,
                           text("other handler"));
    return detach_a_failure(arg);
}

static void the_error_handler_can_be_changed(void **state)
{
    int number = -EIO;

    (void)state;
    assert_int_equal(run_virtual(change_the_handler, &number), 0);
    assert_record("other handler");
}

static int remove_the_handler(void *arg)
{
    loop_set_error_handler(loop_current(), NULL, NULL);
    return detach_a_failure(arg);
}

static void without_a_handler_a_report_is_a_line_on_stderr(void **state)
{
    char text[1000];
    int number = -EIO;
    int status;

    (void)state;
    catch_stderr();
    status = run_virtual(remove_the_handler, &number);
    release_stderr(text, sizeof text);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "task-2"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

/* A hook that does in it what it is to be told of. */
static void fail_in_the_hook(const struct loop_error *error, void *arg)
{
    struct task *future = task_future_create();

    record("hook(%s)", error->task_name);
    CHECK_STATUS(task_future_complete(future, *(const int *)arg), 0);
    task_detach(future);
}

static void a_report_that_the_hook_causes_goes_to_stderr(void **state)
{
    struct loop_options options = test_options(NULL);
    char text[1000];
    int number = -EIO;
    int status;

    (void)state;
    options.on_error = fail_in_the_hook;
    options.on_error_arg = &number;
    catch_stderr();
    status = run_with(options, detach_a_failure, &number);
    release_stderr(text, sizeof text);
    assert_int_equal(status, 0);
    assert_record("hook(task-2)");
    assert_non_null(strstr(text, "future 3"));
}

static void create_in_the_hook(const struct loop_error *error, void *arg)
{
    struct task *task = task_create(note, text("created by the hook"));

    (void)arg;
    record("hook(%s)", error->task_name);
    CHECK(task != NULL);
    CHECK(loop_call_soon(note_call, text("called by the hook")) > 0);
    task_detach(task);
}

static int detach_a_failure_and_stay(void *arg)
{
    CHECK_STATUS(detach_a_failure(arg), 0);
    return task_yield();
}

static void the_hook_may_create_tasks(void **state)
{
    struct loop_options options = test_options(NULL);
    int number = -EIO;

    (void)state;
    options.on_error = create_in_the_hook;
    assert_int_equal(run_with(options, detach_a_failure_and_stay, &number), 0);
    assert_record("hook(task-2), created by the hook, called by the hook");
}

static unsigned n_created;
static unsigned n_run;

static int count_run(void *arg)
{
    (void)arg;
    n_run++;
    return 0;
}

/* Creates without end, save for a bail-out. */
static void create_at_the_end(const struct loop_error *error, void *arg)
{
    (void)error;
    (void)arg;
    if (n_created < 1000 && task_create(count_run, NULL))
        n_created++;
}

static int leave_a_failed_handle(void *arg)
{
    CHECK(task_create(return_number, arg) != NULL);
    task_detach(task_create(refuse_to_end, text("never")));
    return task_yield();
}

static void
what_the_hook_creates_at_the_very_end_runs_or_is_refused(void **state)
{
    struct loop_options options = test_options(NULL);
    int number = -EIO;

    (void)state;
    n_created = 0;
    n_run = 0;
    options.on_error = create_at_the_end;
    options.shutdown_timeout = TASK_SECOND;
    assert_int_equal(run_with(options, leave_a_failed_handle, &number), 0);
    assert_true(n_created < 10);
    assert_int_equal(n_run, n_created);
}

/* Where a task ends, and in a task that ends a handle. */
static void suspend_in_the_hook(const struct loop_error *error, void *arg)
{
    (void)error;
    (void)arg;
    CHECK(task_current() == NULL);
    CHECK_STATUS(task_yield(), -EPERM);
    CHECK_STATUS(task_sleep(TASK_SECOND), -EPERM);
    CHECK_STATUS(task_await(task_future_create()), -EPERM);
    CHECK_STATUS(loop_run(do_nothing, NULL), -EBUSY);
    CHECK_STATUS(loop_free(loop_current()), -EBUSY);
    record("hook");
}

static int end_a_failed_handle(void *arg)
{
    struct task *task = task_create(return_number, arg);

    CHECK_STATUS(task_yield(), 0);
    record("detach");
    task_detach(task);
    record("detached");
    CHECK(task_current() != NULL);
    return task_yield();
}

static void the_hook_cannot_suspend_a_task(void **state)
{
    struct loop_options options = test_options(NULL);
    int number = -EIO;

    (void)state;
    options.on_error = suspend_in_the_hook;
    assert_int_equal(run_with(options, end_a_failed_handle, &number), 0);
    assert_record("detach, hook, detached");
}

static void the_hook_cannot_suspend_a_task_that_ends(void **state)
{
    struct loop_options options = test_options(NULL);
    int number = -EIO;

    (void)state;
    options.on_error = suspend_in_the_hook;
    assert_int_equal(run_with(options, detach_a_failure, &number), 0);
    assert_record("hook");
}

/* Where nothing is waited for. */
static int is_busy_in_turns(void *arg)
{
    struct loop_stats before = figures();

    (void)arg;
    for (int i = 0; i < 5; i++) {
        be_busy(2 * TASK_MILLISECOND);
        CHECK_STATUS(task_yield(), 0);
    }

    struct loop_stats after = figures();

    CHECK(after.busy_time - before.busy_time >= 8 * TASK_MILLISECOND);
    CHECK(after.idle_time == before.idle_time);
    return 0;
}

static void turns_without_a_wait_are_busy_time(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), is_busy_in_turns, NULL), 0);
}

static void check_own_descriptors(void *arg)
{
    static const char *const argv[] = {"true", NULL};
    struct loop_remote *remote = loop_remote_open();
    struct task_process *process;

    CHECK(remote);
    CHECK_STATUS(loop_trace_start(loop_current(), "/dev/null"), 0);
    CHECK_STATUS(task_process_exec(&process, argv, NULL), 0);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    for (int fd = 0; fd < 3; fd++) {
        CHECK(fcntl(fd, F_GETFD) < 0);
        CHECK(!task_stream_open(fd));
    }
    CHECK_STATUS(task_process_wait(process), 0);
    task_process_free(process);
    loop_remote_close(remote);
    CHECK_STATUS(loop_trace_stop(loop_current()), 0);
    (void)arg;
}

static int has_descriptors_of_its_own(void *arg)
{
    check_own_descriptors(arg);
    return checks_failed();
}

static void run_with_standard_ones_closed(void *arg)
{
    struct loop_options options = real_options();

    options.backend = *(enum loop_backend *)arg;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (run_with(options, has_descriptors_of_its_own, NULL))
        _exit(1);
}

static void descriptors_of_its_own_are_none_of_the_standard_ones(void **state)
{
    enum loop_backend backends[] = {LOOP_BACKEND_DEFAULT, LOOP_BACKEND_POLL};

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(child_run(run_with_standard_ones_closed, &backends[i]),
                         0);
}

static void every_status_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(task_strerror(0), "success");
    assert_string_equal(task_strerror(-ETIMEDOUT), "timed out");
    assert_string_equal(task_strerror(INT_MIN), "unknown error");
    assert_non_null(task_strerror(-100000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(loop_run_returns_what_main_returned),
        behaviour(no_function_and_no_loop_are_invalid),
        behaviour(a_running_loop_lets_no_other_run_in_its_thread),
        behaviour(runs_leave_nothing_behind),
        behaviour(many_runs_keep_memory_flat),
        behaviour(a_loop_that_never_ran_leaves_nothing_behind),
        behaviour(bad_options_make_no_loop),
        behaviour(default_options_are_zero),
        behaviour(tasks_have_the_stack_size_of_their_loop),
        behaviour(leftovers_are_cancelled_and_awaited),
        behaviour(leftovers_that_never_ran_run),
        behaviour(clean_up_may_create_tasks_and_await_them),
        behaviour(what_clean_up_leaves_behind_is_cancelled_in_turn),
        behaviour(daemons_serve_until_all_others_have_ended),
        behaviour(daemons_serve_while_a_request_to_others_helps),
        behaviour(each_round_is_asked_when_the_last_has_ended),
        behaviour(the_world_is_looked_at_in_each_round),
        behaviour(a_leftover_that_fails_is_reported_once),
        behaviour(without_a_shutdown_timeout_leftovers_take_their_time),
        behaviour(after_the_shutdown_timeout_leftovers_are_dropped),
        behaviour(the_shutdown_timeout_drops_those_that_never_stop),
        behaviour(the_shortest_shutdown_timeout_cancels_all_the_same),
        behaviour(all_that_are_dropped_are_listed_meanwhile),
        behaviour(timers_of_those_that_are_dropped_harm_nobody),
        behaviour(any_number_of_handles_ends_with_the_loop),
        behaviour(a_leftover_that_nothing_can_wake_is_dropped),
        behaviour(handles_that_are_left_are_ended),
        behaviour(nothing_can_be_made_while_the_loop_is_freed),
        behaviour(tasks_are_carried_over_to_the_next_run),
        behaviour(callbacks_are_carried_over_to_the_next_run),
        behaviour(callbacks_that_are_left_are_dropped),
        behaviour(a_stop_lets_the_batch_end),
        behaviour(several_stops_in_a_turn_are_one),
        behaviour(a_main_that_was_stopped_goes_on_in_the_next_run),
        behaviour(a_main_that_ends_as_it_stops_has_a_status),
        behaviour(a_stop_before_the_run_leaves_it_one_batch),
        behaviour(a_stop_before_a_run_of_nothing_ends_it),
        behaviour(what_sleeps_when_the_loop_stops_sleeps_on),
        behaviour(a_main_that_never_ended_is_cancelled_at_the_end),
        behaviour(a_run_of_nothing_is_deadlocked),
        behaviour(no_loop_is_freed_with_success),
        behaviour(a_loop_is_freed_with_tasks_that_never_ran),
        behaviour(a_running_loop_is_not_freed),
        behaviour(tasks_may_be_created_before_the_loop_runs),
        behaviour(a_task_of_another_loop_cannot_be_awaited),
        behaviour(a_done_task_of_another_loop_cannot_be_awaited_either),
        behaviour(threads_run_a_loop_each),
        behaviour(a_thread_with_a_small_stack_runs_a_loop),
        behaviour(a_loop_may_go_on_in_another_thread),
        behaviour(who_yields_may_go_on_in_another_thread),
        behaviour(figures_may_be_read_from_another_thread),
        behaviour(a_deadlock_is_reported_with_all_who_wait),
        behaviour(loop_run_cancels_a_deadlocked_main),
        behaviour(a_deadlocked_run_cancels_nothing_by_itself),
        behaviour(each_run_reports_its_deadlock),
        behaviour(nothing_is_deadlocked_while_there_is_a_timer),
        behaviour(what_is_due_never_does_not_prevent_a_deadlock),
        behaviour(a_daemon_alone_is_not_named_in_a_deadlock),
        behaviour(a_turn_runs_what_was_ready_and_then_timers),
        behaviour(what_a_callback_sets_runs_in_the_next_turn),
        behaviour(a_callback_that_sets_itself_starves_no_task),
        behaviour(a_callback_that_sets_itself_starves_nobody),
        behaviour(timers_without_delay_starve_nobody),
        behaviour(a_task_that_yields_starves_no_timer),
        behaviour(a_task_that_yields_starves_no_sleeper),
        behaviour(a_task_that_yields_starves_no_callback),
        behaviour(steps_that_become_long_starve_no_timer),
        behaviour(a_crowd_of_timers_does_not_delay_a_stop),
        behaviour(a_crowd_of_timers_does_not_delay_the_next_one),
        behaviour(without_a_seed_the_order_is_first_in_first_out),
        behaviour(the_same_seed_gives_the_same_order),
        behaviour(different_seeds_give_different_orders),
        behaviour(shuffling_prefers_nobody),
        behaviour(one_waits_until_all_others_are_parked),
        behaviour(several_wait_until_all_others_are_parked),
        behaviour(waiting_for_the_others_can_be_cancelled),
        behaviour(figures_count_tasks_timers_and_stacks),
        behaviour(figures_count_callbacks_that_are_ready),
        behaviour(figures_count_stacks_of_every_size),
        behaviour(stacks_of_many_sizes_are_of_a_few),
        behaviour(the_stacks_of_a_crowd_go_when_it_is_long_gone),
        behaviour(figures_tell_idle_time_from_busy_time),
        behaviour(turns_without_a_wait_are_busy_time),
        behaviour(descriptors_of_its_own_are_none_of_the_standard_ones),
        behaviour(every_status_has_a_text),
        behaviour(a_report_tells_all_about_a_failure),
        behaviour(the_error_handler_can_be_changed),
        behaviour(without_a_handler_a_report_is_a_line_on_stderr),
        behaviour(a_report_that_the_hook_causes_goes_to_stderr),
        behaviour(the_hook_may_create_tasks),
        behaviour(what_the_hook_creates_at_the_very_end_runs_or_is_refused),
        behaviour(the_hook_cannot_suspend_a_task),
        behaviour(the_hook_cannot_suspend_a_task_that_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
