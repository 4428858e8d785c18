/* Barriers: who is let through, with which place, and who is not. */
#include "cancel_points.h"
#include "random.h"
#include "record.h"

#include <limits.h>

static struct task_barrier barrier;

static void begin(unsigned parties)
{
    CHECK_STATUS(task_barrier_init(&barrier, parties), 0);
}

/* Waits; says with what result, and what a yield returns then. */
static int waits(void *arg)
{
    int status = task_barrier_wait(&barrier);
    int then = task_yield();

    (void)arg;
    record("%s %d, then %d", task_name(task_current()), status, then);
    return status;
}

static int waits_twice(void *arg)
{
    int first = task_barrier_wait(&barrier);
    int second = task_barrier_wait(&barrier);

    (void)arg;
    record("%s %d %d", task_name(task_current()), first, second);
    return 0;
}

static struct task *start(const char *name)
{
    return test_start(waits, NULL, name);
}

static int one_party_never_waits(void *arg)
{
    static struct task_barrier zero;

    (void)arg;
    begin(1);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task_barrier_wait(&barrier), 0);
        CHECK_STATUS(task_barrier_wait(&zero), 0);
    }
    CHECK(turns_now() == 1);
    return 0;
}

static int it_is_made_by_an_initialiser_too(void *arg)
{
    struct task_barrier three = TASK_BARRIER_INIT(3);
    struct task_barrier zeroed = {0};

    (void)arg;
    CHECK(task_barrier_parties(&zeroed) == 1);
    CHECK(task_barrier_parties(&three) == 3);
    CHECK(!task_barrier_broken(&three));
    begin(7);
    CHECK(task_barrier_parties(&barrier) == 7);
    CHECK_STATUS(task_barrier_init(&barrier, 0), -EINVAL);
    CHECK_STATUS(task_barrier_init(&barrier, INT_MAX + 1u), -EINVAL);
    CHECK(task_barrier_parties(&barrier) == 7);
    CHECK_STATUS(task_barrier_init(&barrier, INT_MAX), 0);
    return 0;
}

static int the_last_lets_all_through_each_with_its_place(void *arg)
{
    struct task *a;
    struct task *b;

    (void)arg;
    begin(3);
    a = start("a");
    CHECK(task_barrier_waiting(&barrier) == 1);
    b = start("b");
    CHECK(task_barrier_waiting(&barrier) == 2);
    CHECK_STATUS(task_barrier_wait(&barrier), 2);
    CHECK(turns_now() == 1); /* the last does not suspend */
    CHECK(task_barrier_waiting(&barrier) == 0);
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 1);
    CHECK_RECORD("a 0, then 0, b 1, then 0");
    return 0;
}

static int who_comes_while_they_leave_is_of_the_next_generation(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin(2);
    tasks[0] = start("a");
    tasks[1] = start("b"); /* lets a through */
    CHECK(task_barrier_waiting(&barrier) == 0);
    tasks[2] = start("c");
    CHECK(task_barrier_waiting(&barrier) == 1);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 1);
    CHECK(!task_done(tasks[2]));
    CHECK_STATUS(task_barrier_wait(&barrier), 1);
    CHECK_STATUS(task_await(tasks[2]), 0);
    CHECK_RECORD("b 1, then 0, a 0, then 0, c 0, then 0");
    return 0;
}

static int a_cancelled_waiter_leaves_its_place_to_be_filled(void *arg)
{
    struct task *a;
    struct task *b;

    (void)arg;
    begin(3);
    a = start("a");
    b = start("b");
    CHECK(task_cancel(a));
    CHECK(task_barrier_waiting(&barrier) == 1);
    CHECK(!task_barrier_broken(&barrier));
    CHECK_STATUS(task_await(a), -ECANCELED);
    a = start("a again");
    CHECK(!task_done(b));
    CHECK_STATUS(task_barrier_wait(&barrier), 2);
    CHECK_STATUS(task_await(b), 0); /* places are given in the end */
    CHECK_STATUS(task_await(a), 1);
    CHECK_RECORD("a -125, then 0, b 0, then 0, a again 1, then 0");
    return 0;
}

static int one_cancelled_after_it_was_let_through_has_its_place(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin(2);
    waiter = start("waiter");
    CHECK_STATUS(task_barrier_wait(&barrier), 1);
    CHECK(task_cancel(waiter));
    CHECK(task_barrier_waiting(&barrier) == 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then -125");
    return 0;
}

static int a_waiting_request_is_delivered_before_it_counts(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin(2);
    waiter = start("waiter");
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_barrier_wait(&barrier), -ECANCELED);
    CHECK(task_barrier_waiting(&barrier) == 1);
    CHECK_STATUS(task_barrier_wait(&barrier), 1);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

static int reset_sends_away_those_that_wait_and_begins_anew(void *arg)
{
    struct task *a;
    struct task *b;

    (void)arg;
    begin(3);
    a = start("a");
    b = start("b");
    task_barrier_reset(&barrier);
    CHECK(!task_barrier_broken(&barrier));
    CHECK(task_barrier_waiting(&barrier) == 0);
    CHECK_STATUS(task_await(a), -EPIPE);
    CHECK_STATUS(task_await(b), -EPIPE);
    CHECK_RECORD("a -32, then 0, b -32, then 0");
    a = start("a");
    b = start("b");
    CHECK_STATUS(task_barrier_wait(&barrier), 2);
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 1);
    CHECK_RECORD("a 0, then 0, b 1, then 0");
    return 0;
}

static int reset_leaves_those_alone_that_were_let_through(void *arg)
{
    struct task *through;
    struct task *after;

    (void)arg;
    begin(2);
    through = start("through");
    CHECK_STATUS(task_barrier_wait(&barrier), 1);
    after = start("after");
    task_barrier_reset(&barrier);
    CHECK_STATUS(task_await(through), 0);
    CHECK_STATUS(task_await(after), -EPIPE);
    CHECK_RECORD("through 0, then 0, after -32, then 0");
    return 0;
}

static int those_sent_away_may_wait_again_at_once(void *arg)
{
    struct task *a;
    struct task *b;

    (void)arg;
    begin(3);
    a = test_start(waits_twice, NULL, "a");
    b = test_start(waits_twice, NULL, "b");
    task_barrier_reset(&barrier);
    CHECK_STATUS(task_barrier_wait(&barrier), 0); /* before they run */
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 0);
    CHECK_RECORD("b -32 2, a -32 1");
    return 0;
}

static int an_aborted_one_is_broken_until_it_is_reset(void *arg)
{
    struct task *a;

    (void)arg;
    begin(2);
    a = start("a");
    task_barrier_abort(&barrier);
    CHECK(task_barrier_broken(&barrier));
    CHECK(task_barrier_waiting(&barrier) == 0);
    CHECK_STATUS(task_barrier_wait(&barrier), -EPIPE);
    CHECK_STATUS(task_barrier_wait(&barrier), -EPIPE);
    CHECK_STATUS(task_await(a), -EPIPE);
    CHECK_RECORD("a -32, then 0");
    task_barrier_reset(&barrier);
    CHECK(!task_barrier_broken(&barrier));
    a = start("a");
    CHECK_STATUS(task_barrier_wait(&barrier), 1);
    CHECK_STATUS(task_await(a), 0);
    CHECK_RECORD("a 0, then 0");
    return 0;
}

static int abort_sends_away_whoever_came_while_they_leave(void *arg)
{
    struct task *through;
    struct task *after;

    (void)arg;
    begin(2);
    through = start("through");
    CHECK_STATUS(task_barrier_wait(&barrier), 1);
    after = start("after");
    task_barrier_abort(&barrier);
    CHECK_STATUS(task_await(through), 0);
    CHECK_STATUS(task_await(after), -EPIPE);
    CHECK_RECORD("through 0, then 0, after -32, then 0");
    return 0;
}

static int one_cancelled_after_it_was_sent_away_knows_both(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin(2);
    waiter = start("waiter");
    task_barrier_reset(&barrier);
    CHECK(task_cancel(waiter));
    CHECK(task_barrier_waiting(&barrier) == 0);
    CHECK_STATUS(task_await(waiter), -EPIPE);
    CHECK_RECORD("waiter -32, then -125");
    return 0;
}

static void uses_it(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_barrier_wait(&barrier), -EPERM);
    task_barrier_abort(&barrier);
    task_barrier_reset(&barrier);
}

static int callbacks_reset_it_but_do_not_wait(void *arg)
{
    (void)arg;
    begin(2);
    CHECK(loop_call_soon(uses_it, NULL) > 0);
    CHECK_STATUS(task_barrier_wait(&barrier), -EPIPE);
    CHECK(!task_barrier_broken(&barrier));
    return 0;
}

static int one_that_is_waited_at_cannot_be_destroyed(void *arg)
{
    struct task *waiter;

    (void)arg;
    begin(2);
    waiter = start("waiter");
    CHECK_STATUS(task_barrier_destroy(&barrier), -EBUSY);
    CHECK_STATUS(task_barrier_wait(&barrier), 1);
    CHECK_STATUS(task_barrier_destroy(&barrier), 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("waiter 0, then 0");
    return 0;
}

/* What a request does at any point. */

static int just_waits(void *arg)
{
    (void)arg;
    return task_barrier_wait(&barrier);
}

static int waits_with_another(void *arg)
{
    struct task *other;
    int status;

    (void)arg;
    begin(2);
    other = task_create(just_waits, NULL);
    status = task_barrier_wait(&barrier);
    if (status < 0)
        task_barrier_abort(&barrier);
    task_await(other);
    return status;
}

static void nobody_waits(void *arg)
{
    (void)arg;
    CHECK(!task_barrier_waiting(&barrier));
    CHECK_STATUS(task_barrier_destroy(&barrier), 0);
}

static void a_cancel_at_any_point_leaves_no_place_filled(void **state)
{
    (void)state;
    assert_int_equal(
        cancel_at_every_point(waits_with_another, nobody_waits, NULL), 1);
}

/* Many at random: each generation is let through with all places, once. */

enum { PARTIES = 4, CROWD = 7, GENERATIONS = 40 };

static struct random random_now;
static unsigned n_through;

static int waits_again_and_again(void *arg)
{
    unsigned *places = arg;

    for (;;) {
        int place = task_barrier_wait(&barrier);

        CHECK((place >= 0 && place < PARTIES) || place == -ECANCELED ||
              place == -EPIPE);
        if (place == -EPIPE && task_barrier_broken(&barrier))
            return 0;
        if (place >= 0) {
            places[place]++;
            n_through++;
        }
        for (size_t n = random_below(&random_now, 3); n; n--)
            task_yield();
    }
}

static int all_places_are_given_alike_whatever_is_cancelled(void *arg)
{
    struct task *crowd[CROWD];
    unsigned places[PARTIES] = {0};

    (void)arg;
    begin(PARTIES);
    random_now.state = test_seed_now();
    n_through = 0;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = task_create(waits_again_and_again, places);
    while (n_through < GENERATIONS * PARTIES) {
        task_cancel(crowd[random_below(&random_now, CROWD)]);
        if (!random_below(&random_now, 10))
            task_barrier_reset(&barrier);
        CHECK(task_barrier_waiting(&barrier) < PARTIES);
        CHECK_STATUS(task_yield(), 0);
    }
    task_barrier_abort(&barrier);
    for (int i = 0; i < CROWD; i++)
        CHECK_STATUS(task_await(crowd[i]), 0);
    for (int i = 0; i < PARTIES; i++)
        CHECK(places[i] == n_through / PARTIES);
    nobody_waits(NULL);
    return 0;
}

static int comes_until_it_is_dropped(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        task_barrier_wait(&barrier);
    return 0;
}

static int leaves_one_that_waits(void *arg)
{
    task_detach(task_create(comes_until_it_is_dropped, arg));
    return task_yield();
}

static void who_is_dropped_leaves_a_place_to_be_filled(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    begin(2);
    options.shutdown_timeout = 1;
    assert_int_equal(run_with(options, leaves_one_that_waits, NULL), 0);
    record_clear();
    assert_int_equal(task_barrier_waiting(&barrier), 0);
    assert_int_equal(task_barrier_destroy(&barrier), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(one_party_never_waits),
        in_main(it_is_made_by_an_initialiser_too),
        in_main(the_last_lets_all_through_each_with_its_place),
        in_main(who_comes_while_they_leave_is_of_the_next_generation),
        in_main(a_cancelled_waiter_leaves_its_place_to_be_filled),
        in_main(one_cancelled_after_it_was_let_through_has_its_place),
        in_main(a_waiting_request_is_delivered_before_it_counts),
        in_main(reset_sends_away_those_that_wait_and_begins_anew),
        in_main(reset_leaves_those_alone_that_were_let_through),
        in_main(those_sent_away_may_wait_again_at_once),
        in_main(an_aborted_one_is_broken_until_it_is_reset),
        in_main(abort_sends_away_whoever_came_while_they_leave),
        in_main(one_cancelled_after_it_was_sent_away_knows_both),
        in_main(callbacks_reset_it_but_do_not_wait),
        in_main(one_that_is_waited_at_cannot_be_destroyed),
        behaviour(a_cancel_at_any_point_leaves_no_place_filled),
        in_main_seeded(all_places_are_given_alike_whatever_is_cancelled),
        behaviour(who_is_dropped_leaves_a_place_to_be_filled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
