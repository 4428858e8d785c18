/* Locks: their order, their owners, and what a cancel leaves of both. */
#include "cancel_points.h"
#include "random.h"
#include "record.h"

#include <stdlib.h>

static struct task_lock lock;

static const char *name(void)
{
    return task_name(task_current());
}

/* Acquires; says with what result, and what a yield returns then; releases. */
static int acquires(void *arg)
{
    int status = task_lock_acquire(&lock);
    bool owns = task_lock_owner(&lock) == task_current();
    int then = task_yield();

    (void)arg;
    record("%s %d%s, then %d", name(), status, owns ? " owns" : "", then);
    if (owns)
        CHECK_STATUS(task_lock_release(&lock), 0);
    return status;
}

/* Ends with the lock. */
static int keeps(void *arg)
{
    int status = task_lock_acquire(&lock);

    (void)arg;
    task_yield();
    return status;
}

static int tries(void *arg)
{
    (void)arg;
    return task_lock_try_acquire(&lock);
}

static int releases(void *arg)
{
    (void)arg;
    return task_lock_release(&lock);
}

static int a_free_lock_is_acquired_at_once(void *arg)
{
    (void)arg;
    CHECK(!task_lock_locked(&lock));
    CHECK(!task_lock_owner(&lock));
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK(task_lock_locked(&lock));
    CHECK(task_lock_owner(&lock) == task_current());
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK(!task_lock_locked(&lock));
    CHECK(turns_now() == 1);
    return 0;
}

static int waiters_own_it_in_the_order_of_arrival(void *arg)
{
    static const char *const names[] = {"a", "b", "c"};
    struct task *waiters[3];

    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    for (size_t i = 0; i < 3; i++) {
        waiters[i] = test_start(acquires, NULL, names[i]);
        CHECK(task_lock_waiting(&lock) == i + 1);
    }
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK(task_lock_owner(&lock) == waiters[0]);
    CHECK(task_lock_waiting(&lock) == 2);
    CHECK_STATUS(task_lock_acquire(&lock), 0); /* behind them */
    CHECK_RECORD("a 0 owns, then 0, b 0 owns, then 0, c 0 owns, then 0");
    CHECK_STATUS(task_lock_release(&lock), 0);
    for (size_t i = 0; i < 3; i++)
        CHECK_STATUS(task_await(waiters[i]), 0);
    return 0;
}

static int nobody_takes_it_before_the_waiter_it_was_handed_to(void *arg)
{
    struct task *waiter;

    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    waiter = test_start(acquires, NULL, "waiter");
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK(task_lock_locked(&lock));
    CHECK_STATUS(task_lock_try_acquire(&lock), -EAGAIN);
    CHECK_STATUS(task_await(test_start(tries, NULL, "other")), -EAGAIN);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0 owns, then 0");
    return 0;
}

static int a_waiter_cancelled_after_the_release_owns_it(void *arg)
{
    struct task *waiter;

    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    waiter = test_start(acquires, NULL, "waiter");
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0 owns, then -125");
    CHECK(!task_lock_locked(&lock));
    return 0;
}

static int a_waiter_cancelled_before_the_release_does_not(void *arg)
{
    struct task *first;
    struct task *second;

    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    first = test_start(acquires, NULL, "first");
    second = test_start(acquires, NULL, "second");
    CHECK(task_cancel(first));
    CHECK(task_lock_waiting(&lock) == 1);
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK(task_lock_owner(&lock) == second);
    CHECK_STATUS(task_await(first), -ECANCELED);
    CHECK_STATUS(task_await(second), 0);
    CHECK_RECORD("first -125, then 0, second 0 owns, then 0");
    return 0;
}

/* The order of one callback, in which all of it happens. */
struct race {
    struct task *owner;
    struct task *victim;
};

static int holds_until_cancelled(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return task_lock_release(&lock);
}

/* The owner is asked to release before the victim is cancelled, which comes
 * first nevertheless. */
static void cancel_both(void *arg)
{
    struct race *race = arg;

    CHECK(task_cancel(race->owner));
    CHECK(task_cancel(race->victim));
}

static int of_three_waiters_one_cancelled_just_one_owns_it(void *arg)
{
    struct race race = {.owner =
                            test_start(holds_until_cancelled, NULL, "owner")};
    struct task *a = test_start(acquires, NULL, "a");
    struct task *c;

    (void)arg;
    race.victim = test_start(acquires, NULL, "b");
    c = test_start(acquires, NULL, "c");
    CHECK(loop_call_soon(cancel_both, &race) > 0);
    CHECK_STATUS(task_await(race.owner), 0);
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(race.victim), -ECANCELED);
    CHECK_STATUS(task_await(c), 0);
    CHECK_RECORD("b -125, then 0, a 0 owns, then 0, c 0 owns, then 0");
    return 0;
}

static int a_lock_whose_only_waiter_was_cancelled_is_free(void *arg)
{
    struct task *waiter;

    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    waiter = test_start(acquires, NULL, "waiter");
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK(!task_lock_locked(&lock));
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK_STATUS(task_await(waiter), -ECANCELED);
    CHECK_RECORD("waiter -125, then 0");
    return 0;
}

static int a_waiting_request_is_delivered_before_a_free_lock_is_taken(void *arg)
{
    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_lock_acquire(&lock), -ECANCELED);
    CHECK(!task_lock_locked(&lock));
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_lock_release(&lock), 0);
    return 0;
}

static int a_try_delivers_no_request(void *arg)
{
    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_lock_try_acquire(&lock), 0);
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

static int only_its_owner_can_release_it(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_lock_release(&lock), -EPERM);
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_await(test_start(releases, NULL, "other")), -EPERM);
    CHECK(task_lock_owner(&lock) == task_current());
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK_STATUS(task_lock_release(&lock), -EPERM);
    CHECK(!task_lock_locked(&lock));
    return 0;
}

static int its_owner_would_wait_for_itself(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_lock_acquire(&lock), -EDEADLK);
    CHECK_STATUS(task_lock_try_acquire(&lock), -EAGAIN);
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK(!task_lock_locked(&lock)); /* it does not count */
    return 0;
}

static void uses_it(void *arg)
{
    int *n = arg;

    CHECK_STATUS(task_lock_acquire(&lock), -EPERM);
    CHECK_STATUS(task_lock_try_acquire(&lock), -EPERM);
    CHECK_STATUS(task_lock_release(&lock), -EPERM);
    ++*n;
}

static int only_tasks_can_own_it(void *arg)
{
    int n = 0;

    (void)arg;
    CHECK(loop_call_soon(uses_it, &n) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(n == 1);
    CHECK(!task_lock_locked(&lock));
    return 0;
}

static void outside_a_loop_nobody_can_own_it(void **state)
{
    int n = 0;

    (void)state;
    uses_it(&n);
    assert_false(task_lock_locked(&lock));
}

static int an_owner_that_ends_leaves_it_to_the_next(void *arg)
{
    struct task *owner = test_start(keeps, NULL, "owner");
    struct task *first = test_start(acquires, NULL, "first");
    struct task *second = test_start(acquires, NULL, "second");

    (void)arg;
    CHECK_STATUS(task_await(owner), 0);
    CHECK_STATUS(task_await(first), -EOWNERDEAD);
    CHECK_STATUS(task_await(second), 0);
    CHECK_RECORD("first -130 owns, then 0, second 0 owns, then 0");
    return 0;
}

static int without_waiters_to_whoever_acquires_it_next(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_await(test_start(keeps, NULL, "owner")), 0);
    CHECK(!task_lock_locked(&lock));
    CHECK_STATUS(task_lock_acquire(&lock), -EOWNERDEAD);
    CHECK(task_lock_owner(&lock) == task_current());
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_lock_release(&lock), 0);

    CHECK_STATUS(task_await(test_start(keeps, NULL, "owner")), 0);
    CHECK_STATUS(task_lock_try_acquire(&lock), -EOWNERDEAD);
    CHECK_STATUS(task_lock_release(&lock), 0);
    return 0;
}

static int a_waiter_cancelled_before_its_owner_ended_does_not_get_it(void *arg)
{
    struct task *owner = test_start(keeps, NULL, "owner");
    struct task *first = test_start(acquires, NULL, "first");
    struct task *second = test_start(acquires, NULL, "second");

    (void)arg;
    CHECK(task_cancel(first));
    CHECK_STATUS(task_await(owner), 0);
    CHECK_STATUS(task_await(second), -EOWNERDEAD);
    CHECK_STATUS(task_await(first), -ECANCELED);
    CHECK_RECORD("first -125, then 0, second -130 owns, then 0");
    return 0;
}

static int one_cancelled_after_that_has_it(void *arg)
{
    struct task *owner = test_start(keeps, NULL, "owner");
    struct task *waiter = test_start(acquires, NULL, "waiter");

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(owner));
    CHECK(task_lock_owner(&lock) == waiter);
    CHECK(task_cancel(waiter));
    CHECK_STATUS(task_await(waiter), -EOWNERDEAD);
    CHECK_STATUS(task_await(owner), 0);
    CHECK_RECORD("waiter -130 owns, then -125");
    return 0;
}

static struct task_lock many[4];

static int takes_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(task_lock_acquire(&many[i]), 0);
    CHECK_STATUS(task_lock_release(&many[1]), 0); /* not the last taken */
    CHECK_STATUS(task_lock_release(&many[3]), 0);
    return 0;
}

static int all_that_a_task_holds_when_it_ends_are_left(void *arg)
{
    static const int expected[4] = {-EOWNERDEAD, 0, -EOWNERDEAD, 0};

    (void)arg;
    CHECK_STATUS(task_await(task_create(takes_many, NULL)), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(task_lock_acquire(&many[i]), expected[i]);
        CHECK_STATUS(task_lock_release(&many[i]), 0);
    }
    return 0;
}

static int locks_are_released_in_any_order(void *arg)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    (void)arg;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        for (int j = 0; j < 3; j++)
            CHECK_STATUS(task_lock_acquire(&many[j]), 0);
        for (int j = 0; j < 3; j++)
            CHECK_STATUS(task_lock_release(&many[orders[i][j]]), 0);
    }
    return 0;
}

enum { SOME = 40 };

static struct task_lock some[SOME];
static bool held[SOME];

/* Takes and releases some at random, and ends with what it holds then. */
static int ends_holding_some(void *arg)
{
    struct random random = {test_seed_now()};

    (void)arg;
    for (int n = 20 * SOME; n; n--) {
        size_t i = random_below(&random, SOME);

        CHECK_STATUS(held[i] ? task_lock_release(&some[i])
                             : task_lock_acquire(&some[i]),
                     0);
        held[i] = !held[i];
    }
    return 0;
}

static int whatever_was_released_all_others_are_left(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_await(task_create(ends_holding_some, NULL)), 0);
    for (int i = 0; i < SOME; i++) {
        CHECK_STATUS(task_lock_acquire(&some[i]), held[i] ? -EOWNERDEAD : 0);
        CHECK_STATUS(task_lock_release(&some[i]), 0);
        held[i] = false;
    }
    return 0;
}

/* It took minutes where each was searched for among those taken later. */
static int
a_million_are_released_in_the_order_in_which_they_were_taken(void *arg)
{
    size_t n = test_rounds(1000000);
    struct task_lock *locks = calloc(n, sizeof *locks);

    (void)arg;
    CHECK(locks);
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_lock_acquire(&locks[i]), 0);
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_lock_release(&locks[i]), 0);
    free(locks);
    return 0;
}

static int keeps_two_in_debug_mode(void *arg)
{
    (void)arg;
    loop_set_debug(loop_current(), true);
    CHECK_STATUS(task_lock_acquire(&many[0]), 0);
    CHECK_STATUS(task_lock_acquire(&many[1]), 0);
    return 0;
}

static int debug_mode_reports_a_task_that_ends_with_locks(void *arg)
{
    (void)arg;
    CHECK_STATUS(
        task_await(test_start(keeps_two_in_debug_mode, NULL, "forgetful")), 0);
    CHECK_RECORD("leak(forgetful, 0)");
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(task_lock_acquire(&many[i]), -EOWNERDEAD);
        CHECK_STATUS(task_lock_release(&many[i]), 0);
    }
    return 0;
}

static int one_that_is_owned_cannot_be_destroyed(void *arg)
{
    struct task *waiter;

    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_lock_destroy(&lock), -EBUSY);
    waiter = test_start(acquires, NULL, "waiter");
    CHECK_STATUS(task_lock_destroy(&lock), -EBUSY);
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK_STATUS(task_lock_destroy(&lock), -EBUSY); /* the waiter's */
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_STATUS(task_lock_destroy(&lock), 0);
    CHECK_RECORD("waiter 0 owns, then 0");
    CHECK_STATUS(task_await(test_start(keeps, NULL, "owner")), 0);
    CHECK_STATUS(task_lock_destroy(&lock), 0);
    CHECK_STATUS(task_lock_acquire(&lock), 0); /* a new one */
    CHECK_STATUS(task_lock_release(&lock), 0);
    return 0;
}

static int waits_without_memory(void *arg)
{
    struct memory_count *count = arg;
    struct task *waiter;
    size_t before;

    CHECK_STATUS(task_lock_acquire(&lock), 0);
    waiter = task_create(acquires, NULL);
    task_set_name(waiter, "waiter");
    before = count->allocations;
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_lock_waiting(&lock) == 1);
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(count->allocations == before);
    return task_await(waiter);
}

static void waiting_allocates_nothing(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, waits_without_memory, &count), 0);
    test_loop_free(loop, &count);
    assert_record("waiter 0 owns, then 0");
}

/* What a request does at any point. */

static int holds_a_while(void *arg)
{
    int status = task_lock_acquire(&lock);

    (void)arg;
    task_yield();
    task_yield();
    if (task_lock_owner(&lock) == task_current())
        CHECK_STATUS(task_lock_release(&lock), 0);
    return status;
}

static int is_one_of_three(void *arg)
{
    struct task *before;
    struct task *after;
    int status;

    lock = (struct task_lock){0};
    before = task_create(holds_a_while, NULL);
    task_yield();
    after = task_create(holds_a_while, NULL);
    status = holds_a_while(arg);
    task_await(before);
    task_await(after);
    return status;
}

static void it_is_free(void *arg)
{
    (void)arg;
    CHECK(!task_lock_locked(&lock));
    CHECK(!task_lock_waiting(&lock));
    CHECK_STATUS(task_lock_destroy(&lock), 0);
}

static void a_cancel_at_any_point_leaves_it_free(void **state)
{
    (void)state;
    assert_true(cancel_at_every_point(is_one_of_three, it_is_free, NULL) >= 5);
}

/* Many tasks at random. */

enum { CROWD = 8, ROUNDS = 20 };

static struct random random_now;
static int n_inside;
static int n_rounds;
static int arrivals;
static int last_served;

static void dawdle(void)
{
    for (size_t n = random_below(&random_now, 3); n; n--)
        task_yield();
}

static int competes(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int arrival = ++arrivals;
        int status = task_lock_acquire(&lock);

        CHECK(status == 0 || status == -ECANCELED);
        if (!status) {
            CHECK(arrival > last_served);
            last_served = arrival;
            CHECK(task_lock_owner(&lock) == task_current());
            CHECK(!n_inside++);
            dawdle();
            n_inside--;
            CHECK_STATUS(task_lock_release(&lock), 0);
        }
        n_rounds++;
        dawdle();
    }
    return 0;
}

static int one_at_a_time_owns_it_in_order_whatever_is_cancelled(void *arg)
{
    struct task *crowd[CROWD];

    (void)arg;
    random_now.state = test_seed_now();
    n_rounds = arrivals = last_served = 0;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = task_create(competes, NULL);
    while (n_rounds < CROWD * ROUNDS) {
        task_cancel(crowd[random_below(&random_now, CROWD)]);
        dawdle();
        CHECK_STATUS(task_yield(), 0);
    }
    for (int i = 0; i < CROWD; i++)
        CHECK_STATUS(task_await(crowd[i]), 0);
    it_is_free(NULL);
    return 0;
}

/* At the end of a loop. */

static struct task_lock lasting;
static struct task_rwlock lasting_rwlock;

static int owns_until_it_is_dropped(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_lock_acquire(&lasting), 0);
    CHECK_STATUS(task_rwlock_write_acquire(&lasting_rwlock), 0);
    for (int i = 0; i < 1000; i++)
        task_sleep(TASK_HOUR);
    return 0;
}

static int waits_until_it_is_dropped(void *reads)
{
    for (int i = 0; i < 1000; i++)
        if (reads)
            task_rwlock_read_acquire(&lasting_rwlock);
        else
            task_lock_acquire(&lasting);
    return 0;
}

static int leaves_an_owner_and_those_who_wait(void *arg)
{
    (void)arg;
    task_detach(task_create(owns_until_it_is_dropped, NULL));
    task_yield();
    task_detach(task_create(waits_until_it_is_dropped, NULL));
    task_detach(task_create(waits_until_it_is_dropped, text("reads")));
    return task_yield();
}

static int acquires_what_was_left(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_lock_waiting(&lasting), 0);
    CHECK_STATUS(task_rwlock_waiting(&lasting_rwlock), 0);
    CHECK_STATUS(task_rwlock_readers(&lasting_rwlock), 0);
    CHECK_STATUS(task_lock_acquire(&lasting), -EOWNERDEAD);
    CHECK_STATUS(task_rwlock_write_acquire(&lasting_rwlock), -EOWNERDEAD);
    CHECK_STATUS(task_lock_release(&lasting), 0);
    CHECK_STATUS(task_rwlock_write_release(&lasting_rwlock), 0);
    return 0;
}

static void an_owner_that_is_dropped_leaves_it_to_the_next_loop(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.shutdown_timeout = TASK_SECOND;
    assert_int_equal(run_with(options, leaves_an_owner_and_those_who_wait, 0),
                     0);
    record_clear();
    assert_int_equal(run_virtual(acquires_what_was_left, NULL), 0);
    assert_int_equal(task_lock_destroy(&lasting), 0);
    assert_int_equal(task_rwlock_destroy(&lasting_rwlock), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_free_lock_is_acquired_at_once),
        in_main(waiters_own_it_in_the_order_of_arrival),
        in_main(nobody_takes_it_before_the_waiter_it_was_handed_to),
        in_main(a_waiter_cancelled_after_the_release_owns_it),
        in_main(a_waiter_cancelled_before_the_release_does_not),
        in_main(of_three_waiters_one_cancelled_just_one_owns_it),
        in_main(a_lock_whose_only_waiter_was_cancelled_is_free),
        in_main(a_waiting_request_is_delivered_before_a_free_lock_is_taken),
        in_main(a_try_delivers_no_request),
        in_main(only_its_owner_can_release_it),
        in_main(its_owner_would_wait_for_itself),
        in_main(only_tasks_can_own_it),
        behaviour(outside_a_loop_nobody_can_own_it),
        in_main(an_owner_that_ends_leaves_it_to_the_next),
        in_main(without_waiters_to_whoever_acquires_it_next),
        in_main(a_waiter_cancelled_before_its_owner_ended_does_not_get_it),
        in_main(one_cancelled_after_that_has_it),
        in_main(all_that_a_task_holds_when_it_ends_are_left),
        in_main(locks_are_released_in_any_order),
        in_main_seeded(whatever_was_released_all_others_are_left),
        in_main(a_million_are_released_in_the_order_in_which_they_were_taken),
        in_main(debug_mode_reports_a_task_that_ends_with_locks),
        in_main(one_that_is_owned_cannot_be_destroyed),
        behaviour(waiting_allocates_nothing),
        behaviour(a_cancel_at_any_point_leaves_it_free),
        in_main_seeded(one_at_a_time_owns_it_in_order_whatever_is_cancelled),
        behaviour(an_owner_that_is_dropped_leaves_it_to_the_next_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
