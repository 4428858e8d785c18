/* task_to_thread: what runs in worker threads, and the cancelling of it. */
#include "bodies.h"
#include "cancel_points.h"
#include "gate.h"
#include "record.h"

#include "loop.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Running. */

static int is_in_another_thread(void *arg)
{
    return pthread_equal(pthread_self(), *(pthread_t *)arg) ? 1 : 2;
}

static int a_function_runs_in_another_thread(void *arg)
{
    pthread_t self = pthread_self();

    (void)arg;
    CHECK_STATUS(task_to_thread(is_in_another_thread, &self), 2);
    CHECK_STATUS(is_in_another_thread(&self), 1);
    return 0;
}

static int its_value_is_passed_on(void *arg)
{
    int values[] = {0, 1, INT_MAX, -1, -EIO, -ECANCELED, INT_MIN};

    (void)arg;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        CHECK_STATUS(task_to_thread(returns, &values[i]), values[i]);
    CHECK(requests() == 0);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int the_loop_goes_on_meanwhile(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *task = start(passes_in_a_thread, &gate);

    (void)arg;
    gate_await(&gate, 1);
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK(!task_done(task));
    gate_open(&gate);
    return task_await(task) == 7 ? 0 : -1;
}

static int a_function_has_to_be_there(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_to_thread(NULL, NULL), -EINVAL);
    return 0;
}

static void outside_of_a_task_it_is_refused(void **state)
{
    (void)state;
    assert_int_equal(task_to_thread(returns, NULL), -EPERM);
    assert_int_equal(task_to_thread(NULL, NULL), -EPERM);
}

static void calls_it(void *arg)
{
    CHECK_STATUS(task_to_thread(returns, arg), -EPERM);
}

static int in_a_callback_it_is_refused(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(calls_it, NULL) > 0);
    return task_yield();
}

static int makes_wrong_calls(void *arg)
{
    CHECK(loop_call_soon(calls_it, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_to_thread(NULL, arg), -EINVAL);
    return 0;
}

static void debug_mode_tells_of_wrong_calls(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.debug = true;
    assert_int_equal(run_with(options, makes_wrong_calls, NULL), 0);
    assert_record("misuse(-1), misuse(task-1, -22)");
}

static int statistics_count_jobs(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *tasks[] = {start(passes_in_a_thread, &gate),
                            start(passes_in_a_thread, &gate)};

    (void)arg;
    CHECK(stats().jobs == 2);
    CHECK(stats().parked == 2);
    gate_open(&gate);
    CHECK_STATUS(task_gather(tasks, 2, NULL), 0);
    CHECK(stats().jobs == 0);
    return 0;
}

/* How many at once. */

static int run_three_at_once(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *tasks[7];

    (void)arg;
    for (int i = 0; i < 7; i++)
        tasks[i] = start(passes_in_a_thread, &gate);
    gate_await(&gate, 3);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(task_yield(), 0);
        CHECK(gate_waiting(&gate) == 3);
    }
    CHECK(stats().jobs == 7);
    gate_open(&gate);
    return task_gather(tasks, 7, NULL);
}

static void so_many_run_at_once_as_the_options_say(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.worker_threads = 3;
    assert_int_equal(run_with(options, run_three_at_once, NULL), 0);
}

static unsigned n_noted; /* atomic: jobs begun */

static int notes_its_place(void *arg)
{
    *(unsigned *)arg = __atomic_fetch_add(&n_noted, 1, __ATOMIC_RELAXED);
    return 0;
}

static int notes_its_place_in_a_thread(void *arg)
{
    return task_to_thread(notes_its_place, arg);
}

static int run_one_after_the_other(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *first = start(passes_in_a_thread, &gate);
    struct task *tasks[20];
    unsigned places[20];

    (void)arg;
    n_noted = 0;
    for (int i = 0; i < 20; i++)
        tasks[i] = start(notes_its_place_in_a_thread, &places[i]);
    gate_await(&gate, 1);
    gate_open(&gate);
    CHECK_STATUS(task_gather(tasks, 20, NULL), 0);
    for (unsigned i = 0; i < 20; i++)
        CHECK(places[i] == i);
    CHECK_STATUS(task_await(first), 7);
    return 0;
}

static void those_that_wait_come_in_the_order_of_the_calls(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.worker_threads = 1;
    assert_int_equal(run_with(options, run_one_after_the_other, NULL), 0);
}

/* What a function may do there. */

static struct task_local local;
static struct task_local another;

static int has_local(void *arg)
{
    CHECK(task_local_get(&local) == arg);
    CHECK(task_local_get(&another) == NULL);
    CHECK_STATUS(task_local_set(&local, &another), -EPERM);
    CHECK(task_local_get(&local) == arg);
    return 0;
}

static int has_local_in_a_thread(void *arg)
{
    if (arg)
        CHECK_STATUS(task_local_set(&local, arg), 0);
    return task_to_thread(has_local, arg);
}

static int it_sees_the_locals_of_its_task_alone(void *arg)
{
    struct task *tasks[] = {start(has_local_in_a_thread, text("a")),
                            start(has_local_in_a_thread, text("b")),
                            start(has_local_in_a_thread, NULL)};

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 3, NULL), 0);
    CHECK_STATUS(has_local_in_a_thread(text("c")), 0);
    return 0;
}

static void runs_nothing(void *arg)
{
    (void)arg;
    CHECK_NOT_REACHED();
}

/* The task that waits for it is the argument. */
static int tries_what_needs_a_loop(void *arg)
{
    struct task_lock lock = {0};

    CHECK(loop_current() == NULL);
    CHECK(task_current() == NULL);
    CHECK_STATUS(task_sleep(1), -EPERM);
    CHECK_STATUS(task_yield(), -EPERM);
    CHECK_STATUS(task_await(arg), -EPERM);
    CHECK_STATUS(task_lock_acquire(&lock), -EPERM);
    CHECK_STATUS(task_to_thread(returns, NULL), -EPERM);
    CHECK_STATUS(task_wait_all_blocked(), -EPERM);
    CHECK_STATUS(loop_call_soon(runs_nothing, NULL), -EPERM);
    CHECK_STATUS(loop_call_later(1, runs_nothing, NULL), -EPERM);
    CHECK_STATUS(loop_call_cancel(1), -ENOENT);
    CHECK(task_create(returns, NULL) == NULL);
    CHECK(task_future_create() == NULL);
    CHECK(loop_remote_open() == NULL);
    CHECK(task_all(NULL, 0) == 0);
    CHECK(loop_time() > 0);
    return 3;
}

static int it_cannot_call_what_needs_a_loop(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_to_thread(tries_what_needs_a_loop, task_current()), 3);
    return 0;
}

static int sleeps_and_returns_six(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    return 6;
}

static int runs_a_loop(void *arg)
{
    (void)arg;
    CHECK(loop_current() == NULL);
    CHECK(task_local_get(&local) != NULL);
    return run_virtual(sleeps_and_returns_six, NULL);
}

static int it_may_run_a_loop_of_its_own(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_local_set(&local, text("a")), 0);
    CHECK_STATUS(task_to_thread(runs_a_loop, NULL), 6);
    return 0;
}

static int fails_with_a_local(void *arg)
{
    CHECK(task_local_get(&local) == NULL);
    CHECK_STATUS(task_local_set(&another, arg), 0);
    return -EIO;
}

static void sees_its_own(const struct loop_error *error, void *arg)
{
    CHECK_STATUS(error->status, -EIO);
    CHECK(task_local_get(&local) == NULL);
    CHECK(task_local_get(&another) == arg);
    record("hook");
}

static void sees_none(void *arg)
{
    (void)arg;
    CHECK(task_local_get(&local) == NULL);
    CHECK(task_local_get(&another) == NULL);
    record("callback");
}

static int has_callbacks_and_a_hook(void *arg)
{
    loop_set_error_handler(loop_current(), sees_its_own, arg);
    task_detach(task_create(fails_with_a_local, arg));
    CHECK(loop_call_soon(sees_none, NULL) > 0);
    CHECK_STATUS(task_yield(), 0);
    return 5;
}

static int runs_a_loop_with_callbacks(void *arg)
{
    CHECK_STATUS(run_virtual(has_callbacks_and_a_hook, text("its own")), 5);
    CHECK_RECORD("hook, callback");
    return has_local(arg);
}

static int that_loop_sees_no_locals_of_who_waits_for_the_job(void *arg)
{
    char *value = text("a");

    (void)arg;
    CHECK_STATUS(task_local_set(&local, value), 0);
    CHECK_STATUS(task_to_thread(runs_a_loop_with_callbacks, value), 0);
    return 0;
}

/* A worker that waits for the loop that waits for another worker. */

struct nesting {
    struct loop_remote *remote;
    int depth;
};

static int nests(void *arg);

static int nests_in_a_thread(void *arg)
{
    return task_to_thread(nests, arg);
}

static int nests(void *arg)
{
    struct nesting *nesting = arg;

    if (!nesting->depth--)
        return 77;
    return loop_remote_run(nesting->remote, nests_in_a_thread, arg,
                           TASK_FOREVER);
}

static int run_nested(void *arg)
{
    struct nesting nesting = {.remote = loop_remote_open(), .depth = 5};

    (void)arg;
    CHECK_STATUS(task_to_thread(nests, &nesting), 77);
    loop_remote_close(nesting.remote);
    return 0;
}

static void a_worker_that_waits_for_the_loop_makes_room(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.worker_threads = 1;
    assert_int_equal(run_with(options, run_nested, NULL), 0);
    assert_int_equal(run_virtual(run_nested, NULL), 0);
}

/* Cancelling. */

/* Says what a job gave, and whether a request came next. */
static int passes_and_says(void *arg)
{
    int status = task_to_thread(passes, arg);

    record("%d", status);
    record("then %d", task_yield());
    record("then %d", task_yield());
    return status;
}

static int a_cancel_waits_for_a_job_that_runs(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *task = start(passes_and_says, &gate);

    (void)arg;
    gate_await(&gate, 1);
    CHECK(task_cancel(task));
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK(!task_done(task));
    CHECK(gate.n_passed == 0);
    gate_open(&gate);
    CHECK_STATUS(task_await(task), 7);
    CHECK_RECORD("7, then -125, then 0");
    return 0;
}

static int cancel_one_that_waits(void *arg)
{
    struct gate gate = GATE_INIT;
    struct gate untouched = GATE_INIT;
    struct task *first = start(passes_in_a_thread, &gate);
    struct task *second = start(passes_and_says, &untouched);
    struct task *third = start(passes_in_a_thread, &gate);

    (void)arg;
    gate_await(&gate, 1);
    CHECK(stats().jobs == 3);
    CHECK_STATUS(task_cancel_await(second), -ECANCELED);
    CHECK(stats().jobs == 2);
    CHECK_RECORD("-125, then 0, then 0");
    gate_open(&gate);
    CHECK_STATUS(task_await(first), 7);
    CHECK_STATUS(task_await(third), 7);
    CHECK(untouched.n_passed == 0);
    return 0;
}

static void a_cancel_takes_back_a_job_that_waits(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.worker_threads = 1;
    assert_int_equal(run_with(options, cancel_one_that_waits, NULL), 0);
}

static int a_request_that_waits_comes_before_the_job(void *arg)
{
    struct gate untouched = GATE_INIT;

    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_to_thread(passes, &untouched), -ECANCELED);
    CHECK(stats().jobs == 0);
    return 0;
}

/* The other way round: it is cancelled, then done, before the loop looks. */
static int a_job_is_done_after_a_cancel_in_the_same_turn(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *task = start(passes_and_says, &gate);
    const struct inbox *inbox = loop_of_task(task)->inbox;

    (void)arg;
    gate_await(&gate, 1);
    CHECK(task_cancel(task));
    gate_open(&gate);
    while (!inbox_is_stirred(inbox))
        sched_yield();
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), 7);
    CHECK_RECORD("7, then -125, then 0");
    return 0;
}

/* The job is done, and the loop has not looked: then it is cancelled. */
static int a_cancel_comes_after_a_job_that_is_done(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *task = start(passes_and_says, &gate);
    const struct inbox *inbox = loop_of_task(task)->inbox;

    (void)arg;
    gate_open(&gate);
    while (!inbox_is_stirred(inbox))
        sched_yield();
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), 7);
    CHECK_RECORD("7, then -125, then 0");
    return 0;
}

/* The loop has looked, and the task has not run. */
static int a_cancel_comes_after_the_waking_by_a_job(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *task = start(passes_and_says, &gate);
    const struct inbox *inbox = loop_of_task(task)->inbox;

    (void)arg;
    gate_open(&gate);
    while (!inbox_is_stirred(inbox))
        sched_yield();
    CHECK_STATUS(task_yield(), 0);
    CHECK(stats().jobs == 0);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), 7);
    CHECK_RECORD("7, then -125, then 0");
    return 0;
}

static int requests_that_were_taken_back_do_not_come(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *task = start(passes_and_says, &gate);

    (void)arg;
    gate_await(&gate, 1);
    CHECK(task_cancel(task));
    CHECK(task_uncancel(task) == 0);
    gate_open(&gate);
    CHECK_STATUS(task_await(task), 7);
    CHECK_RECORD("7, then 0, then 0");
    return 0;
}

static int works_twice(void *arg)
{
    int four = 4;
    int status = task_to_thread(returns, &four);

    (void)arg;
    CHECK(status == 4 || status == -ECANCELED);
    status = task_to_thread(returns, &four);
    CHECK(status == 4 || status == -ECANCELED);
    return 0;
}

static void it_may_be_cancelled_at_every_point(void **state)
{
    (void)state;
    assert_int_equal(cancel_at_every_point(works_twice, NULL, NULL), 2);
}

/* Cancels at random times: each job is done once, or not at all. */

struct attempt {
    unsigned n_done; /* by workers; atomic */
    unsigned n_told;
};

static int attempts(void *arg)
{
    __atomic_fetch_add(&((struct attempt *)arg)->n_done, 1, __ATOMIC_RELAXED);
    return 1;
}

static int attempts_in_a_thread(void *arg)
{
    struct attempt *attempt = arg;
    int status = task_to_thread(attempts, attempt);

    CHECK(status == 1 || status == -ECANCELED);
    attempt->n_told += status == 1;
    return 0;
}

static int cancel_at_random(void *arg)
{
    struct attempt attempt = {0};
    unsigned n = test_rounds(2000);

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        struct task *tasks[4];

        for (int j = 0; j < 4; j++)
            tasks[j] = start(attempts_in_a_thread, &attempt);
        for (unsigned j = 0; j < i % 3; j++)
            sched_yield();
        for (int j = 3; j >= 0; j--)
            task_cancel(tasks[j]);
        CHECK_STATUS(task_gather(tasks, 4, NULL), 0);
        CHECK(attempt.n_done == attempt.n_told);
    }
    return 0;
}

static void each_job_is_done_once_or_not_at_all(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    for (options.worker_threads = 1; options.worker_threads <= 3;
         options.worker_threads++)
        assert_int_equal(run_with(options, cancel_at_random, NULL), 0);
}

/* Time. */

static void *open_soon(void *arg)
{
    usleep(5000);
    gate_open(arg);
    return NULL;
}

static int virtual_time_stands_still_while_a_job_runs(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *sleeper = start(sleeps_long, NULL);
    pthread_t opener = thread_start(open_soon, &gate);

    (void)arg;
    CHECK_STATUS(task_to_thread(passes, &gate), 7);
    CHECK(loop_time() == 0);
    thread_join(opener);
    CHECK_STATUS(task_await(sleeper), 0);
    CHECK(loop_time() == TASK_HOUR);
    return 0;
}

static int a_job_is_no_deadlock(void *arg)
{
    struct gate gate = GATE_INIT;
    pthread_t opener = thread_start(open_soon, &gate);

    (void)arg;
    CHECK_STATUS(task_to_thread(passes, &gate), 7);
    thread_join(opener);
    return 0;
}

static struct task_timeout hurry;

static int passes_in_time(void *arg)
{
    task_timeout_begin(&hurry, TASK_FOREVER);
    record("%d", task_to_thread(passes, arg));
    return task_timeout_end(&hurry, task_sleep(TASK_SECOND));
}

/* The time is up while the job runs, where virtual time would stand still. */
static int run_late(void *arg)
{
    struct gate gate = GATE_INIT;
    struct task *task = start(passes_in_time, &gate);

    (void)arg;
    gate_await(&gate, 1);
    CHECK_STATUS(task_timeout_reschedule(&hurry, loop_time()), 0);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK(!task_done(task));
    gate_open(&gate);
    CHECK_STATUS(task_await(task), -ETIMEDOUT);
    return 0;
}

static void a_timeout_comes_after_a_job_that_runs(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, run_late, NULL), 0);
    assert_record("7");
}

static int work_in_real_time(void *arg)
{
    struct gate gate = GATE_INIT;
    pthread_t opener = thread_start(open_soon, &gate);

    (void)arg;
    CHECK_STATUS(task_to_thread(passes, &gate), 7);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    thread_join(opener);
    return 0;
}

static void the_real_loop_is_woken_by_a_job(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, work_in_real_time, NULL), 0);
}

/* A loop driven from outside. */

static void turns_are_driven_until_a_job_is_done(void **state)
{
    struct gate gate = GATE_INIT;
    struct loop *loop = test_loop_new(NULL);
    struct task *task = loop_create_task(loop, passes_in_a_thread, &gate);
    pthread_t opener = thread_start(open_soon, &gate);
    int n = 0;

    (void)state;
    while (!task_done(task)) {
        assert_int_equal(loop_run_turn(loop, 0) >= 0, 1);
        assert_true(loop_run_turn(loop, TASK_FOREVER) >= 0);
        n++;
    }
    assert_int_equal(task_status(task), 7);
    assert_true(n < 10);
    task_detach(task);
    thread_join(opener);
    test_loop_free(loop, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_function_runs_in_another_thread),
        in_main(its_value_is_passed_on),
        in_main(the_loop_goes_on_meanwhile),
        in_main(a_function_has_to_be_there),
        behaviour(outside_of_a_task_it_is_refused),
        in_main(in_a_callback_it_is_refused),
        behaviour(debug_mode_tells_of_wrong_calls),
        in_main(statistics_count_jobs),
        behaviour(so_many_run_at_once_as_the_options_say),
        behaviour(those_that_wait_come_in_the_order_of_the_calls),
        in_main(it_sees_the_locals_of_its_task_alone),
        in_main(it_cannot_call_what_needs_a_loop),
        in_main(it_may_run_a_loop_of_its_own),
        in_main(that_loop_sees_no_locals_of_who_waits_for_the_job),
        behaviour(a_worker_that_waits_for_the_loop_makes_room),
        in_main(a_cancel_waits_for_a_job_that_runs),
        behaviour(a_cancel_takes_back_a_job_that_waits),
        in_main(a_request_that_waits_comes_before_the_job),
        in_main(a_job_is_done_after_a_cancel_in_the_same_turn),
        in_main(a_cancel_comes_after_a_job_that_is_done),
        in_main(a_cancel_comes_after_the_waking_by_a_job),
        in_main(requests_that_were_taken_back_do_not_come),
        behaviour(it_may_be_cancelled_at_every_point),
        behaviour(each_job_is_done_once_or_not_at_all),
        in_main(virtual_time_stands_still_while_a_job_runs),
        in_main(a_job_is_no_deadlock),
        behaviour(a_timeout_comes_after_a_job_that_runs),
        behaviour(the_real_loop_is_woken_by_a_job),
        behaviour(turns_are_driven_until_a_job_is_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
