/* Cancellation: of each way of waiting, in every order with what it races. */
#include "base.h"
#include "bodies.h"
#include "random.h"
#include "record.h"

#include <limits.h>
#include <stdlib.h>

/* Bodies: each says what its suspending calls return. */

static int says_sleep(const char *name, task_time delay)
{
    int status = task_sleep(delay);

    record("%s %d", name, status);
    return status;
}

static int sleeps_twice(void *arg)
{
    int status = says_sleep(arg, TASK_SECOND);

    says_sleep(arg, TASK_SECOND);
    return status;
}

/* Awaits; then says what it got, and what a yield after it returns. */
static int awaits_and_yields(void *arg)
{
    int status = task_await(arg);
    int then = task_yield();

    record("await %d, then %d", status, then);
    CHECK_STATUS(task_yield(), 0);
    return status;
}

static int yields_n(void *arg)
{
    for (int i = *(int *)arg; i; i--)
        CHECK_STATUS(task_yield(), 0);
    return 7;
}

/* Every way of waiting. */

static int waits_in_sleep_until(void *arg)
{
    (void)arg;
    return task_sleep_until(TASK_HOUR);
}

static int waits_in_yield(void *arg)
{
    int status = 0;

    (void)arg;
    for (int i = 0; i < 1000 && !status; i++)
        status = task_yield();
    return status;
}

static int waits_in_await(void *arg)
{
    (void)arg;
    return task_await(task_create(sleeps_long, NULL));
}

static int waits_in_cancel_await(void *arg)
{
    struct task *task = start(cleans_up, NULL);

    (void)arg;
    return task_cancel_await(task);
}

static int a_request_ends_each_way_of_waiting(void *arg)
{
    static task_fn *const ways[] = {sleeps_long,          sleeps_for_ever,
                                    waits_in_sleep_until, waits_in_yield,
                                    waits_in_await,       awaits_a_future};

    (void)arg;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct task *task = start(ways[i], NULL);

        CHECK_STATUS(task_yield(), 0);
        CHECK(!task_done(task));
        CHECK(task_cancel(task));
        CHECK(!task_done(task)); /* only asked */
        CHECK(task_cancelling(task) == 1);
        CHECK_STATUS(task_await(task), -ECANCELED);
        CHECK(loop_time() == 0);
    }
    return 0;
}

static int watches_all_others(void *arg)
{
    (void)arg;
    return task_wait_all_blocked();
}

static int a_request_ends_waiting_for_all_others(void *arg)
{
    struct task *task = start(watches_all_others, NULL);

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
    return 0;
}

static int a_cancelled_sleep_leaves_no_timer(void *arg)
{
    struct task *task = start(sleeps_long, NULL);

    (void)arg;
    CHECK(stats().timers == 1);
    CHECK(task_cancel(task));
    CHECK(stats().timers == 0); /* at once */
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_STATUS(task_sleep(2 * TASK_HOUR), 0);
    CHECK(loop_time() == 2 * TASK_HOUR);
    return 0;
}

static int cancel_never_runs_the_task(void *arg)
{
    struct task *task = start(sleeps_twice, text("task"));

    (void)arg;
    CHECK(task_cancel(task));
    record("asked");
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("asked, task -125, task 0");
    return 0;
}

static int a_request_is_delivered_once(void *arg)
{
    struct task *task = start(sleeps_twice, text("task"));

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND); /* the second sleep was whole */
    CHECK_RECORD("task -125, task 0");
    return 0;
}

static int two_requests_before_delivery_are_delivered_as_one(void *arg)
{
    struct task *parked = start(sleeps_twice, text("parked"));
    struct task *fresh = task_create(sleeps_twice, text("new"));

    (void)arg;
    CHECK(task_cancel(parked));
    CHECK(task_cancel(parked));
    CHECK(task_cancel(fresh));
    CHECK(task_cancel(fresh));
    CHECK(task_cancelling(parked) == 2);
    CHECK(task_cancelling(fresh) == 2);
    CHECK_STATUS(task_await(parked), -ECANCELED);
    CHECK_STATUS(task_await(fresh), -ECANCELED);
    CHECK_RECORD("new -125, parked -125, new 0, parked 0");
    return 0;
}

static int a_request_after_delivery_is_delivered_again(void *arg)
{
    struct task *task = start(sleeps_twice, text("task"));

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("task -125, task -125");
    return 0;
}

static int awaits_two_ways_down(void *arg)
{
    struct task *ways[] = {task_create(awaits, task_retain(arg)),
                           task_create(awaits, task_retain(arg))};

    return task_gather(ways, 2, NULL);
}

static int a_request_comes_once_by_whatever_ways(void *arg)
{
    struct task *sleeper = start(sleeps_twice, text("sleeper"));
    struct task *above = start(awaits_two_ways_down, sleeper);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(above));
    CHECK(task_cancelling(sleeper) == 1);
    CHECK_STATUS(task_await(above), -ECANCELED);
    CHECK_STATUS(task_await(sleeper), -ECANCELED);
    CHECK_RECORD("sleeper -125, sleeper 0");
    return 0;
}

/* Before the first step. */

static int a_task_cancelled_before_its_first_step_still_runs(void *arg)
{
    struct task *task = task_create(sleeps_twice, text("task"));

    (void)arg;
    CHECK(task_cancel(task));
    CHECK(!task_done(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("task -125, task 0");
    return 0;
}

static int a_task_cancelled_before_its_first_step_may_just_return(void *arg)
{
    int seven = 7;
    struct task *task = task_create(returns, &seven);

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_STATUS(task_yield(), 0);
    CHECK(!task_cancelled(task));
    CHECK_STATUS(task_await(task), 7);
    return 0;
}

static void a_task_may_be_cancelled_before_the_loop_runs(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *task = loop_create_task(loop, sleeps_twice, text("early"));

    (void)state;
    assert_true(task_cancel(task));
    assert_int_equal(loop_run_main(loop, awaits, task), -ECANCELED);
    assert_record("early -125, early 0");
    test_loop_free(loop, &count);
}

static int leaves_a_sleeper(void *arg)
{
    *(struct task **)arg = task_create(sleeps_twice, text("sleeper"));
    return task_yield();
}

static void a_task_may_be_cancelled_between_two_runs(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *task = NULL;

    (void)state;
    assert_int_equal(loop_run_main(loop, leaves_a_sleeper, &task), 0);
    assert_true(task_cancel(task));
    assert_record("");
    assert_int_equal(loop_run_main(loop, awaits, task), -ECANCELED);
    assert_record("sleeper -125, sleeper 0");
    test_loop_free(loop, &count);
}

/* Itself, and while it yields. */

static int a_task_that_cancels_itself_hears_at_its_next_call(void *arg)
{
    uint64_t turn = turns_now();

    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK(task_cancelling(task_current()) == 1);
    CHECK_STATUS(task_sleep(TASK_SECOND), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_sleep(-1), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_sleep_until(0), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_sleep_until(TASK_FOREVER), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_wait_all_blocked(), -ECANCELED);
    CHECK(turns_now() == turn); /* none of these has suspended */
    CHECK(stats().timers == 0);
    CHECK(task_cancelling(task_current()) == 6);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return 0;
}

static int cancels_itself_and_returns(void *arg)
{
    CHECK(task_cancel(task_current()));
    return *(int *)arg;
}

static int a_request_that_meets_no_call_is_lost(void *arg)
{
    int seven = 7;
    struct task *task = task_create(cancels_itself_and_returns, &seven);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK(!task_cancelled(task));
    CHECK(task_cancelling(task) == 1);
    CHECK_STATUS(task_await(task), 7);
    return 0;
}

static int yields_and_says(void *arg)
{
    int first = task_yield();
    int second = task_yield();

    (void)arg;
    record("%d, then %d", first, second);
    return first;
}

static int a_task_in_yield_was_granted_nothing(void *arg)
{
    struct task *task = start(yields_and_says, NULL);

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("-125, then 0");
    return 0;
}

static int sleeps_for_zero_and_says(void *arg)
{
    int first = task_sleep(0);
    int second = task_sleep_until(0);
    int third = task_sleep(-TASK_SECOND);

    (void)arg;
    record("%d, then %d, then %d", first, second, third);
    return first;
}

static int a_task_that_sleeps_for_zero_was_granted_nothing(void *arg)
{
    struct task *task = start(sleeps_for_zero_and_says, NULL);

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("-125, then 0, then 0");
    return 0;
}

/* Against completion, in both orders. */

struct race {
    struct task *future;
    struct task *waiter;
    int status;
};

static void complete_then_cancel(void *arg)
{
    struct race *race = arg;

    CHECK_STATUS(task_future_complete(race->future, race->status), 0);
    CHECK(task_cancel(race->waiter));
}

static void cancel_then_complete(void *arg)
{
    struct race *race = arg;

    CHECK(task_cancel(race->waiter));
    CHECK_STATUS(task_future_complete(race->future, race->status), -EALREADY);
}

static int calls_it(void *arg)
{
    loop_fn **fn = *(void **)arg;
    struct race *race = ((void **)arg)[1];

    (*fn)(race);
    return 0;
}

/* One race, held by a callback and by a third task. */
static void hold_race(loop_fn *fn, int status)
{
    for (int by_task = 0; by_task < 2; by_task++) {
        struct race race = {.future = task_future_create(), .status = status};
        void *call[] = {&fn, &race};

        race.waiter = start(awaits_and_yields, task_retain(race.future));
        if (by_task)
            CHECK_STATUS(task_await(task_create(calls_it, call)), 0);
        else
            CHECK(loop_call_soon(fn, &race) > 0);
        task_await(race.waiter);
        task_detach(race.future);
    }
}

static int a_result_granted_before_the_request_is_delivered(void *arg)
{
    (void)arg;
    hold_race(complete_then_cancel, 5);
    CHECK_RECORD("await 5, then -125, await 5, then -125");
    hold_race(complete_then_cancel, 0);
    CHECK_RECORD("await 0, then -125, await 0, then -125");
    return 0;
}

static int a_failure_granted_before_the_request_is_delivered(void *arg)
{
    (void)arg;
    hold_race(complete_then_cancel, -EIO);
    CHECK_RECORD("await -5, then -125, await -5, then -125");
    return 0;
}

static int a_granted_ecanceled_is_no_request(void *arg)
{
    (void)arg;
    hold_race(complete_then_cancel, -ECANCELED);
    CHECK_RECORD("await -125, then -125, await -125, then -125");
    return 0;
}

static int a_request_before_the_result_cancels_the_future(void *arg)
{
    (void)arg;
    hold_race(cancel_then_complete, 5);
    CHECK_RECORD("await -125, then 0, await -125, then 0");
    return 0;
}

/* Against the end of an awaited task. */

static int a_task_that_ended_before_the_request_gives_its_status(void *arg)
{
    int one = 1;
    struct task *inner = task_create(yields_n, &one);
    struct task *outer = start(awaits_and_yields, inner);

    /* Here inner stands in the queue before us, and ends in this turn. */
    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(inner));
    CHECK(!task_done(outer));
    CHECK(task_cancel(outer));
    CHECK(task_cancelling(inner) == 0);
    CHECK_STATUS(task_await(outer), 7);
    CHECK_RECORD("await 7, then -125");
    return 0;
}

static int sleeps_and_returns_seven(void *arg)
{
    int status = task_sleep_until(TASK_SECOND);

    record("inner %d", status);
    (void)arg;
    return 7;
}

static int a_request_to_a_task_about_to_end_is_used_up(void *arg)
{
    struct task *inner;
    struct task *outer;

    /* Our timer is the first: we run before inner, which is granted already. */
    (void)arg;
    inner = task_create(sleeps_and_returns_seven, NULL);
    outer = task_create(awaits_and_yields, task_retain(inner));
    CHECK_STATUS(task_sleep_until(TASK_SECOND), 0);
    CHECK(task_cancel(outer));
    CHECK(task_cancelling(inner) == 1);
    CHECK_STATUS(task_await(outer), 7);
    CHECK_STATUS(task_await(inner), 7);
    CHECK_RECORD("inner 0, await 7, then 0");
    return 0;
}

/* Against the clock. */

static int sleeps_until_one(void *arg)
{
    int first = task_sleep_until(TASK_SECOND);
    int second = task_yield();

    (void)arg;
    record("sleep %d, then %d at %lld", first, second,
           (long long)loop_time() / 1000000);
    return first;
}

static int a_deadline_that_has_woken_the_task_is_granted(void *arg)
{
    struct task *sleeper = task_create(sleeps_until_one, NULL);

    /* Our timer is set first: we run first. */
    (void)arg;
    CHECK_STATUS(task_sleep_until(TASK_SECOND), 0);
    CHECK(!task_done(sleeper));
    CHECK(task_cancel(sleeper));
    CHECK_STATUS(task_await(sleeper), 0);
    CHECK_RECORD("sleep 0, then -125 at 1000");
    return 0;
}

static int
a_timer_that_fires_in_the_same_look_is_granted_in_any_order(void *arg)
{
    struct task *sleeper;

    (void)arg;
    sleeper = start(sleeps_until_one, NULL);
    CHECK(loop_call_at(TASK_SECOND, cancel_it, sleeper) > 0);
    CHECK_STATUS(task_await(sleeper), 0);
    CHECK_RECORD("sleep 0, then -125 at 1000");
    return 0;
}

static int sleeps_past_one(void *arg)
{
    int first = task_sleep_until(TASK_SECOND + 1);
    int second = task_yield();

    (void)arg;
    record("sleep %d, then %d", first, second);
    return first;
}

static int a_request_one_nanosecond_before_the_deadline_wins(void *arg)
{
    struct task *sleeper = start(sleeps_past_one, NULL);

    (void)arg;
    CHECK(loop_call_at(TASK_SECOND, cancel_it, sleeper) > 0);
    CHECK_STATUS(task_await(sleeper), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("sleep -125, then 0");
    return 0;
}

static int a_deadline_that_passed_unnoticed_has_granted_nothing(void *arg)
{
    struct task *sleeper = start(sleeps_until_one, NULL);

    (void)arg;
    loop_advance(loop_current(), TASK_HOUR);
    CHECK(task_cancel(sleeper));
    CHECK_STATUS(task_await(sleeper), -ECANCELED);
    CHECK_RECORD("sleep -125, then 0 at 3600000");
    return 0;
}

static int counts_its_wakes(void *arg)
{
    int *n = arg;

    (void)task_sleep(TASK_SECOND);
    ++*n;
    (void)task_sleep_until(TASK_HOUR);
    ++*n;
    (void)task_sleep_until(2 * TASK_HOUR);
    ++*n;
    return 0;
}

static int a_task_in_the_ready_batch_is_resumed_once(void *arg)
{
    int n = 0;
    struct task *task = start(counts_its_wakes, &n);

    (void)arg;
    CHECK(task_cancel(task));
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK(n == 1);
    CHECK_STATUS(task_sleep_until(TASK_HOUR), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(n == 2);
    return task_await(task);
}

/* Requests that are there on entry. */

static int awaits_with_a_request(void *arg)
{
    uint64_t turn = turns_now();
    int status;

    CHECK(task_cancel(task_current()));
    status = task_await(arg);
    record("await %d in %s turn", status,
           turns_now() == turn ? "the same" : "a later");
    record("then %d", task_yield());
    return status;
}

static int a_request_on_entry_of_await_is_passed_on(void *arg)
{
    struct task *inner = start(cleans_up, NULL);
    struct task *fresh;

    (void)arg;
    CHECK_STATUS(task_await(task_create(awaits_with_a_request, inner)),
                 -ECANCELED);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("clean up, clean, await -125 in a later turn, then 0");
    fresh = start(swallows, NULL);
    CHECK_STATUS(task_await(task_create(awaits_with_a_request, fresh)), 7);
    CHECK_RECORD("await 7 in a later turn, then 0");
    return 0;
}

static int creates_and_awaits_with_a_request(void *arg)
{
    (void)arg;
    return awaits_with_a_request(task_create(sleeps_twice, text("inner")));
}

static int
a_request_on_entry_reaches_an_inner_task_that_has_not_begun(void *arg)
{
    (void)arg;
    CHECK_STATUS(
        task_await(task_create(creates_and_awaits_with_a_request, NULL)),
        -ECANCELED);
    CHECK_RECORD("inner -125, inner 0, await -125 in a later turn, then 0");
    return 0;
}

static int a_request_on_entry_cancels_a_future(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(
        task_await(task_create(awaits_with_a_request, task_retain(future))),
        -ECANCELED);
    CHECK(task_cancelled(future));
    CHECK_RECORD("await -125 in the same turn, then 0");
    task_detach(future);
    return 0;
}

static int a_done_task_is_awaited_and_the_request_comes_next(void *arg)
{
    int seven = 7;
    struct task *inner = start(returns, &seven);

    (void)arg;
    CHECK(task_done(inner));
    CHECK_STATUS(task_await(task_create(awaits_with_a_request, inner)), 7);
    CHECK_RECORD("await 7 in the same turn, then -125");
    return 0;
}

static int cancel_awaits_with_a_request(void *arg)
{
    int status;

    CHECK(task_cancel(task_current()));
    status = task_cancel_await(arg);
    record("%d, then %d", status, task_yield());
    return status;
}

static int cancel_await_of_a_done_task_leaves_the_request(void *arg)
{
    int seven = 7;
    struct task *inner = start(returns, &seven);

    (void)arg;
    CHECK_STATUS(task_await(task_create(cancel_awaits_with_a_request, inner)),
                 7);
    CHECK_RECORD("7, then -125");
    return 0;
}

static int cancel_await_with_a_request_delivers_one_to_the_inner_task(void *arg)
{
    struct task *inner = start(sleeps_twice, text("inner"));

    (void)arg;
    CHECK_STATUS(task_await(task_create(cancel_awaits_with_a_request, inner)),
                 -ECANCELED);
    CHECK_RECORD("inner -125, inner 0, -125, then 0");
    return 0;
}

static int await_of_null_leaves_the_request(void *arg)
{
    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_await(NULL), -ENOMEM);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

static int a_refused_await_leaves_the_request(void *arg)
{
    struct task *self = task_retain(task_current());

    (void)arg;
    CHECK(task_cancel(self));
    CHECK_STATUS(task_await(self), -EDEADLK);
    CHECK_STATUS(task_cancel_await(self), -EDEADLK);
    CHECK(task_cancelling(self) == 1);
    task_detach(self);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* Passing on. */

static int a_request_goes_to_the_inner_task_first(void *arg)
{
    struct task *inner = start(cleans_up, NULL);
    struct task *outer = start(awaits_and_yields, task_retain(inner));

    (void)arg;
    CHECK(task_cancel(outer));
    CHECK(task_cancelling(outer) == 1);
    CHECK(task_cancelling(inner) == 1);
    CHECK_STATUS(task_yield(), 0);
    CHECK(!task_done(outer)); /* it waits for the clean-up */
    CHECK_STATUS(task_await(outer), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_STATUS(task_await(inner), -ECANCELED);
    CHECK_RECORD("clean up, clean, await -125, then 0");
    return 0;
}

static int a_swallowed_request_does_not_come_again(void *arg)
{
    struct task *inner = start(swallows, NULL);
    struct task *outer = start(awaits_and_yields, task_retain(inner));

    (void)arg;
    CHECK(task_cancel(outer));
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancelling(outer) == 1);
    CHECK(task_cancelling(inner) == 1);
    CHECK_STATUS(task_await(outer), 7);
    CHECK_STATUS(task_await(inner), 7);
    CHECK_RECORD("await 7, then 0");
    return 0;
}

static int a_request_turned_into_a_failure_is_read_by_the_outer_task(void *arg)
{
    struct task *outer =
        start(awaits_and_yields, start(fails_when_cancelled, NULL));

    (void)arg;
    CHECK(task_cancel(outer));
    CHECK_STATUS(task_await(outer), -EIO);
    CHECK_RECORD("await -5, then 0");
    return 0;
}

static int two_awaiters_share_the_fate_of_the_inner_task(void *arg)
{
    struct task *inner = start(sleeps, NULL);
    struct task *a = start(awaits_and_yields, task_retain(inner));
    struct task *b = start(awaits_and_yields, task_retain(inner));

    (void)arg;
    CHECK(task_cancel(a));
    CHECK(task_cancelling(b) == 0);
    CHECK_STATUS(task_await(a), -ECANCELED);
    CHECK(task_cancelling(b) == 0);
    CHECK_STATUS(task_await(b), -ECANCELED);
    CHECK(task_cancelled(inner));
    CHECK_STATUS(task_await(inner), -ECANCELED);
    CHECK_RECORD("await -125, then 0, await -125, then 0");
    return 0;
}

static int both_awaiters_cancelled_give_the_inner_task_one_request(void *arg)
{
    struct task *inner = start(sleeps_twice, text("inner"));
    struct task *a = start(awaits, task_retain(inner));
    struct task *b = start(awaits, task_retain(inner));

    (void)arg;
    CHECK(task_cancel(a));
    CHECK(task_cancel(b));
    CHECK(task_cancelling(inner) == 2);
    CHECK_STATUS(task_await(a), -ECANCELED);
    CHECK_STATUS(task_await(b), -ECANCELED);
    CHECK_STATUS(task_await(inner), -ECANCELED);
    CHECK_RECORD("inner -125, inner 0");
    return 0;
}

static int a_second_request_reaches_the_inner_tasks_clean_up(void *arg)
{
    struct task *inner = start(sleeps_twice, text("inner"));
    struct task *outer = start(awaits, task_retain(inner));

    (void)arg;
    CHECK(task_cancel(outer));
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(outer));
    CHECK(task_cancelling(inner) == 2);
    CHECK_STATUS(task_await(outer), -ECANCELED);
    CHECK_STATUS(task_await(inner), -ECANCELED);
    CHECK_RECORD("inner -125, inner -125");
    return 0;
}

struct chain {
    struct task **tasks; /* from the outermost in */
    unsigned depth;
    unsigned n_ended;
};

static int is_a_link(void *arg)
{
    struct chain *chain = arg;
    unsigned i = chain->depth++;
    int status;

    chain->tasks[i] = task_retain(task_current());
    if (chain->n_ended < i + 1)
        status = task_sleep(TASK_HOUR);
    else
        status = task_await(task_create(is_a_link, chain));
    /* From the innermost out. */
    CHECK(chain->depth == i + 1);
    chain->depth = i;
    CHECK(task_cancelling(task_current()) == 1);
    CHECK_STATUS(task_yield(), 0);
    return status;
}

static int a_request_goes_down_a_chain_of_any_depth(void *arg)
{
    unsigned depths[] = {1, 2, 3, test_rounds(10000)};

    (void)arg;
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
        unsigned n = depths[d] + 1;
        struct chain chain = {calloc(n, sizeof(struct task *)), 0, depths[d]};
        struct task *outer = task_create(is_a_link, &chain);

        while (chain.depth < n)
            CHECK_STATUS(task_yield(), 0);
        CHECK(task_cancel(outer));
        for (unsigned i = 0; i < n; i++)
            CHECK(task_cancelling(chain.tasks[i]) == 1);
        CHECK_STATUS(task_await(outer), -ECANCELED);
        CHECK(loop_time() == 0);
        for (unsigned i = 0; i < n; i++)
            CHECK_STATUS(task_await(chain.tasks[i]), -ECANCELED);
        free(chain.tasks);
    }
    return 0;
}

static int cancels_its_awaiter(void *arg)
{
    struct task **outer = arg;

    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(*outer));
    CHECK(task_cancelling(task_current()) == 1);
    CHECK_STATUS(task_yield(), -ECANCELED); /* it came back to us */
    CHECK_STATUS(task_yield(), 0);
    return 7;
}

static int an_inner_task_that_cancels_its_awaiter_cancels_itself(void *arg)
{
    struct task *outer;

    (void)arg;
    outer = start(awaits_and_yields, task_create(cancels_its_awaiter, &outer));
    CHECK_STATUS(task_await(outer), 7);
    CHECK_RECORD("await 7, then 0");
    return 0;
}

static void cancel_other(struct task *task, void *arg)
{
    (void)task;
    CHECK(task_cancel(arg));
}

static int a_done_callback_that_cancels_the_awaiter_comes_too_late(void *arg)
{
    struct task *future = task_future_create();
    struct task *outer = task_create(awaits_and_yields, task_retain(future));

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, cancel_other, outer), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_await(outer), 3);
    CHECK_RECORD("await 3, then -125");
    task_detach(future);
    return 0;
}

static int a_cancelled_future_is_no_request_to_its_awaiter(void *arg)
{
    struct task *future = task_future_create();
    struct task *outer = start(awaits_and_yields, task_retain(future));

    (void)arg;
    CHECK(task_cancel(future));
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancelling(outer) == 0);
    CHECK_STATUS(task_await(outer), -ECANCELED);
    CHECK_RECORD("await -125, then 0");
    task_detach(future);
    return 0;
}

/* Both cancel what the task awaits, the second one in vain. */
static int
two_requests_in_a_turn_to_one_that_awaits_are_delivered_as_one(void *arg)
{
    struct task *future = task_future_create();
    struct task *outer = start(awaits_and_yields, task_retain(future));

    (void)arg;
    CHECK(task_cancel(outer));
    CHECK(task_cancel(outer));
    CHECK(task_cancelling(outer) == 2);
    CHECK_STATUS(task_await(outer), -ECANCELED);
    CHECK_RECORD("await -125, then 0");
    task_detach(future);
    return 0;
}

static int an_ecanceled_by_coincidence_is_told_by_the_count(void *arg)
{
    int status = -ECANCELED;
    struct task *inner = start(returns, &status);

    (void)arg;
    CHECK(task_cancelled(inner)); /* by its status, not by requests */
    CHECK(task_cancelling(inner) == 0);
    CHECK_STATUS(task_await(inner), -ECANCELED);
    CHECK(task_cancelling(task_current()) == 0);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* Cancel and await. */

static int cancel_await_waits_for_the_clean_up(void *arg)
{
    struct task *inner = start(cleans_up, NULL);

    (void)arg;
    CHECK_STATUS(task_cancel_await(inner), -ECANCELED);
    record("main");
    CHECK(loop_time() == TASK_SECOND);
    CHECK(task_cancelling(task_current()) == 0);
    CHECK_RECORD("clean up, clean, main");
    return 0;
}

static int cancel_await_gives_whatever_the_task_made_of_it(void *arg)
{
    int seven = 7;
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_cancel_await(task_create(returns, &seven)), 7);
    CHECK_STATUS(task_cancel_await(task_create(sleeps, NULL)), -ECANCELED);
    CHECK_STATUS(task_cancel_await(start(sleeps, NULL)), -ECANCELED);
    CHECK_STATUS(task_cancel_await(start(swallows, NULL)), 7);
    CHECK_STATUS(task_cancel_await(start(fails_when_cancelled, NULL)), -EIO);
    CHECK_STATUS(task_cancel_await(start(returns, &seven)), 7);
    CHECK_STATUS(task_cancel_await(future), -ECANCELED);
    return 0;
}

static int cancel_awaits(void *arg)
{
    int status = task_cancel_await(arg);

    record("%d", status);
    return status;
}

static int two_may_cancel_and_await_one_task(void *arg)
{
    struct task *inner = start(sleeps_twice, text("inner"));
    struct task *a = task_create(cancel_awaits, task_retain(inner));
    struct task *b = task_create(cancel_awaits, inner);

    (void)arg;
    CHECK_STATUS(task_await(a), -ECANCELED);
    CHECK_STATUS(task_await(b), -ECANCELED);
    CHECK_RECORD("inner -125, inner 0, -125, -125");
    return 0;
}

static int a_cancelled_cancel_await_passes_the_request_on(void *arg)
{
    struct task *inner = start(sleeps_twice, text("inner"));
    struct task *outer = task_create(cancel_awaits, task_retain(inner));

    (void)arg;
    CHECK_STATUS(task_yield(), 0); /* outer cancels inner */
    CHECK_STATUS(task_yield(), 0); /* inner hears, and sleeps again */
    CHECK(task_cancelling(inner) == 1);
    CHECK(task_cancel(outer));
    CHECK(task_cancelling(inner) == 2);
    CHECK_STATUS(task_await(outer), -ECANCELED);
    CHECK_STATUS(task_await(inner), -ECANCELED);
    CHECK(loop_time() == 0);
    CHECK_RECORD("inner -125, inner -125, -125");
    return 0;
}

static int a_request_ends_cancel_await_with_the_inner_tasks_end(void *arg)
{
    struct task *outer = start(waits_in_cancel_await, NULL);

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND / 2), 0);
    CHECK_RECORD("clean up");
    CHECK_STATUS(task_await(outer), -ECANCELED);
    CHECK_RECORD("clean");
    CHECK(loop_time() == TASK_SECOND);
    return 0;
}

/* Outcomes. */

static int sleeps_then_returns(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_SECOND), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return *(int *)arg;
}

static int a_status_is_exactly_what_the_function_returned(void *arg)
{
    int values[] = {0, 7, -EIO, -ECANCELED, -ETIMEDOUT, INT_MAX, INT_MIN};

    (void)arg;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct task *task = start(sleeps_then_returns, &values[i]);

        CHECK(task_cancel(task));
        CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
        CHECK(task_done(task));
        CHECK(task_cancelled(task) == (values[i] == -ECANCELED));
        CHECK_STATUS(task_status(task), values[i]);
        CHECK_STATUS(task_await(task), values[i]);
    }
    return 0;
}

static int cancel_of_a_done_task_does_nothing(void *arg)
{
    int seven = 7;
    struct task *task = start(returns, &seven);

    (void)arg;
    CHECK(!task_cancel(task));
    CHECK(!task_cancel(task));
    CHECK(task_cancelling(task) == 0);
    CHECK_STATUS(task_await(task), 7);
    return 0;
}

static void main_may_be_cancelled(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, cancels_itself_and_returns, &(int){7}),
                     7);
    assert_int_equal(
        loop_run_main(loop, cancels_itself_and_returns, &(int){-ECANCELED}),
        -ECANCELED);
    test_loop_free(loop, &count);
}

/* Counts. */

static int requests_are_counted_and_taken_back(void *arg)
{
    struct task *task = start(sleeps, NULL);
    struct task *self = task_current();

    (void)arg;
    CHECK(task_cancelling(task) == 0);
    CHECK(task_uncancel(task) == 0);
    for (unsigned i = 1; i <= 5; i++) {
        CHECK(task_cancel(self));
        CHECK(task_cancelling(self) == i);
    }
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK(task_cancelling(self) == 5); /* delivery changes nothing */
    for (unsigned i = 5; i-- > 0;)
        CHECK(task_uncancel(self) == i);
    CHECK(task_uncancel(self) == 0);
    CHECK(task_cancelling(self) == 0);
    CHECK_STATUS(task_await(task), 0);
    return 0;
}

static int a_request_taken_back_before_delivery_is_not_delivered(void *arg)
{
    struct task *fresh = task_create(sleeps, NULL);
    struct task *yielding = task_create(yields_and_says, NULL);

    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK(task_uncancel(task_current()) == 0);
    CHECK(task_cancel(fresh));
    CHECK(task_uncancel(fresh) == 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(yielding));
    CHECK(task_uncancel(yielding) == 0);
    CHECK_STATUS(task_await(yielding), 0);
    CHECK_STATUS(task_await(fresh), 0);
    CHECK_RECORD("0, then 0");
    return 0;
}

static int a_request_taken_back_while_another_is_left_is_delivered(void *arg)
{
    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK(task_cancel(task_current()));
    CHECK(task_uncancel(task_current()) == 1);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK(task_uncancel(task_current()) == 0);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_request_that_has_woken_the_task_is_delivered(void *arg)
{
    struct task *task = start(sleeps_twice, text("task"));

    (void)arg;
    CHECK(task_cancel(task));
    CHECK(task_uncancel(task) == 0);
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("task -125, task 0");
    return 0;
}

static int a_request_after_a_grant_can_be_taken_back(void *arg)
{
    struct task *future = task_future_create();
    struct task *outer = start(awaits_and_yields, task_retain(future));

    (void)arg;
    CHECK_STATUS(task_future_complete(future, 5), 0);
    CHECK(task_cancel(outer));
    CHECK(task_uncancel(outer) == 0);
    CHECK_STATUS(task_await(outer), 5);
    CHECK_RECORD("await 5, then 0");
    task_detach(future);
    return 0;
}

/* Who asks. */

static int anyone_may_ask(void *arg)
{
    struct task *by_callback = start(sleeps, NULL);
    struct task *by_timer = start(sleeps, NULL);
    struct task *itself = task_create(cancels_itself_and_returns, &(int){3});
    struct task *done = start(sleeps, NULL);
    struct task *trigger = task_future_create();

    (void)arg;
    CHECK(loop_call_soon(cancel_it, by_callback) > 0);
    CHECK(loop_call_later(1, cancel_it, by_timer) > 0);
    CHECK_STATUS(task_add_done_callback(trigger, cancel_other, done), 0);
    CHECK_STATUS(task_future_complete(trigger, 0), 0);
    CHECK_STATUS(task_await(by_callback), -ECANCELED);
    CHECK_STATUS(task_await(done), -ECANCELED);
    CHECK(loop_time() == 0);
    CHECK_STATUS(task_await(by_timer), -ECANCELED);
    CHECK_STATUS(task_await(itself), 3);
    CHECK(loop_time() == 1);
    task_detach(trigger);
    return 0;
}

struct crowd {
    unsigned n;
    unsigned n_heard;
    struct task **tasks;
};

struct member {
    struct crowd *crowd;
    unsigned i;
};

static int notes_its_place(void *arg)
{
    struct member *member = arg;
    int status = task_sleep(TASK_HOUR);

    CHECK(member->crowd->n_heard == member->i);
    member->crowd->n_heard++;
    return status;
}

static void cancel_all(void *arg)
{
    struct crowd *crowd = arg;

    for (unsigned i = 0; i < crowd->n; i++)
        CHECK(task_cancel(crowd->tasks[i]));
    CHECK(stats().timers == 0);
    CHECK(crowd->n_heard == 0);
}

static int many_cancelled_in_one_callback_hear_in_order(void *arg)
{
    struct crowd crowd = {.n = test_rounds(10000)};
    struct member *members = calloc(crowd.n, sizeof *members);
    unsigned n = crowd.n;

    (void)arg;
    crowd.tasks = calloc(n, sizeof(struct task *));
    for (unsigned i = 0; i < n; i++) {
        /* Created in an order that is not that of the requests. */
        unsigned at = (unsigned)((uint64_t)i * 7919 % n);

        while (crowd.tasks[at])
            at = (at + 1) % n;
        members[at] = (struct member){&crowd, at};
        crowd.tasks[at] = task_create(notes_its_place, &members[at]);
    }
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_soon(cancel_all, &crowd) > 0);
    for (unsigned i = 0; i < n; i++)
        CHECK_STATUS(task_await(crowd.tasks[i]), -ECANCELED);
    CHECK(crowd.n_heard == n);
    CHECK(loop_time() == 0);
    free(crowd.tasks);
    free(members);
    return 0;
}

static int parks_again_and_again(void *arg)
{
    unsigned n = *(unsigned *)arg;

    for (unsigned i = 0; i < n; i++)
        CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return 0;
}

static int parking_and_cancelling_keeps_memory_flat(void *arg)
{
    unsigned n = test_rounds(HAVE_ASAN ? 200000 : 1000000);
    struct task *task = start(parks_again_and_again, &n);
    size_t before = 0;

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        if (i == n / 100)
            before = resident_bytes();
        CHECK(task_cancel(task));
        CHECK_STATUS(task_yield(), 0);
    }
    CHECK(task_cancelling(task) == n);
    CHECK(resident_bytes() <= before + (1 << 20));
    return task_await(task);
}

static int awaits_a_sleeper(void *arg)
{
    return task_await(task_create(sleeps, arg));
}

static int tasks_that_park_and_are_cancelled_keep_memory_flat(void *arg)
{
    static task_fn *const ways[] = {sleeps, sleeps_for_ever, awaits_a_sleeper,
                                    awaits_a_future};
    unsigned n = test_rounds(HAVE_ASAN ? 100000 : 1000000);
    size_t before = 0;

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        if (i == n / 100)
            before = resident_bytes();
        CHECK_STATUS(task_cancel_await(start(ways[i % 4], NULL)), -ECANCELED);
    }
    CHECK(resident_bytes() <= before + (1 << 20));
    CHECK(stats().tasks == 1);
    CHECK(stats().timers == 0);
    CHECK(loop_time() == 0);
    return 0;
}

/* Three things in one turn, in every order. */

static const char *const orders[] = {"abc", "acb", "bac", "bca", "cab", "cba"};

static void complete_with_five(void *arg)
{
    (void)task_future_complete(arg, 5);
}

static void complete_with_six(void *arg)
{
    (void)task_future_complete(arg, 6);
}

/* A request to who awaits a future (a), and two who complete that (b, c). */
static int a_request_races_two_completions_in_every_order(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < 6; i++) {
        struct task *future = task_future_create();
        struct task *task = start(awaits_and_yields, task_retain(future));
        task_time when = loop_time() + TASK_SECOND;

        for (const char *event = orders[i]; *event; event++)
            if (*event == 'a')
                CHECK(loop_call_at(when, cancel_it, task) > 0);
            else
                CHECK(loop_call_at(when,
                                   *event == 'b' ? complete_with_five
                                                 : complete_with_six,
                                   future) > 0);
        (void)task_await(task);
        CHECK(loop_time() == when);
        task_detach(future);
    }
    CHECK_RECORD("await -125, then 0, await -125, then 0, await 5, then -125, "
                 "await 5, then -125, await 6, then -125, await 6, then -125");
    return 0;
}

static void uncancel_it(void *arg)
{
    (void)task_uncancel(arg);
}

static int says_sleep_and_yield(void *arg)
{
    task_time *when = arg;
    int first = task_sleep_until(*when);
    int second = task_yield();

    record("%d %d", first, second);
    return first;
}

/* A deadline (a), a request (b), and its retraction (c): the deadline fires in
 * the look, and the others come before or after the sleeper's turn. */
static int a_deadline_races_a_request_and_its_retraction(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < 6; i++) {
        task_time when = loop_time() + TASK_SECOND;
        struct task *task = task_create(says_sleep_and_yield, &when);

        for (const char *event = orders[i]; *event; event++)
            if (*event == 'a')
                CHECK_STATUS(task_yield(), 0); /* it goes to sleep */
            else
                CHECK(loop_call_at(when,
                                   *event == 'b' ? cancel_it : uncancel_it,
                                   task) > 0);
        CHECK_STATUS(task_await(task), 0);
        CHECK(loop_time() == when);
    }
    CHECK_RECORD("0 0, 0 -125, 0 -125, 0 0, 0 -125, 0 -125");
    return 0;
}

/*
 * A task that suspends in every way, asked to cancel at its k-th suspending
 * call: when it is about to make it, or in the turn after. It records which
 * calls were told.
 */

struct walk {
    int n_calls;
    int ask_at;    /* 0: never */
    bool is_early; /* before the call */
};

static void before_call(struct walk *walk)
{
    if (++walk->n_calls != walk->ask_at)
        return;
    if (walk->is_early)
        CHECK(task_cancel(task_current()));
    else
        CHECK(loop_call_soon(cancel_it, task_current()) > 0);
}

static void after_call(struct walk *walk, int status, int expected)
{
    if (status == expected)
        return;
    CHECK_STATUS(status, -ECANCELED);
    record("%d", walk->n_calls);
}

#define WALK(walk, call, expected)                                             \
    (before_call(walk), after_call((walk), (call), (expected)))

static int completes(void *arg)
{
    int status = task_sleep(10);

    (void)task_future_complete(arg, 5);
    task_detach(arg);
    return status ? status : 6;
}

static int walks(void *arg)
{
    struct walk *walk = arg;
    struct task *future = task_future_create();
    struct task *completer = task_create(completes, task_retain(future));
    struct task *inner;

    WALK(walk, task_yield(), 0);
    WALK(walk, task_sleep(1), 0);
    WALK(walk, task_sleep_until(loop_time() + 2), 0);
    WALK(walk, task_await(future), 5);
    WALK(walk, task_await(completer), 6); /* it is done, if nobody was told */
    WALK(walk, task_wait_all_blocked(), 0);
    WALK(walk, task_await(task_create(awaits_a_sleeper, NULL)), 0);
    inner = start(awaits_a_sleeper, NULL);
    WALK(walk, task_cancel_await(inner), -ECANCELED);
    WALK(walk, task_sleep(0), 0);
    WALK(walk, task_yield(), 0);
    CHECK_STATUS(task_sleep(1), 0);
    return walk->n_calls;
}

static void walk_and_cancel(bool is_early)
{
    for (int k = 0; k <= 10; k++) {
        struct walk walk = {.ask_at = k, .is_early = is_early};
        struct task *task = task_create(walks, &walk);
        struct task *again = task_retain(task);

        record("%d:", k);
        CHECK_STATUS(task_await(task), 10);
        CHECK(task_cancelling(again) == (k > 0));
        CHECK(stats().tasks == 1);
        CHECK(stats().timers == 0);
        task_detach(again);
    }
}

static int a_task_may_be_cancelled_wherever_it_suspends(void *arg)
{
    static const char told[] =
        "0:, 1:, 1, 2:, 2, 3:, 3, 4:, 4, 5:, 6, 6:, 6, 7:, 7, 8:, 9:, 9, "
        "10:, 10";

    (void)arg;
    walk_and_cancel(true);
    CHECK_RECORD(told);
    walk_and_cancel(false);
    CHECK_RECORD(told);
    return 0;
}

/*
 * Anything at random, in shuffled batches: workers sleep, yield and await
 * futures that somebody completes, while requests hit them. Every request is
 * delivered, once, by the first call that was not granted something before.
 */

struct worker {
    struct task *task;
    struct task *future; /* what it awaits, or NULL */
    struct random *random;
    bool asked;   /* and not told yet */
    bool granted; /* when it was asked, what it waits for had come */
    unsigned n_told;
};

/* What a call returned that began with or without a request at hand. */
static void check_call(struct worker *worker, bool asked_before, int status)
{
    if (asked_before)
        CHECK_STATUS(status, -ECANCELED);
    if (status == -ECANCELED) {
        CHECK(worker->asked);
        worker->asked = false;
        worker->n_told++;
    } else {
        CHECK(!worker->asked || worker->granted);
    }
}

static void do_sleep(struct worker *worker)
{
    bool asked = worker->asked;
    task_time until =
        loop_time() + 1 + (task_time)random_below(worker->random, 4);
    int status = task_sleep_until(until);

    worker->granted = loop_time() >= until;
    CHECK(status || worker->granted);
    check_call(worker, asked, status);
}

static void do_yield(struct worker *worker)
{
    bool asked = worker->asked;

    worker->granted = false;
    check_call(worker, asked, task_yield());
}

static void do_await(struct worker *worker)
{
    bool asked = worker->asked;
    int status;

    worker->granted = false;
    worker->future = task_future_create();
    status = task_await(task_retain(worker->future));
    worker->granted = status == 1;
    check_call(worker, asked, status);
    task_detach(worker->future);
    worker->future = NULL;
}

static int works(void *arg)
{
    struct worker *worker = arg;

    for (int i = 0; i < 40; i++) {
        size_t choice = random_below(worker->random, 3);

        if (choice == 0)
            do_sleep(worker);
        else if (choice == 1)
            do_yield(worker);
        else
            do_await(worker);
    }
    return 0;
}

enum { N_WORKERS = 8 };

/* Ask one, or complete its future, or both in either order. */
static void strike(struct worker *worker, struct random *random)
{
    bool first = random_below(random, 2);

    for (int i = 0; i < 2; i++) {
        if ((i == 0) == first && random_below(random, 3) == 0 &&
            task_cancel(worker->task))
            worker->asked = true;
        if ((i == 0) != first && worker->future && random_below(random, 2))
            task_future_complete(worker->future, 1);
    }
}

static bool all_done(const struct worker *workers)
{
    for (int i = 0; i < N_WORKERS; i++)
        if (!task_done(workers[i].task))
            return false;
    return true;
}

static int each_request_is_delivered_once_whatever_it_races(void *arg)
{
    struct random random = {test_seed_now()};
    struct worker workers[N_WORKERS] = {{0}};
    unsigned n_told = 0;

    (void)arg;
    for (int i = 0; i < N_WORKERS; i++) {
        workers[i].random = &random;
        workers[i].task = task_create(works, &workers[i]);
    }
    while (!all_done(workers)) {
        strike(&workers[random_below(&random, N_WORKERS)], &random);
        if (random_below(&random, 2))
            CHECK_STATUS(task_yield(), 0);
        else
            CHECK_STATUS(task_sleep(1), 0);
    }
    for (int i = 0; i < N_WORKERS; i++) {
        n_told += workers[i].n_told;
        CHECK_STATUS(task_await(workers[i].task), 0);
    }
    CHECK(n_told > 0);
    CHECK(stats().timers == 0);
    return 0;
}

/* Trees of tasks that await each other, hit at random: each await ends when
 * what it waits for has, and gives exactly its status. */

struct forest {
    struct random random;
    struct task *nodes[200];
    size_t n;
};

struct node {
    struct forest *forest;
    int depth;
};

static int is_a_node(void *arg)
{
    struct node node = *(struct node *)arg;
    struct node child = {node.forest, node.depth - 1};
    struct random *random = &node.forest->random;
    struct task *children[3];
    size_t n = node.depth ? 1 + random_below(random, 3) : 0;
    int status = 0;

    if (node.forest->n < 200)
        node.forest->nodes[node.forest->n++] = task_retain(task_current());
    for (size_t i = 0; i < n; i++)
        children[i] = task_create_with(is_a_node, &child,
                                       &(struct task_options){.eager = true});
    for (size_t i = 0; i < n; i++) {
        struct task *again = task_retain(children[i]);
        int got = task_await(children[i]);

        CHECK(task_done(again));
        CHECK_STATUS(task_status(again), got);
        task_detach(again);
        status = status ? status : got;
    }
    if (!status && random_below(random, 2))
        status = task_sleep((task_time)random_below(random, 5));
    if (status && random_below(random, 2))
        status = random_below(random, 2) ? 7 : -EIO;
    return status;
}

static int awaits_end_with_what_they_wait_for_whoever_is_cancelled(void *arg)
{
    struct forest forest = {.random = {test_seed_now()}, .n = 0};
    struct node root = {&forest, 4};
    struct task *task = task_create(is_a_node, &root);

    (void)arg;
    while (!task_done(task)) {
        if (forest.n && random_below(&forest.random, 2))
            task_cancel(forest.nodes[random_below(&forest.random, forest.n)]);
        CHECK_STATUS(task_yield(), 0);
        if (random_below(&forest.random, 4) == 0)
            CHECK_STATUS(task_sleep(1), 0);
    }
    (void)task_await(task);
    for (size_t i = 0; i < forest.n; i++) {
        CHECK(task_done(forest.nodes[i]));
        (void)task_await(forest.nodes[i]);
    }
    CHECK(stats().tasks == 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_request_ends_each_way_of_waiting),
        in_main(a_request_ends_waiting_for_all_others),
        in_main(a_cancelled_sleep_leaves_no_timer),
        in_main(cancel_never_runs_the_task),
        in_main(a_request_is_delivered_once),
        in_main(two_requests_before_delivery_are_delivered_as_one),
        in_main(a_request_after_delivery_is_delivered_again),
        in_main(a_request_comes_once_by_whatever_ways),
        in_main(a_task_cancelled_before_its_first_step_still_runs),
        in_main(a_task_cancelled_before_its_first_step_may_just_return),
        behaviour(a_task_may_be_cancelled_before_the_loop_runs),
        behaviour(a_task_may_be_cancelled_between_two_runs),
        in_main(a_task_that_cancels_itself_hears_at_its_next_call),
        in_main(a_request_that_meets_no_call_is_lost),
        in_main(a_task_in_yield_was_granted_nothing),
        in_main(a_task_that_sleeps_for_zero_was_granted_nothing),
        in_main(a_result_granted_before_the_request_is_delivered),
        in_main(a_failure_granted_before_the_request_is_delivered),
        in_main(a_granted_ecanceled_is_no_request),
        in_main(a_request_before_the_result_cancels_the_future),
        in_main(a_task_that_ended_before_the_request_gives_its_status),
        in_main(a_request_to_a_task_about_to_end_is_used_up),
        in_main(a_deadline_that_has_woken_the_task_is_granted),
        in_main(a_timer_that_fires_in_the_same_look_is_granted_in_any_order),
        in_main(a_request_one_nanosecond_before_the_deadline_wins),
        in_main(a_deadline_that_passed_unnoticed_has_granted_nothing),
        in_main(a_task_in_the_ready_batch_is_resumed_once),
        in_main(a_request_on_entry_of_await_is_passed_on),
        in_main(a_request_on_entry_reaches_an_inner_task_that_has_not_begun),
        in_main(a_request_on_entry_cancels_a_future),
        in_main(a_done_task_is_awaited_and_the_request_comes_next),
        in_main(cancel_await_of_a_done_task_leaves_the_request),
        in_main(cancel_await_with_a_request_delivers_one_to_the_inner_task),
        in_main(await_of_null_leaves_the_request),
        in_main(a_refused_await_leaves_the_request),
        in_main(a_request_goes_to_the_inner_task_first),
        in_main(a_swallowed_request_does_not_come_again),
        in_main(a_request_turned_into_a_failure_is_read_by_the_outer_task),
        in_main(two_awaiters_share_the_fate_of_the_inner_task),
        in_main(both_awaiters_cancelled_give_the_inner_task_one_request),
        in_main(a_second_request_reaches_the_inner_tasks_clean_up),
        in_main(a_request_goes_down_a_chain_of_any_depth),
        in_main(an_inner_task_that_cancels_its_awaiter_cancels_itself),
        in_main(a_done_callback_that_cancels_the_awaiter_comes_too_late),
        in_main(a_cancelled_future_is_no_request_to_its_awaiter),
        in_main(two_requests_in_a_turn_to_one_that_awaits_are_delivered_as_one),
        in_main(an_ecanceled_by_coincidence_is_told_by_the_count),
        in_main(cancel_await_waits_for_the_clean_up),
        in_main(cancel_await_gives_whatever_the_task_made_of_it),
        in_main(two_may_cancel_and_await_one_task),
        in_main(a_cancelled_cancel_await_passes_the_request_on),
        in_main(a_request_ends_cancel_await_with_the_inner_tasks_end),
        in_main(a_status_is_exactly_what_the_function_returned),
        in_main(cancel_of_a_done_task_does_nothing),
        behaviour(main_may_be_cancelled),
        in_main(requests_are_counted_and_taken_back),
        in_main(a_request_taken_back_before_delivery_is_not_delivered),
        in_main(a_request_taken_back_while_another_is_left_is_delivered),
        in_main(a_request_that_has_woken_the_task_is_delivered),
        in_main(a_request_after_a_grant_can_be_taken_back),
        in_main(anyone_may_ask),
        in_main(many_cancelled_in_one_callback_hear_in_order),
        in_main(parking_and_cancelling_keeps_memory_flat),
        in_main(tasks_that_park_and_are_cancelled_keep_memory_flat),
        in_main(a_request_races_two_completions_in_every_order),
        in_main(a_deadline_races_a_request_and_its_retraction),
        in_main(a_task_may_be_cancelled_wherever_it_suspends),
        in_main_seeded(each_request_is_delivered_once_whatever_it_races),
        in_main_seeded(awaits_end_with_what_they_wait_for_whoever_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
