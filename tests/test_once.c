/* What is done once: by whom, and what a failure or a cancel changes of it. */
#include "cancel_points.h"
#include "random.h"
#include "record.h"

static struct task_once once;

static void begin(void)
{
    once = (struct task_once){0};
}

static const char *name(void)
{
    return task_name(task_current());
}

/* What is done: takes a turn, and ends with a status. */
static int does(void *arg)
{
    int *status = arg;
    int cancelled;

    record("%s begins", name());
    cancelled = task_yield();
    record("%s ends", name());
    return cancelled ? cancelled : *status;
}

static int does_not_suspend(void *arg)
{
    record("%s does", name());
    return *(int *)arg;
}

/* Runs it, and says what came of it. */
static int runs(void *arg)
{
    int status = task_once_run(&once, does, arg);

    record("%s %d", name(), status);
    return status;
}

static int runs_and_yields(void *arg)
{
    int status = task_once_run(&once, does_not_suspend, arg);
    int then = task_yield();

    record("%s %d, then %d", name(), status, then);
    return status;
}

static int seven = 7;
static int failure = -EIO;

static int it_is_done_once(void *arg)
{
    (void)arg;
    CHECK(!task_once_done(&once));
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &seven), 7);
    CHECK(task_once_done(&once));
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &seven), 7);
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &failure), 7);
    CHECK(turns_now() == 1);
    CHECK_RECORD("task-1 does");
    return 0;
}

static int those_who_come_meanwhile_wait_for_its_status(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin();
    tasks[0] = test_start(runs, &seven, "a");
    tasks[1] = test_start(runs, &failure, "b");
    tasks[2] = test_start(runs, &failure, "c");
    CHECK(!task_once_done(&once));
    CHECK(task_once_waiting(&once) == 2);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 7);
    CHECK_RECORD("a begins, a ends, a 7, b 7, c 7");
    return 0;
}

static int after_a_failure_the_first_who_waits_runs_it(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin();
    tasks[0] = test_start(runs, &failure, "a");
    tasks[1] = test_start(runs, &failure, "b");
    tasks[2] = test_start(runs, &seven, "c");
    CHECK_STATUS(task_await(tasks[0]), -EIO);
    CHECK_STATUS(task_await(tasks[1]), -EIO);
    CHECK(!task_once_done(&once));
    CHECK_STATUS(task_await(tasks[2]), 7);
    CHECK(task_once_done(&once));
    CHECK_RECORD("a begins, a ends, a -5, b begins, b ends, b -5, "
                 "c begins, c ends, c 7");
    return 0;
}

static int without_waiters_the_next_to_come_does(void *arg)
{
    (void)arg;
    begin();
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &failure), -EIO);
    CHECK(!task_once_done(&once));
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &seven), 7);
    CHECK_RECORD("task-1 does, task-1 does");
    return 0;
}

static int a_newcomer_does_not_run_it_before_one_who_waited(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin();
    tasks[0] = test_start(runs, &failure, "runner");
    tasks[1] = test_start(runs, &seven, "waiter");
    CHECK_STATUS(task_yield(), 0); /* it has failed, and passed it on */
    CHECK_RECORD("runner begins, runner ends, runner -5");
    tasks[2] = test_start(runs, &failure, "newcomer");
    CHECK(task_once_waiting(&once) == 1);
    CHECK_STATUS(task_await(tasks[0]), -EIO);
    CHECK_STATUS(task_await(tasks[1]), 7);
    CHECK_STATUS(task_await(tasks[2]), 7);
    CHECK_RECORD("waiter begins, waiter ends, waiter 7, newcomer 7");
    return 0;
}

static int a_cancelled_run_is_run_again(void *arg)
{
    struct task *runner;
    struct task *waiter;

    (void)arg;
    begin();
    runner = test_start(runs, &seven, "runner");
    waiter = test_start(runs, &seven, "waiter");
    CHECK(task_cancel(runner));
    CHECK_STATUS(task_await(runner), -ECANCELED);
    CHECK_STATUS(task_await(waiter), 7);
    CHECK_RECORD("runner begins, runner ends, runner -125, "
                 "waiter begins, waiter ends, waiter 7");
    return 0;
}

static int a_waiter_cancelled_before_it_is_next_does_not_run_it(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin();
    tasks[0] = test_start(runs, &failure, "a");
    tasks[1] = test_start(runs, &seven, "b");
    tasks[2] = test_start(runs, &seven, "c");
    CHECK(task_cancel(tasks[1]));
    CHECK_STATUS(task_await(tasks[0]), -EIO);
    CHECK_STATUS(task_await(tasks[1]), -ECANCELED);
    CHECK_STATUS(task_await(tasks[2]), 7);
    CHECK_RECORD("a begins, a ends, a -5, b -125, "
                 "c begins, c ends, c 7");
    return 0;
}

static int one_cancelled_when_it_was_next_runs_it(void *arg)
{
    struct task *runner;
    struct task *waiter;

    (void)arg;
    begin();
    runner = test_start(runs, &failure, "runner");
    waiter = test_start(runs_and_yields, &seven, "waiter");
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(runner));
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_await(runner), -EIO);
    CHECK_STATUS(task_await(waiter), 7);
    CHECK_RECORD("runner begins, runner ends, runner -5, waiter does, "
                 "waiter 7, then -125");
    return 0;
}

static int and_one_that_was_told_the_status_returns_it(void *arg)
{
    struct task *runner;
    struct task *waiter;

    (void)arg;
    begin();
    runner = test_start(runs, &seven, "runner");
    waiter = test_start(runs_and_yields, &seven, "waiter");
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_await(runner), 7);
    CHECK_STATUS(task_await(waiter), 7);
    CHECK_RECORD("runner begins, runner ends, runner 7, waiter 7, then -125");
    return 0;
}

static int a_waiting_request_is_delivered_before_it_is_run(void *arg)
{
    (void)arg;
    begin();
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &seven), -ECANCELED);
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &seven), 7);
    CHECK_RECORD("task-1 does");
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &seven), -ECANCELED);
    return 0;
}

static int runs_itself(void *arg)
{
    CHECK_STATUS(task_once_run(&once, runs_itself, arg), -EDEADLK);
    CHECK_STATUS(task_once_destroy(&once), -EBUSY);
    return 3;
}

static int who_runs_it_would_wait_for_itself(void *arg)
{
    (void)arg;
    begin();
    CHECK_STATUS(task_once_run(&once, runs_itself, NULL), 3);
    return 0;
}

static void uses_it(void *arg)
{
    CHECK_STATUS(task_once_run(&once, does_not_suspend, arg), -EPERM);
}

static int only_tasks_run_it(void *arg)
{
    (void)arg;
    begin();
    CHECK_STATUS(task_once_run(&once, NULL, NULL), -EINVAL);
    CHECK(loop_call_soon(uses_it, &seven) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(!task_once_done(&once));
    return 0;
}

static int it_begins_anew_once_destroyed(void *arg)
{
    struct task *runner;

    (void)arg;
    begin();
    runner = test_start(runs, &seven, "runner");
    CHECK_STATUS(task_once_destroy(&once), -EBUSY);
    CHECK_STATUS(task_await(runner), 7);
    CHECK_STATUS(task_once_destroy(&once), 0);
    CHECK(!task_once_done(&once));
    CHECK_STATUS(task_once_run(&once, does_not_suspend, &seven), 7);
    CHECK_RECORD("runner begins, runner ends, runner 7, task-1 does");
    return 0;
}

/* What a request does at any point. */

static int takes_two_turns(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int status = task_yield();

        if (status)
            return status;
    }
    return 0;
}

static int runs_quietly(void *arg)
{
    (void)arg;
    return task_once_run(&once, takes_two_turns, NULL);
}

/* Runs it with one task that waits behind it, or waits behind another one. */
static int is_one_of_two(void *arg)
{
    struct task *other;

    begin();
    other = task_create(runs_quietly, NULL);
    if (*(bool *)arg)
        task_yield();
    runs_quietly(NULL);
    return task_await(other);
}

static void nobody_waits(void *arg)
{
    (void)arg;
    CHECK(!task_once_waiting(&once));
    CHECK_STATUS(task_once_destroy(&once), 0);
}

static void a_cancel_at_any_point_leaves_nobody_waiting(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        bool waits = i;

        assert_true(
            cancel_at_every_point(is_one_of_two, nobody_waits, &waits) >= 2);
    }
}

/* Many tasks at random. */

enum { CROWD = 8, ROUNDS = 10 };

static struct random random_now;
static int n_running;
static int n_succeeded;

static int may_fail(void *arg)
{
    int status = 0;

    (void)arg;
    CHECK(!n_running++);
    CHECK(!n_succeeded);
    for (size_t n = random_below(&random_now, 3); n && !status; n--)
        status = task_yield();
    if (!status && random_below(&random_now, 2))
        status = -EIO;
    n_succeeded += !status;
    n_running--;
    return status;
}

static int tries_until_done(void *arg)
{
    int status;

    (void)arg;
    do
        status = task_once_run(&once, may_fail, NULL);
    while (status);
    CHECK(n_succeeded == 1);
    return 0;
}

static int it_is_done_once_whatever_fails_or_is_cancelled(void *arg)
{
    (void)arg;
    random_now.state = test_seed_now();
    for (int round = 0; round < ROUNDS; round++) {
        struct task *crowd[CROWD];

        begin();
        n_running = n_succeeded = 0;
        for (int i = 0; i < CROWD; i++)
            crowd[i] = task_create(tries_until_done, NULL);
        while (!task_once_done(&once)) {
            task_cancel(crowd[random_below(&random_now, CROWD)]);
            CHECK_STATUS(task_yield(), 0);
        }
        for (int i = 0; i < CROWD; i++)
            CHECK_STATUS(task_await(crowd[i]), 0);
        nobody_waits(NULL);
    }
    return 0;
}

/* At the end of a loop. */

static int ignores_all(void *arg)
{
    (void)arg;
    for (;;)
        task_sleep(TASK_HOUR);
    return 0;
}

/* What it leaves is to be done in a turn that does not come. */
static int gives_up_at_the_last_moment(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    loop_advance(loop_current(), TASK_HOUR);
    record("%s gives up", name());
    return -ECANCELED;
}

static int runs_this(void *fn)
{
    return task_once_run(&once, *(task_fn **)fn, NULL);
}

static int waits_whatever_comes(void *arg)
{
    int status;

    do
        status = task_once_run(&once, does_not_suspend, arg);
    while (status == -ECANCELED);
    return status;
}

static int leaves_one_that_runs_this(void *fn)
{
    begin();
    task_detach(test_start(runs_this, fn, "runner"));
    task_detach(task_create(waits_whatever_comes, &seven));
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_once_waiting(&once) == 1);
    return 0;
}

static int runs_what_was_left(void *arg)
{
    CHECK(!task_once_waiting(&once));
    CHECK_STATUS(task_once_run(&once, does_not_suspend, arg), 7);
    return 0;
}

static void check_that_it_is_run_anew_after(task_fn *fn, const char *reports)
{
    struct loop_options options = test_options(NULL);

    options.debug = true; /* no lock is said to be owned */
    options.shutdown_timeout = TASK_MINUTE;
    assert_int_equal(run_with(options, leaves_one_that_runs_this, &fn), 0);
    assert_record(reports);
    assert_int_equal(run_virtual(runs_what_was_left, &seven), 0);
    assert_record("task-1 does");

    assert_int_equal(run_with(options, leaves_one_that_runs_this, &fn), 0);
    record_clear();
    assert_false(task_once_done(&once));
    assert_int_equal(task_once_destroy(&once), 0);
}

static void one_whose_runner_is_dropped_is_left_to_the_next_loop(void **state)
{
    (void)state;
    check_that_it_is_run_anew_after(
        ignores_all, "shutdown(runner, -110), shutdown(task-3, -110)");
}

static void so_is_one_whose_next_runner_is_dropped(void **state)
{
    (void)state;
    check_that_it_is_run_anew_after(gives_up_at_the_last_moment,
                                    "runner gives up, shutdown(task-3, -110)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(it_is_done_once),
        in_main(those_who_come_meanwhile_wait_for_its_status),
        in_main(after_a_failure_the_first_who_waits_runs_it),
        in_main(without_waiters_the_next_to_come_does),
        in_main(a_newcomer_does_not_run_it_before_one_who_waited),
        in_main(a_cancelled_run_is_run_again),
        in_main(a_waiter_cancelled_before_it_is_next_does_not_run_it),
        in_main(one_cancelled_when_it_was_next_runs_it),
        in_main(and_one_that_was_told_the_status_returns_it),
        in_main(a_waiting_request_is_delivered_before_it_is_run),
        in_main(who_runs_it_would_wait_for_itself),
        in_main(only_tasks_run_it),
        in_main(it_begins_anew_once_destroyed),
        behaviour(a_cancel_at_any_point_leaves_nobody_waiting),
        in_main_seeded(it_is_done_once_whatever_fails_or_is_cancelled),
        behaviour(one_whose_runner_is_dropped_is_left_to_the_next_loop),
        behaviour(so_is_one_whose_next_runner_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
