/* Semaphores: who gets a token, and that none is lost or made. */
#include "cancel_points.h"
#include "random.h"
#include "record.h"

#include <limits.h>

static struct task_semaphore semaphore;

static void begin(int value)
{
    CHECK_STATUS(task_semaphore_init(&semaphore, value), 0);
}

/* Acquires; says with what result, and what a yield returns then. */
static int acquires(void *arg)
{
    int status = task_semaphore_acquire(&semaphore);
    int then = task_yield();

    (void)arg;
    record("%s %d, then %d", task_name(task_current()), status, then);
    return status;
}

/* Releases at once, and then acquires again. */
static int acquires_twice(void *arg)
{
    const char *name = task_name(task_current());

    (void)arg;
    CHECK_STATUS(task_semaphore_acquire(&semaphore), 0);
    record("%s", name);
    CHECK_STATUS(task_semaphore_release(&semaphore), 0);
    CHECK_STATUS(task_semaphore_acquire(&semaphore), 0);
    record("%s again", name);
    return task_semaphore_release(&semaphore);
}

static void release(int n)
{
    while (n--)
        CHECK_STATUS(task_semaphore_release(&semaphore), 0);
}

static int its_value_counts_the_tokens(void *arg)
{
    (void)arg;
    begin(2);
    CHECK(task_semaphore_value(&semaphore) == 2);
    CHECK_STATUS(task_semaphore_acquire(&semaphore), 0);
    CHECK_STATUS(task_semaphore_acquire(&semaphore), 0);
    CHECK(task_semaphore_value(&semaphore) == 0);
    CHECK_STATUS(task_semaphore_try_acquire(&semaphore), -EAGAIN);
    release(3);
    CHECK(task_semaphore_value(&semaphore) == 3); /* it is not bounded */
    CHECK_STATUS(task_semaphore_try_acquire(&semaphore), 0);
    CHECK(task_semaphore_value(&semaphore) == 2);
    CHECK(turns_now() == 1);
    return 0;
}

static int it_is_made_by_initialisers_too(void *arg)
{
    static struct task_semaphore zero;
    struct task_semaphore plain = TASK_SEMAPHORE_INIT(3);
    struct task_semaphore bounded = TASK_SEMAPHORE_INIT_BOUNDED(3);

    (void)arg;
    CHECK(task_semaphore_value(&zero) == 0);
    CHECK_STATUS(task_semaphore_release(&zero), 0);
    CHECK(task_semaphore_value(&plain) == 3);
    CHECK_STATUS(task_semaphore_release(&plain), 0);
    CHECK(task_semaphore_value(&bounded) == 3);
    CHECK_STATUS(task_semaphore_release(&bounded), -EOVERFLOW);
    return 0;
}

static int a_negative_value_is_refused(void *arg)
{
    (void)arg;
    begin(5);
    CHECK_STATUS(task_semaphore_init(&semaphore, -1), -EINVAL);
    CHECK_STATUS(task_semaphore_init(&semaphore, INT_MIN), -EINVAL);
    CHECK_STATUS(task_semaphore_init_bounded(&semaphore, -1), -EINVAL);
    CHECK_STATUS(task_semaphore_init_bounded(&semaphore, INT_MIN), -EINVAL);
    CHECK(task_semaphore_value(&semaphore) == 5);
    return 0;
}

static int a_bounded_one_has_no_more_than_at_first(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_semaphore_init_bounded(&semaphore, 2), 0);
    CHECK_STATUS(task_semaphore_release(&semaphore), -EOVERFLOW);
    CHECK(task_semaphore_value(&semaphore) == 2);
    CHECK_STATUS(task_semaphore_acquire(&semaphore), 0);
    CHECK_STATUS(task_semaphore_release(&semaphore), 0);
    CHECK_STATUS(task_semaphore_release(&semaphore), -EOVERFLOW);

    CHECK_STATUS(task_semaphore_init_bounded(&semaphore, 0), 0);
    CHECK_STATUS(task_semaphore_release(&semaphore), -EOVERFLOW);
    CHECK_STATUS(task_semaphore_init_bounded(&semaphore, INT_MAX), 0);
    CHECK_STATUS(task_semaphore_release(&semaphore), -EOVERFLOW);
    return 0;
}

static int none_has_more_than_an_int(void *arg)
{
    (void)arg;
    begin(INT_MAX - 1);
    CHECK_STATUS(task_semaphore_release(&semaphore), 0);
    CHECK_STATUS(task_semaphore_release(&semaphore), -EOVERFLOW);
    CHECK(task_semaphore_value(&semaphore) == INT_MAX);
    return 0;
}

static int without_tokens_the_first_waits(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin(0);
    waiter = test_start(acquires, NULL, "waiter");
    CHECK(task_semaphore_waiting(&semaphore) == 1);
    CHECK(!task_done(waiter));
    release(1);
    CHECK(task_semaphore_waiting(&semaphore) == 0);
    CHECK(task_semaphore_value(&semaphore) == 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static int who_releases_and_acquires_again_goes_behind_the_others(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin(0);
    tasks[0] = test_start(acquires_twice, NULL, "a");
    tasks[1] = test_start(acquires_twice, NULL, "b");
    tasks[2] = test_start(acquires_twice, NULL, "c");
    release(1);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_RECORD("a, b, c, a again, b again, c again");
    CHECK(task_semaphore_value(&semaphore) == 1);
    return 0;
}

static int a_newcomer_takes_nothing_from_those_it_was_granted_to(void *arg)
{
    struct task *tasks[4];

    (void)arg;
    begin(0);
    tasks[0] = test_start(acquires, NULL, "a");
    tasks[1] = test_start(acquires, NULL, "b");
    tasks[2] = test_start(acquires, NULL, "c");
    release(3);
    CHECK(task_semaphore_value(&semaphore) == 0);
    CHECK_STATUS(task_semaphore_try_acquire(&semaphore), -EAGAIN);
    tasks[3] = test_start(acquires, NULL, "newcomer");
    CHECK(task_semaphore_waiting(&semaphore) == 1);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_RECORD("a 0, then 0, b 0, then 0, c 0, then 0");
    release(1);
    CHECK_STATUS(task_await(tasks[3]), 0);
    CHECK_RECORD("newcomer 0, then 0");
    return 0;
}

static int of_four_the_first_two_cancelled_the_third_gets_it(void *arg)
{
    struct task *tasks[4];

    (void)arg;
    begin(0);
    tasks[0] = test_start(acquires, NULL, "a");
    tasks[1] = test_start(acquires, NULL, "b");
    tasks[2] = test_start(acquires, NULL, "c");
    tasks[3] = test_start(acquires, NULL, "d");
    CHECK(task_cancel(tasks[0]));
    CHECK(task_cancel(tasks[1]));
    release(1);
    CHECK_STATUS(task_await(tasks[2]), 0);
    CHECK_RECORD("a -125, then 0, b -125, then 0, c 0, then 0");
    CHECK(!task_done(tasks[3]));
    release(1);
    CHECK_STATUS(task_await(tasks[3]), 0);
    CHECK_RECORD("d 0, then 0");
    CHECK_STATUS(task_await(tasks[0]), -ECANCELED);
    CHECK_STATUS(task_await(tasks[1]), -ECANCELED);
    return 0;
}

static int a_waiter_cancelled_before_the_release_leaves_the_token(void *arg)
{
    struct task *first;
    struct task *second;

    (void)arg;
    begin(0);
    first = test_start(acquires, NULL, "first");
    second = test_start(acquires, NULL, "second");
    CHECK(task_cancel(first));
    release(2);
    CHECK(task_semaphore_value(&semaphore) == 1);
    CHECK_STATUS(task_await(second), 0);
    CHECK_STATUS(task_await(first), -ECANCELED);
    CHECK_RECORD("first -125, then 0, second 0, then 0");
    return 0;
}

static int one_cancelled_after_the_release_has_the_token(void *arg)
{
    struct task *first;
    struct task *second;

    (void)arg;
    begin(0);
    first = test_start(acquires, NULL, "first");
    second = test_start(acquires, NULL, "second");
    release(1);
    CHECK(task_cancel(first));
    CHECK(task_semaphore_value(&semaphore) == 0);
    CHECK_STATUS(task_await(first), 0);
    CHECK(!task_done(second));
    CHECK_RECORD("first 0, then -125");
    release(1);
    CHECK_STATUS(task_await(second), 0);
    CHECK_RECORD("second 0, then 0");
    return 0;
}

static int after_a_cancelled_first_two_tokens_go_to_the_others(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin(0);
    tasks[0] = test_start(acquires, NULL, "a");
    tasks[1] = test_start(acquires, NULL, "b");
    tasks[2] = test_start(acquires, NULL, "c");
    CHECK(task_cancel(tasks[0]));
    CHECK_STATUS(task_await(tasks[0]), -ECANCELED);
    release(2);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_STATUS(task_await(tasks[2]), 0);
    CHECK_RECORD("a -125, then 0, b 0, then 0, c 0, then 0");
    CHECK(task_semaphore_value(&semaphore) == 0);
    return 0;
}

static int a_waiting_request_is_delivered_before_a_token_is_taken(void *arg)
{
    (void)arg;
    begin(1);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_semaphore_acquire(&semaphore), -ECANCELED);
    CHECK(task_semaphore_value(&semaphore) == 1);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_semaphore_try_acquire(&semaphore), 0);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

static void uses_it(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_semaphore_acquire(&semaphore), -EPERM);
    CHECK_STATUS(task_semaphore_try_acquire(&semaphore), 0);
    CHECK_STATUS(task_semaphore_try_acquire(&semaphore), -EAGAIN);
    CHECK_STATUS(task_semaphore_release(&semaphore), 0);
}

static void gives_one(void *arg)
{
    (void)arg;
    release(1);
}

static int callbacks_release_and_try_but_do_not_wait(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin(1);
    CHECK(loop_call_soon(uses_it, NULL) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_semaphore_acquire(&semaphore), 0);
    waiter = test_start(acquires, NULL, "waiter");
    CHECK(loop_call_soon(gives_one, NULL) > 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static int one_that_is_waited_for_cannot_be_destroyed(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin(0);
    waiter = test_start(acquires, NULL, "waiter");
    CHECK_STATUS(task_semaphore_destroy(&semaphore), -EBUSY);
    release(1);
    CHECK_STATUS(task_semaphore_destroy(&semaphore), 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

/* What a request does at any point. */

static int has_it_a_while(void *arg)
{
    int status = task_semaphore_acquire(&semaphore);

    (void)arg;
    task_yield();
    task_yield();
    if (!status)
        CHECK_STATUS(task_semaphore_release(&semaphore), 0);
    return status;
}

static int is_one_of_three(void *arg)
{
    struct task *before;
    struct task *after;

    CHECK_STATUS(task_semaphore_init_bounded(&semaphore, 1), 0);
    before = task_create(has_it_a_while, NULL);
    task_yield();
    after = task_create(has_it_a_while, NULL);
    has_it_a_while(arg);
    task_await(before);
    return task_await(after);
}

static void all_tokens_are_there(void *arg)
{
    (void)arg;
    CHECK(task_semaphore_value(&semaphore) == 1);
    CHECK(!task_semaphore_waiting(&semaphore));
}

static void a_cancel_at_any_point_loses_no_token(void **state)
{
    (void)state;
    assert_int_equal(
        cancel_at_every_point(is_one_of_three, all_tokens_are_there, NULL), 5);
}

/* Many tasks at random. */

enum { CROWD = 8, ROUNDS = 20, TOKENS = 3 };

static struct random random_now;
static int n_inside;
static int n_rounds;

static void dawdle(void)
{
    for (size_t n = random_below(&random_now, 3); n; n--)
        task_yield();
}

static int competes(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int status = task_semaphore_acquire(&semaphore);

        CHECK(status == 0 || status == -ECANCELED);
        if (!status) {
            CHECK(++n_inside <= TOKENS);
            dawdle();
            n_inside--;
            CHECK_STATUS(task_semaphore_release(&semaphore), 0);
        }
        CHECK(!task_semaphore_value(&semaphore) ||
              !task_semaphore_waiting(&semaphore));
        n_rounds++;
        dawdle();
    }
    return 0;
}

static int no_token_is_lost_or_made_whatever_is_cancelled(void *arg)
{
    struct task *crowd[CROWD];

    (void)arg;
    CHECK_STATUS(task_semaphore_init_bounded(&semaphore, TOKENS), 0);
    random_now.state = test_seed_now();
    n_inside = 0;
    n_rounds = 0;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = task_create(competes, NULL);
    while (n_rounds < CROWD * ROUNDS) {
        task_cancel(crowd[random_below(&random_now, CROWD)]);
        dawdle();
        CHECK_STATUS(task_yield(), 0);
    }
    for (int i = 0; i < CROWD; i++)
        CHECK_STATUS(task_await(crowd[i]), 0);
    CHECK(task_semaphore_value(&semaphore) == TOKENS);
    CHECK(!task_semaphore_waiting(&semaphore));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(its_value_counts_the_tokens),
        in_main(it_is_made_by_initialisers_too),
        in_main(a_negative_value_is_refused),
        in_main(a_bounded_one_has_no_more_than_at_first),
        in_main(none_has_more_than_an_int),
        in_main(without_tokens_the_first_waits),
        in_main(who_releases_and_acquires_again_goes_behind_the_others),
        in_main(a_newcomer_takes_nothing_from_those_it_was_granted_to),
        in_main(of_four_the_first_two_cancelled_the_third_gets_it),
        in_main(a_waiter_cancelled_before_the_release_leaves_the_token),
        in_main(one_cancelled_after_the_release_has_the_token),
        in_main(after_a_cancelled_first_two_tokens_go_to_the_others),
        in_main(a_waiting_request_is_delivered_before_a_token_is_taken),
        in_main(callbacks_release_and_try_but_do_not_wait),
        in_main(one_that_is_waited_for_cannot_be_destroyed),
        behaviour(a_cancel_at_any_point_loses_no_token),
        in_main_seeded(no_token_is_lost_or_made_whatever_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
