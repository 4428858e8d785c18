/* The driver that cancels a task at each of its suspensions. */
#include "cancel_points.h"
#include "record.h"

static int sleeps_and_yields(void *arg)
{
    int a = task_sleep(TASK_SECOND);
    int b = task_yield();
    int c = task_sleep(TASK_SECOND);

    (void)arg;
    record("%s%s%s", a ? "x" : ".", b ? "x" : ".", c ? "x" : ".");
    return 0;
}

static void each_suspension_is_cancelled_in_turn(void **state)
{
    (void)state;
    assert_int_equal(cancel_at_every_point(sleeps_and_yields, NULL, NULL), 3);
    assert_record("x.., x.., .x., ..x, ..., ..., x.., .x., ..x, ...");
}

static int sleeps(void *arg)
{
    (void)arg;
    return task_sleep(TASK_HOUR);
}

static int cancels_its_helper(void *arg)
{
    struct task *helper = task_create(sleeps, NULL);
    int status = task_yield();

    (void)arg;
    task_cancel(helper);
    task_await(helper);
    return status;
}

static void waiting_for_a_helper_is_a_suspension_too(void **state)
{
    (void)state;
    assert_int_equal(cancel_at_every_point(cancels_its_helper, NULL, NULL), 2);
}

static struct task_event first;
static struct task_event second;

static int sets_the_second_after_the_first(void *arg)
{
    (void)arg;
    task_event_wait(&first);
    task_event_set(&second);
    return 0;
}

static int sets_the_first(void *arg)
{
    (void)arg;
    task_event_set(&first);
    return 0;
}

/* The helper runs behind the body, and sets the second event in the turn in
 * which the body begins to wait for it. */
static int waits_for_both(void *arg)
{
    struct task *helper;
    int a, b, c;

    first = second = (struct task_event){0};
    helper = task_create(sets_the_second_after_the_first, NULL);
    task_detach(task_create(sets_the_first, NULL));
    a = task_event_wait(&first);
    b = task_event_wait(&second);
    c = task_yield();
    record("%s%s%s", a ? "x" : ".", b ? "x" : ".", c ? "x" : ".");
    (void)arg;
    return task_await(helper);
}

static void what_was_granted_in_the_turn_is_not_lost(void **state)
{
    (void)state;
    assert_int_equal(cancel_at_every_point(waits_for_both, NULL, NULL), 3);
    assert_record("x.., x.., .x., ..x, ..., ..., x.., ..x, ..x, ...");
}

/* Counts its yields that were not cancelled, and fails. */
static int eats_a_cancel(void *arg)
{
    int *n = arg;

    *n = 0;
    for (int i = 0; i < 3; i++)
        *n += !task_yield();
    return -EIO;
}

static void at_least_two(void *arg)
{
    CHECK(*(int *)arg >= 2);
    record("%d", *(int *)arg);
}

static void the_check_is_told_after_each_run(void **state)
{
    int n = 0;

    (void)state;
    assert_int_equal(cancel_at_every_point(eats_a_cancel, at_least_two, &n), 3);
    assert_record("2, 2, 2, 2, 3, 3, 2, 2, 2, 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(each_suspension_is_cancelled_in_turn),
        behaviour(waiting_for_a_helper_is_a_suspension_too),
        behaviour(what_was_granted_in_the_turn_is_not_lost),
        behaviour(the_check_is_told_after_each_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
