/* Events: who is woken, by what, and what a cancel changes of it. */
#include "cancel_points.h"
#include "random.h"
#include "record.h"

static struct task_event event;

/* Waits; says with what result, and what a yield returns then. */
static int waits(void *arg)
{
    int status = task_event_wait(&event);
    int then = task_yield();

    (void)arg;
    record("%s %d, then %d", task_name(task_current()), status, then);
    return status;
}

static void begin(void)
{
    event = (struct task_event){0};
}

static int a_set_event_does_not_suspend(void *arg)
{
    (void)arg;
    begin();
    CHECK(!task_event_is_set(&event));
    task_event_set(&event);
    task_event_set(&event);
    CHECK(task_event_is_set(&event));
    CHECK_STATUS(task_event_wait(&event), 0);
    CHECK_STATUS(task_event_wait(&event), 0);
    CHECK(turns_now() == 1);
    task_event_clear(&event);
    CHECK(!task_event_is_set(&event));
    return 0;
}

static int set_wakes_all_in_the_order_of_arrival(void *arg)
{
    struct task *a = test_start(waits, NULL, "a");
    struct task *b = test_start(waits, NULL, "b");
    struct task *c = test_start(waits, NULL, "c");

    (void)arg;
    CHECK(task_event_waiting(&event) == 3);
    task_event_set(&event);
    CHECK(task_event_waiting(&event) == 0);
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 0);
    CHECK_STATUS(task_await(c), 0);
    CHECK_RECORD("a 0, then 0, b 0, then 0, c 0, then 0");
    return 0;
}

static int one_cleared_before_its_waiters_run_has_woken_them(void *arg)
{
    struct task *before;
    struct task *after;

    (void)arg;
    begin();
    before = test_start(waits, NULL, "before");
    task_event_set(&event);
    task_event_clear(&event);
    after = test_start(waits, NULL, "after");
    CHECK_STATUS(task_await(before), 0);
    CHECK(!task_done(after));
    CHECK_RECORD("before 0, then 0");
    task_event_set(&event);
    CHECK_STATUS(task_await(after), 0);
    CHECK_RECORD("after 0, then 0");
    return 0;
}

static int a_waiter_cancelled_before_the_set_is_not_woken_by_it(void *arg)
{
    struct task *first;
    struct task *second;

    (void)arg;
    begin();
    first = test_start(waits, NULL, "first");
    second = test_start(waits, NULL, "second");
    CHECK(task_cancel(first));
    CHECK(task_event_waiting(&event) == 1);
    task_event_set(&event);
    CHECK_STATUS(task_await(first), -ECANCELED);
    CHECK_STATUS(task_await(second), 0);
    CHECK_RECORD("first -125, then 0, second 0, then 0");
    return 0;
}

static int one_cancelled_after_the_set_was_woken_by_it(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin();
    waiter = test_start(waits, NULL, "waiter");
    task_event_set(&event);
    CHECK(task_cancel(waiter));
    CHECK(task_event_is_set(&event));
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then -125");
    return 0;
}

static int a_waiting_request_is_delivered_though_it_is_set(void *arg)
{
    (void)arg;
    begin();
    task_event_set(&event);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_event_wait(&event), -ECANCELED);
    CHECK_STATUS(task_event_wait(&event), 0);
    return 0;
}

static void sets(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_event_wait(&event), -EPERM);
    task_event_set(&event);
}

static int callbacks_set_it_but_do_not_wait(void *arg)
{
    (void)arg;
    begin();
    CHECK(loop_call_later(TASK_SECOND, sets, NULL) > 0);
    CHECK_STATUS(task_event_wait(&event), 0);
    CHECK(loop_time() == TASK_SECOND);
    return 0;
}

static int one_that_is_waited_for_cannot_be_destroyed(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin();
    waiter = test_start(waits, NULL, "waiter");
    CHECK_STATUS(task_event_destroy(&event), -EBUSY);
    task_event_set(&event);
    CHECK_STATUS(task_event_destroy(&event), 0); /* it needs it no more */
    CHECK(!task_event_is_set(&event));
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static int sets_it(void *arg)
{
    (void)arg;
    task_yield();
    task_event_set(&event);
    return 0;
}

static int waits_for_another(void *arg)
{
    struct task *other;
    int status;

    begin();
    other = test_start(sets_it, NULL, "other");
    status = task_event_wait(&event);
    task_await(other);
    (void)arg;
    return status;
}

static void nobody_waits(void *arg)
{
    (void)arg;
    CHECK(!task_event_waiting(&event));
}

static void a_cancel_at_any_point_leaves_no_waiter(void **state)
{
    (void)state;
    assert_int_equal(
        cancel_at_every_point(waits_for_another, nobody_waits, NULL), 1);
}

/* Many at random: whoever waits when it is set is woken once, as 0, unless it
 * was cancelled before. */

enum { CROWD = 8, ROUNDS = 50 };

static struct random random_now;
static unsigned n_woken;

static int waits_again_and_again(void *arg)
{
    bool *ends = arg;

    while (!*ends)
        n_woken += !task_event_wait(&event);
    return 0;
}

static int all_that_wait_are_woken_once(void *arg)
{
    struct task *crowd[CROWD];
    bool ends = false;

    (void)arg;
    begin();
    random_now.state = test_seed_now();
    for (int i = 0; i < CROWD; i++)
        crowd[i] = task_create(waits_again_and_again, &ends);
    for (int i = 0; i < ROUNDS; i++) {
        size_t n;

        CHECK_STATUS(task_wait_all_blocked(), 0);
        CHECK(task_event_waiting(&event) == CROWD);
        for (n = random_below(&random_now, 4); n; n--)
            task_cancel(crowd[random_below(&random_now, CROWD)]);
        n = task_event_waiting(&event);
        n_woken = 0;
        ends = i == ROUNDS - 1;
        task_event_set(&event);
        task_event_clear(&event);
        for (size_t late = random_below(&random_now, 4); late; late--)
            task_cancel(crowd[random_below(&random_now, CROWD)]);
        CHECK_STATUS(task_wait_all_blocked(), 0);
        CHECK(n_woken == n);
    }
    for (int i = 0; i < CROWD; i++)
        CHECK_STATUS(task_await(crowd[i]), 0);
    nobody_waits(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_set_event_does_not_suspend),
        in_main(set_wakes_all_in_the_order_of_arrival),
        in_main(one_cleared_before_its_waiters_run_has_woken_them),
        in_main(a_waiter_cancelled_before_the_set_is_not_woken_by_it),
        in_main(one_cancelled_after_the_set_was_woken_by_it),
        in_main(a_waiting_request_is_delivered_though_it_is_set),
        in_main(callbacks_set_it_but_do_not_wait),
        in_main(one_that_is_waited_for_cannot_be_destroyed),
        behaviour(a_cancel_at_any_point_leaves_no_waiter),
        in_main_seeded(all_that_wait_are_woken_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
