/* Conditions: a wait always ends with the lock, and no notification is lost. */
#include "cancel_points.h"
#include "random.h"
#include "record.h"

static struct task_lock lock;
static struct task_condition condition;

static bool owns(void)
{
    return task_lock_owner(&lock) == task_current();
}

static void acquire(void)
{
    CHECK_STATUS(task_lock_acquire(&lock), 0);
}

static void release(void)
{
    CHECK_STATUS(task_lock_release(&lock), 0);
}

/* Waits; says with what result, and what a yield returns then. */
static int waits(void *arg)
{
    int status;
    int then;

    (void)arg;
    acquire();
    status = task_condition_wait(&condition, &lock);
    CHECK(owns());
    then = task_yield();
    record("%s %d, then %d", task_name(task_current()), status, then);
    release();
    return status;
}

static struct task *start(const char *name)
{
    return test_start(waits, NULL, name);
}

static int wait_releases_the_lock_and_owns_it_again(void *arg)
{
    struct task *waiter = start("waiter");

    (void)arg;
    CHECK(!task_lock_locked(&lock));
    CHECK(task_condition_waiting(&condition) == 1);
    acquire();
    task_condition_notify(&condition, 1);
    CHECK(task_condition_waiting(&condition) == 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(owns());
    CHECK(task_lock_waiting(&lock) == 1); /* it wants it */
    release();
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static int notify_wakes_so_many_in_the_order_of_arrival(void *arg)
{
    struct task *tasks[4];

    (void)arg;
    tasks[0] = start("a");
    tasks[1] = start("b");
    tasks[2] = start("c");
    tasks[3] = start("d");
    task_condition_notify(&condition, 0);
    CHECK(task_condition_waiting(&condition) == 4);
    task_condition_notify(&condition, 2);
    CHECK(task_condition_waiting(&condition) == 2);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_RECORD("a 0, then 0, b 0, then 0");
    task_condition_notify(&condition, 1000);
    CHECK_STATUS(task_await(tasks[2]), 0);
    CHECK_STATUS(task_await(tasks[3]), 0);
    CHECK_RECORD("c 0, then 0, d 0, then 0");
    return 0;
}

static int a_notification_is_not_kept_for_later(void *arg)
{
    struct task *waiter;

    (void)arg;
    task_condition_notify_all(&condition);
    waiter = start("waiter");
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(!task_done(waiter));
    task_condition_notify_all(&condition);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static bool holds(void *arg)
{
    (void)arg;
    return true;
}

static int nobody_waits_without_the_lock(void *arg)
{
    struct task *owner;

    (void)arg;
    CHECK_STATUS(task_condition_wait(&condition, &lock), -EPERM);
    CHECK_STATUS(task_condition_wait_for(&condition, &lock, holds, NULL),
                 -EPERM);
    owner = start("other");
    CHECK_STATUS(task_condition_wait(&condition, &lock), -EPERM);
    task_condition_notify_all(&condition);
    CHECK_STATUS(task_await(owner), 0);
    CHECK_RECORD("other 0, then 0");
    return 0;
}

static int misuse_uses_no_request_up(void *arg)
{
    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_condition_wait(&condition, &lock), -EPERM);
    CHECK_STATUS(task_condition_wait_for(&condition, &lock, NULL, NULL),
                 -EINVAL);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

static void uses_it(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_condition_wait(&condition, &lock), -EPERM);
    task_condition_notify(&condition, 1);
}

static int callbacks_notify_but_do_not_wait(void *arg)
{
    struct task *waiter = start("waiter");

    (void)arg;
    CHECK(loop_call_soon(uses_it, NULL) > 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static int a_waiting_request_is_delivered_and_the_lock_kept(void *arg)
{
    struct task *other;

    (void)arg;
    acquire();
    other = start("other");
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_condition_wait(&condition, &lock), -ECANCELED);
    CHECK(owns());
    CHECK(task_lock_waiting(&lock) == 1); /* it never was free */
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_condition_wait_for(&condition, &lock, holds, NULL),
                 -ECANCELED); /* before it asks */
    CHECK(owns());
    release();
    CHECK_STATUS(task_cancel_await(other), -ECANCELED);
    CHECK_RECORD("other -125, then 0");
    return 0;
}

static int a_waiter_cancelled_before_the_notification_leaves_it(void *arg)
{
    struct task *first = start("first");
    struct task *second = start("second");

    (void)arg;
    CHECK(task_cancel(first));
    CHECK(task_condition_waiting(&condition) == 1);
    task_condition_notify(&condition, 1);
    CHECK_STATUS(task_await(first), -ECANCELED);
    CHECK_STATUS(task_await(second), 0);
    CHECK_RECORD("first -125, then 0, second 0, then 0");
    return 0;
}

static int one_cancelled_after_the_notification_has_it(void *arg)
{
    struct task *first = start("first");
    struct task *second = start("second");

    (void)arg;
    task_condition_notify(&condition, 1);
    CHECK(task_cancel(first));
    CHECK_STATUS(task_await(first), 0);
    CHECK(!task_done(second));
    CHECK_RECORD("first 0, then -125");
    task_condition_notify(&condition, 1);
    CHECK_STATUS(task_await(second), 0);
    CHECK_RECORD("second 0, then 0");
    return 0;
}

static int a_cancelled_waiter_does_not_return_without_the_lock(void *arg)
{
    struct task *waiter = start("waiter");

    (void)arg;
    acquire();
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(!task_done(waiter));
    CHECK(owns());
    release();
    CHECK_STATUS(task_await(waiter), -ECANCELED);
    CHECK_RECORD("waiter -125, then 0");
    return 0;
}

static int a_second_cancel_does_not_break_that_and_comes_next(void *arg)
{
    struct task *waiter = start("waiter");

    (void)arg;
    acquire();
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_lock_waiting(&lock) == 1);
    for (int i = 0; i < 3; i++) {
        CHECK(task_cancel(waiter));
        CHECK_STATUS(task_yield(), 0);
        CHECK(task_lock_waiting(&lock) == 1);
    }
    release();
    CHECK_STATUS(task_await(waiter), -ECANCELED);
    CHECK_RECORD("waiter -125, then -125");
    return 0;
}

static int
a_notified_waiter_cancelled_while_it_wants_the_lock_has_both(void *arg)
{
    struct task *waiter = start("waiter");

    (void)arg;
    acquire();
    task_condition_notify(&condition, 1);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_lock_waiting(&lock) == 1);
    CHECK(task_cancel(waiter));
    CHECK(task_lock_waiting(&lock) == 1);
    release();
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then -125");
    return 0;
}

static int a_request_taken_back_while_it_wants_the_lock_is_gone(void *arg)
{
    struct task *waiter = start("waiter");

    (void)arg;
    acquire();
    task_condition_notify(&condition, 1);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(waiter));
    CHECK(task_uncancel(waiter) == 0);
    release();
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static void cancel_it(void *arg)
{
    CHECK(task_cancel(arg));
}

/* A time-out is a cancel: that of an expired wait passes a notification of the
 * same turn on. */
static int a_notification_in_the_turn_of_a_time_out_is_passed_on(void *arg)
{
    struct task *first = start("first");
    struct task *second = start("second");

    (void)arg;
    CHECK(loop_call_later(TASK_SECOND, cancel_it, first) > 0);
    CHECK(loop_call_later(TASK_SECOND, uses_it, NULL) > 0);
    CHECK_STATUS(task_await(first), -ECANCELED);
    CHECK_STATUS(task_await(second), 0);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("first -125, then 0, second 0, then 0");
    return 0;
}

static int keeps(void *arg)
{
    (void)arg;
    return task_lock_acquire(&lock) + task_yield();
}

static int that_an_owner_died_wins_over_the_notification(void *arg)
{
    struct task *waiter = start("waiter");
    struct task *owner = test_start(keeps, NULL, "owner");

    (void)arg;
    task_condition_notify(&condition, 1);
    CHECK_STATUS(task_await(owner), 0);
    CHECK_STATUS(task_await(waiter), -EOWNERDEAD);
    CHECK_RECORD("waiter -130, then 0");
    return 0;
}

static int and_over_a_request_which_comes_next(void *arg)
{
    struct task *waiter = start("waiter");
    struct task *owner = test_start(keeps, NULL, "owner");

    (void)arg;
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_await(owner), 0);
    CHECK_STATUS(task_await(waiter), -EOWNERDEAD);
    CHECK_RECORD("waiter -130, then -125");
    return 0;
}

/* Waiting for a predicate. */

static int box;

static bool is_three(void *arg)
{
    CHECK(owns());
    return *(int *)arg == 3;
}

static int waits_for_three(void *arg)
{
    int status;

    (void)arg;
    acquire();
    status = task_condition_wait_for(&condition, &lock, is_three, &box);
    CHECK(owns());
    record("%s %d with %d", task_name(task_current()), status, box);
    release();
    return status;
}

static int a_predicate_that_holds_is_not_waited_for(void *arg)
{
    (void)arg;
    box = 3;
    CHECK_STATUS(waits_for_three(NULL), 0);
    CHECK(turns_now() == 1);
    CHECK_RECORD("task-1 0 with 3");
    return 0;
}

static int else_it_is_asked_after_each_notification(void *arg)
{
    struct task *waiter;

    (void)arg;
    box = 0;
    waiter = test_start(waits_for_three, NULL, "waiter");
    while (box < 3) {
        CHECK_STATUS(task_wait_all_blocked(), 0);
        CHECK(!task_done(waiter));
        box++;
        task_condition_notify(&condition, 1);
    }
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0 with 3");
    return 0;
}

static int a_cancel_ends_the_wait_for_a_predicate(void *arg)
{
    struct task *waiter;

    (void)arg;
    box = 0;
    waiter = test_start(waits_for_three, NULL, "waiter");
    task_condition_notify(&condition, 1);
    CHECK(task_cancel(waiter)); /* the notification was in vain */
    CHECK_STATUS(task_await(waiter), -ECANCELED);
    CHECK_RECORD("waiter -125 with 0");

    waiter = test_start(waits_for_three, NULL, "waiter");
    box = 3;
    task_condition_notify(&condition, 1);
    CHECK(task_cancel(waiter)); /* it was not */
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0 with 3");
    return 0;
}

static int one_that_is_waited_on_cannot_be_destroyed(void *arg)
{
    struct task *waiter = start("waiter");

    (void)arg;
    CHECK_STATUS(task_condition_destroy(&condition), -EBUSY);
    task_condition_notify_all(&condition);
    CHECK_STATUS(task_condition_destroy(&condition), 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

/* What a request does at any point. */

static int fills_the_box(void *arg)
{
    (void)arg;
    /* Its awaiter passes requests on to it. */
    for (box = 0; box < 3;) {
        if (task_lock_acquire(&lock))
            continue;
        box++;
        task_condition_notify_all(&condition);
        task_yield();
        release();
        task_yield();
    }
    return 0;
}

static int waits_while_another_fills_it(void *arg)
{
    struct task *other = task_create(fills_the_box, NULL);

    (void)arg;
    box = 0;
    if (!task_lock_acquire(&lock)) {
        task_condition_wait_for(&condition, &lock, is_three, &box);
        CHECK(owns());
        release();
    }
    return task_await(other);
}

static void nobody_waits(void *arg)
{
    (void)arg;
    CHECK(!task_lock_locked(&lock));
    CHECK(!task_condition_waiting(&condition));
}

static void a_cancel_at_any_point_ends_with_the_lock(void **state)
{
    (void)state;
    assert_true(cancel_at_every_point(waits_while_another_fills_it,
                                      nobody_waits, NULL) >= 6);
}

/* Producers and consumers at random: an item a notification, so that a lost one
 * would leave a consumer waiting and an item lying there. */

enum { CROWD = 6, ITEMS = 100 };

static struct random random_now;
static int items;
static int n_taken;
static bool closed;

static bool has_item_or_is_closed(void *arg)
{
    (void)arg;
    CHECK(owns());
    return items || closed;
}

static int consumes(void *arg)
{
    int status;

    (void)arg;
    while (!closed || items) {
        while (task_lock_acquire(&lock))
            ;
        status = task_condition_wait_for(&condition, &lock,
                                         has_item_or_is_closed, NULL);
        CHECK(owns());
        CHECK(status == -ECANCELED || (!status && (items || closed)));
        if (!status && items) {
            items--;
            n_taken++;
        }
        if (random_below(&random_now, 2))
            task_yield();
        release();
        task_yield();
    }
    return 0;
}

static int every_item_is_taken_whatever_is_cancelled(void *arg)
{
    struct task *crowd[CROWD];

    (void)arg;
    random_now.state = test_seed_now();
    items = n_taken = 0;
    closed = false;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = task_create(consumes, NULL);
    for (int i = 0; i < ITEMS; i++) {
        acquire();
        items++;
        task_condition_notify(&condition, 1);
        task_cancel(crowd[random_below(&random_now, CROWD)]);
        release();
        for (size_t n = random_below(&random_now, 3); n; n--)
            CHECK_STATUS(task_yield(), 0);
    }
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK(!items && n_taken == ITEMS);
    CHECK(task_condition_waiting(&condition) == CROWD);
    closed = true;
    task_condition_notify_all(&condition);
    for (int i = 0; i < CROWD; i++)
        CHECK_STATUS(task_await(crowd[i]), 0);
    nobody_waits(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(wait_releases_the_lock_and_owns_it_again),
        in_main(notify_wakes_so_many_in_the_order_of_arrival),
        in_main(a_notification_is_not_kept_for_later),
        in_main(nobody_waits_without_the_lock),
        in_main(misuse_uses_no_request_up),
        in_main(callbacks_notify_but_do_not_wait),
        in_main(a_waiting_request_is_delivered_and_the_lock_kept),
        in_main(a_waiter_cancelled_before_the_notification_leaves_it),
        in_main(one_cancelled_after_the_notification_has_it),
        in_main(a_cancelled_waiter_does_not_return_without_the_lock),
        in_main(a_second_cancel_does_not_break_that_and_comes_next),
        in_main(a_notified_waiter_cancelled_while_it_wants_the_lock_has_both),
        in_main(a_request_taken_back_while_it_wants_the_lock_is_gone),
        in_main(a_notification_in_the_turn_of_a_time_out_is_passed_on),
        in_main(that_an_owner_died_wins_over_the_notification),
        in_main(and_over_a_request_which_comes_next),
        in_main(a_predicate_that_holds_is_not_waited_for),
        in_main(else_it_is_asked_after_each_notification),
        in_main(a_cancel_ends_the_wait_for_a_predicate),
        in_main(one_that_is_waited_on_cannot_be_destroyed),
        behaviour(a_cancel_at_any_point_ends_with_the_lock),
        in_main_seeded(every_item_is_taken_whatever_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
