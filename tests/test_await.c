/* task_await_for and task_shield; task_await has its tests in test_task. */
#include "bodies.h"
#include "moment.h"
#include "record.h"
#include "scheduler.h"

/* Bodies. */

static int sleeps_into_seven(void *arg)
{
    int status = task_sleep(TASK_SECOND);

    (void)arg;
    return status ? status : 7;
}

static int sleeps_into_failure(void *arg)
{
    int status = task_sleep(TASK_SECOND);

    (void)arg;
    return status ? status : -EIO;
}

/* Goes on after the first request. */
static int is_stubborn(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return task_sleep(TASK_HOUR);
}

static int awaits_for_a_minute(void *arg)
{
    int status = task_await_for(arg, TASK_MINUTE);
    int next = task_yield();

    record("%d then %d", status, next);
    return 0;
}

static int shields(void *arg)
{
    int status = task_shield(arg);
    int next = task_yield();

    record("%d then %d", status, next);
    return 0;
}

/* For some time. */

static int a_task_that_ends_in_time_gives_its_status(void *arg)
{
    (void)arg;
    CHECK_STATUS(
        task_await_for(task_create(sleeps_into_seven, NULL), TASK_MINUTE), 7);
    CHECK(loop_time() == TASK_SECOND);
    CHECK(stats().timers == 0); /* at once */
    CHECK_STATUS(
        task_await_for(task_create(sleeps_into_failure, NULL), TASK_MINUTE),
        -EIO);
    CHECK(stats().timers == 0);
    return 0;
}

static int without_a_limit_it_is_an_await(void *arg)
{
    struct task *task = start(sleeps_into_seven, NULL);
    struct task *caller;

    (void)arg;
    CHECK_STATUS(task_await_for(task, TASK_FOREVER), 7);
    task = start(sleeps, NULL);
    caller = start(awaits_for_a_minute, task);
    CHECK(stats().timers == 2);
    CHECK(task_cancel(caller));
    CHECK(stats().timers == 1); /* the limit stays until the end */
    CHECK_STATUS(task_await(caller), 0);
    CHECK(stats().timers == 0);
    CHECK_RECORD("-125 then 0");
    return 0;
}

static int a_task_that_is_late_is_cancelled_and_has_ended(void *arg)
{
    struct task *task = task_retain(task_create(cleans_up, NULL));

    (void)arg;
    CHECK_STATUS(task_await_for(task, TASK_MINUTE), -ETIMEDOUT);
    CHECK(loop_time() == TASK_MINUTE + TASK_SECOND);
    CHECK_RECORD("clean up, clean");
    CHECK_STATUS(task_status(task), -ECANCELED);
    CHECK(task_cancelling(task) == 1);
    CHECK(task_cancelling(task_current()) == 0);
    CHECK_STATUS(task_yield(), 0);
    task_detach(task);
    return 0;
}

static int no_time_cancels_at_once_what_runs(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_await_for(start(cleans_up, NULL), 0), -ETIMEDOUT);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("clean up, clean");
    CHECK_STATUS(task_await_for(start(sleeps, NULL), -1), -ETIMEDOUT);
    CHECK_STATUS(task_await_for(start(sleeps, NULL), INT64_MIN), -ETIMEDOUT);
    CHECK_STATUS(task_await_for(start(swallows, NULL), 0), 7);
    CHECK_STATUS(task_await_for(task_create(sleeps, NULL), 0), -ETIMEDOUT);
    CHECK_STATUS(task_await_for(task_future_create(), 0), -ETIMEDOUT);
    CHECK(loop_time() == TASK_SECOND);
    return 0;
}

static int no_time_is_enough_for_what_is_done(void *arg)
{
    uint64_t turn = turns_now();

    (void)arg;
    CHECK_STATUS(task_await_for(done(3), 0), 3);
    CHECK_STATUS(task_await_for(done(-EIO), TASK_SECOND), -EIO);
    task_cancel(task_current());
    CHECK_STATUS(task_await_for(done(4), -1), 4); /* and no cancel point */
    CHECK(turns_now() == turn);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

static int what_a_late_task_makes_of_it_is_returned(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_await_for(task_create(swallows, NULL), 1), 7);
    CHECK_STATUS(task_await_for(task_create(fails_when_cancelled, NULL), 1),
                 -EIO);
    CHECK(loop_time() == 2);
    return 0;
}

static int one_that_somebody_else_cancels_is_not_late(void *arg)
{
    struct task *task = start(sleeps, NULL);

    (void)arg;
    CHECK(loop_call_later(1, cancel_it, task) > 0);
    CHECK_STATUS(task_await_for(task, TASK_MINUTE), -ECANCELED);
    CHECK(task_cancelling(task_current()) == 0);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int who_is_done_when_its_time_is_up_is_not_late(void *arg)
{
    struct task *task = start(sleeps_into_seven, NULL);

    (void)arg;
    /* It wakes before the time is up at the same moment, and ends after it. */
    CHECK_STATUS(task_await_for(task, TASK_SECOND), 7);
    /* The other way round. */
    CHECK_STATUS(
        task_await_for(task_create(sleeps_into_seven, NULL), TASK_SECOND),
        -ETIMEDOUT);
    CHECK(loop_time() == 2 * TASK_SECOND);
    return 0;
}

static int awaits_future_for_a_second(void *arg)
{
    struct task **futures = arg;
    int status = task_await_for(futures[0], TASK_SECOND);
    int next = task_yield();

    record("%d then %d", status, next);
    task_detach(futures[1]);
    return 0;
}

static int what_comes_first_at_one_moment_counts(void *arg)
{
    (void)arg;
    moment_run("ATX", awaits_future_for_a_second);
    moment_run("AXT", awaits_future_for_a_second);
    moment_run("TAX", awaits_future_for_a_second);
    moment_run("TXA", awaits_future_for_a_second);
    CHECK_RECORD("1 then -125, 1 then -125, -110 then -125, -110 then -125");
    moment_run("XAT", awaits_future_for_a_second);
    moment_run("XTA", awaits_future_for_a_second);
    CHECK_RECORD("-125 then 0, -125 then 0");
    moment_run("AT", awaits_future_for_a_second);
    moment_run("TA", awaits_future_for_a_second);
    moment_run("FT", awaits_future_for_a_second);
    moment_run("FTX", awaits_future_for_a_second);
    CHECK_RECORD("1 then 0, -110 then 0, -5 then 0, -5 then -125");
    return 0;
}

static int awaits_task_for_a_second(void *arg)
{
    struct task **futures = arg;

    task_detach(futures[0]);
    futures[0] = task_create(cleans_up, NULL);
    return awaits_future_for_a_second(arg);
}

static int
a_request_during_the_clean_up_counts_for_more_than_the_limit(void *arg)
{
    (void)arg;
    moment_run("TX", awaits_task_for_a_second);
    moment_run("XT", awaits_task_for_a_second);
    CHECK_RECORD("clean up, clean, -125 then 0, clean up, clean, -125 then 0");
    return 0;
}

/* For some time, cancelled. */

static int a_cancel_is_passed_on_and_the_end_awaited(void *arg)
{
    struct task *task = task_retain(start(cleans_up, NULL));
    struct task *caller = start(awaits_for_a_minute, task);

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK(task_cancelling(caller) == 1 && task_cancelling(task) == 1);
    CHECK_STATUS(task_await(caller), 0);
    CHECK(loop_time() == TASK_SECOND);
    CHECK(task_done(task));
    CHECK_RECORD("clean up, clean, -125 then 0");
    task_detach(task);
    return 0;
}

static int a_cancel_that_is_swallowed_does_not_come_again(void *arg)
{
    struct task *caller = start(awaits_for_a_minute, start(swallows, NULL));

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK(task_cancelling(caller) == 1);
    CHECK_STATUS(task_await(caller), 0);
    CHECK_RECORD("7 then 0");
    return 0;
}

static int the_limit_holds_also_if_a_cancel_was_swallowed(void *arg)
{
    struct task *task = task_retain(start(is_stubborn, NULL));
    struct task *caller = start(awaits_for_a_minute, task);

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), 0);
    CHECK(loop_time() == TASK_MINUTE);
    CHECK(task_cancelling(task) == 2);
    CHECK_RECORD("-125 then 0");
    task_detach(task);
    return 0;
}

static int await_asked(struct task *task, task_time timeout)
{
    task_cancel(task_current());
    return task_await_for(task, timeout);
}

static int a_request_on_entry_is_passed_on(void *arg)
{
    (void)arg;
    CHECK_STATUS(await_asked(start(cleans_up, NULL), TASK_MINUTE), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("clean up, clean");
    CHECK_STATUS(await_asked(start(swallows, NULL), TASK_MINUTE), 7);
    CHECK_STATUS(await_asked(start(sleeps, NULL), 0), -ECANCELED);
    CHECK_STATUS(await_asked(task_future_create(), 0), -ECANCELED);
    CHECK_STATUS(await_asked(task_future_create(), TASK_FOREVER), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* Shields. */

static int a_shield_gives_the_status_and_leaves_the_handle(void *arg)
{
    struct task *task = task_create(sleeps_into_failure, NULL);
    uint64_t turn;

    (void)arg;
    CHECK_STATUS(task_shield(task), -EIO);
    CHECK(loop_time() == TASK_SECOND);
    CHECK(is_left_alone(task));
    turn = turns_now();
    CHECK_STATUS(task_shield(task), -EIO); /* as often as one likes */
    CHECK(turns_now() == turn);
    task_detach(task); /* and it was read */
    task = task_create(sleeps_into_seven, NULL);
    CHECK_STATUS(task_shield(task), 7);
    CHECK_STATUS(task_await(task), 7);
    return 0;
}

static int a_shield_of_what_is_done_reads_it(void *arg)
{
    struct task *task = done(-EIO);

    (void)arg;
    CHECK_STATUS(task_shield(task), -EIO);
    task_detach(task);
    return 0;
}

static int a_cancel_ends_the_shield_at_once_and_the_task_goes_on(void *arg)
{
    struct task *task = start(sleeps_into_seven, NULL);
    struct task *caller = start(shields, task);

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), 0);
    CHECK(loop_time() == 0);
    CHECK_RECORD("-125 then 0");
    CHECK(is_left_alone(task));
    CHECK_STATUS(task_await(task), 7);
    return 0;
}

static int a_cancelled_shield_reads_nothing(void *arg)
{
    struct task *task = start(sleeps_into_failure, NULL);
    struct task *caller = start(shields, task);

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), 0);
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0);
    task_detach(task);
    CHECK_RECORD("-125 then 0, unawaited(task-2, -5)");
    return 0;
}

static int retries(void *arg)
{
    int status;

    do {
        status = task_shield(arg);
        record("%d", status);
    } while (status == -ECANCELED);
    return status;
}

static int who_tries_again_gets_the_status_in_the_end(void *arg)
{
    struct task *task = start(sleeps_into_seven, NULL);
    struct task *caller = start(retries, task);

    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK(task_cancel(caller));
        CHECK_STATUS(task_yield(), 0);
    }
    CHECK_STATUS(task_await(caller), 7);
    CHECK_RECORD("-125, -125, -125, 7");
    CHECK(is_left_alone(task));
    task_detach(task);
    return 0;
}

static int shields_future(void *arg)
{
    struct task **futures = arg;
    int status = task_shield(futures[0]);
    int next = task_yield();

    record("%d then %d", status, next);
    CHECK(list_empty(&futures[0]->watchers));
    task_detach(futures[0]);
    task_detach(futures[1]);
    return 0;
}

static int an_end_and_a_request_at_one_moment(void *arg)
{
    (void)arg;
    moment_run("AX", shields_future);
    moment_run("XA", shields_future);
    moment_run("FX", shields_future);
    CHECK_RECORD("1 then -125, -125 then 0, -5 then -125");
    moment_run("XF", shields_future); /* the failure was not read */
    CHECK_RECORD("-125 then 0, unawaited(task-11, -5)");
    return 0;
}

static int a_request_on_entry_comes_first(void *arg)
{
    struct task *future = done(3);

    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_shield(future), -ECANCELED);
    CHECK_STATUS(task_shield(future), 3);
    task_detach(future);
    future = task_future_create();
    task_cancel(task_current());
    CHECK_STATUS(task_shield(future), -ECANCELED);
    CHECK(is_left_alone(future));
    task_detach(future);
    return 0;
}

static int several_may_shield_the_same(void *arg)
{
    struct task *future = task_future_create();
    struct task *callers[] = {start(shields, future), start(shields, future)};

    (void)arg;
    CHECK(task_cancel(callers[0]));
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_gather(callers, 2, NULL), 0);
    CHECK_RECORD("-125 then 0, 3 then 0");
    task_detach(future);
    return 0;
}

static int a_cancel_of_what_is_shielded_is_its_status(void *arg)
{
    struct task *task = start(sleeps, NULL);
    struct task *caller = task_retain(start(shields, task));

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(caller), 0);
    CHECK(task_cancelling(caller) == 0);
    CHECK_RECORD("-125 then 0");
    task_detach(caller);
    CHECK_STATUS(task_await(task), -ECANCELED);
    return 0;
}

static int a_handle_that_ends_meanwhile_does_no_harm(void *arg)
{
    struct task *task = task_create(sleeps_into_failure, NULL);

    (void)arg;
    task_detach(task_create(detaches, task));
    CHECK_STATUS(task_shield(task), -EIO);
    task = task_create(sleeps_into_seven, NULL);
    task_detach(task_create(detaches, task));
    CHECK_STATUS(task_await_for(task, TASK_MINUTE), 7);
    return 0;
}

static int
awaiting_for_some_time_ends_the_handle_and_reads_the_status(void *arg)
{
    struct task *task = task_retain(task_create(sleeps_into_failure, NULL));

    (void)arg;
    CHECK_STATUS(task_await_for(task, TASK_MINUTE), -EIO);
    CHECK(is_left_alone(task));
    task_detach(task);
    return 0;
}

/* Misuse. */

static int both_refuse(struct task *task, int error)
{
    CHECK_STATUS(task_await_for(task, TASK_SECOND), error);
    CHECK_STATUS(task_await_for(task, 0), error);
    CHECK_STATUS(task_shield(task), error);
    return 0;
}

static int no_task_is_out_of_memory(void *arg)
{
    (void)arg;
    return both_refuse(NULL, -ENOMEM);
}

static int oneself_is_refused(void *arg)
{
    struct task *self = task_retain(task_current());

    (void)arg;
    both_refuse(self, -EDEADLK);
    CHECK(task_cancelling(self) == 0);
    task_detach(self);
    return 0;
}

static int waits_for_foreign(void *arg)
{
    return both_refuse(arg, -EINVAL);
}

static void another_loops_task_is_refused(void **state)
{
    (void)state;
    run_with_foreign(waits_for_foreign);
}

static int waits_for_foreign_that_is_done(void *arg)
{
    both_refuse(arg, -EINVAL);
    CHECK(task_done(arg));
    CHECK_STATUS(task_status(arg), 7);
    return 0;
}

static void another_loops_task_is_refused_when_it_is_done_too(void **state)
{
    int seven = 7;
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *foreign = loop_create_task(loop, returns, &seven);

    (void)state;
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_int_equal(run_virtual(waits_for_foreign_that_is_done, foreign), 0);
    task_detach(foreign);
    test_loop_free(loop, &count);
}

static void wait_in_callback(void *arg)
{
    both_refuse(arg, -EPERM);
    both_refuse(NULL, -EPERM);
    CHECK(is_left_alone(arg));
    record("refused");
}

static int outside_a_task_they_are_refused(void *arg)
{
    struct task *task = start(sleeps, NULL);

    (void)arg;
    CHECK(loop_call_soon(wait_in_callback, task) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("refused");
    CHECK_STATUS(task_await(task), 0);
    return 0;
}

static struct memory_count memory;

static int waits_again_and_again(void *arg)
{
    struct task *task = start(swallows, NULL);
    struct task *caller;
    struct memory_count before;

    (void)arg;
    caller = start(retries, task);
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_yield(), 0);
    record_clear();
    before = memory;
    for (unsigned i = 0; i < test_rounds(100000); i++) {
        CHECK(task_cancel(caller));
        CHECK_STATUS(task_yield(), 0);
        record_clear();
    }
    CHECK(memory.allocations == before.allocations);
    CHECK(task->watchers.first && task->watchers.first == task->watchers.last);
    CHECK_STATUS(task_await_for(task, 0), 7);
    CHECK_STATUS(task_await(caller), 7);
    record_clear();
    return 0;
}

static void waiting_again_and_again_leaves_nothing_behind(void **state)
{
    struct loop *loop;

    (void)state;
    memory = (struct memory_count){0};
    loop = test_loop_new(&memory);
    assert_int_equal(loop_run_main(loop, waits_again_and_again, NULL), 0);
    test_loop_free(loop, &memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_task_that_ends_in_time_gives_its_status),
        in_main(without_a_limit_it_is_an_await),
        in_main(a_task_that_is_late_is_cancelled_and_has_ended),
        in_main(no_time_cancels_at_once_what_runs),
        in_main(no_time_is_enough_for_what_is_done),
        in_main(what_a_late_task_makes_of_it_is_returned),
        in_main(one_that_somebody_else_cancels_is_not_late),
        in_main(who_is_done_when_its_time_is_up_is_not_late),
        in_main(what_comes_first_at_one_moment_counts),
        in_main(a_request_during_the_clean_up_counts_for_more_than_the_limit),
        in_main(a_cancel_is_passed_on_and_the_end_awaited),
        in_main(a_cancel_that_is_swallowed_does_not_come_again),
        in_main(the_limit_holds_also_if_a_cancel_was_swallowed),
        in_main(a_request_on_entry_is_passed_on),
        in_main(a_shield_gives_the_status_and_leaves_the_handle),
        in_main(a_shield_of_what_is_done_reads_it),
        in_main(a_cancel_ends_the_shield_at_once_and_the_task_goes_on),
        in_main(a_cancelled_shield_reads_nothing),
        in_main(who_tries_again_gets_the_status_in_the_end),
        in_main(an_end_and_a_request_at_one_moment),
        in_main(a_request_on_entry_comes_first),
        in_main(several_may_shield_the_same),
        in_main(a_cancel_of_what_is_shielded_is_its_status),
        in_main(a_handle_that_ends_meanwhile_does_no_harm),
        in_main(awaiting_for_some_time_ends_the_handle_and_reads_the_status),
        in_main(no_task_is_out_of_memory),
        in_main(oneself_is_refused),
        behaviour(another_loops_task_is_refused),
        behaviour(another_loops_task_is_refused_when_it_is_done_too),
        in_main(outside_a_task_they_are_refused),
        behaviour(waiting_again_and_again_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
