/* What waits for several things, or in scopes, and queues: cancelled at each
 * suspension in turn, it leaves nobody behind and loses nothing. */
#include "record.h"

#include "cancel_points.h"

#include <string.h>

enum { CHILDREN = 3 };

/* Children that take their time to end, also when they are cancelled. */
struct family {
    int alive;
    struct task *tasks[CHILDREN];
};

static int grow_up(void *arg)
{
    struct family *family = arg;
    int status;

    family->alive++;
    status = task_sleep(family->alive * TASK_SECOND);
    task_sleep(TASK_SECOND); /* it cleans up */
    family->alive--;
    return status;
}

static void create_all(struct family *family)
{
    memset(family, 0, sizeof *family);
    for (int i = 0; i < CHILDREN; i++)
        family->tasks[i] = task_create(grow_up, family);
}

static void nobody_is_alive(void *arg)
{
    const struct family *family = arg;

    CHECK(family->alive == 0);
}

/* End the handles of children that only were looked at. */
static void end_all(struct family *family)
{
    for (int i = 0; i < CHILDREN; i++)
        task_cancel(family->tasks[i]);
    while (task_gather(family->tasks, CHILDREN, NULL) == -ENOMEM)
        continue;
}

static int gathers(void *arg)
{
    struct family *family = arg;
    int status;

    create_all(family);
    status = task_gather(family->tasks, CHILDREN, NULL);
    CHECK(family->alive == 0);
    return status;
}

static int races(void *arg)
{
    struct family *family = arg;
    int status;

    create_all(family);
    status = task_race(family->tasks, CHILDREN, NULL);
    CHECK(family->alive == 0);
    return status;
}

static int waits_for_some_time(void *arg)
{
    struct family *family = arg;

    create_all(family);
    for (int i = 0; i < CHILDREN; i++)
        task_await_for(family->tasks[i], 3 * TASK_SECOND);
    CHECK(family->alive == 0);
    return 0;
}

static int looks_at_them(void *arg)
{
    struct family *family = arg;

    create_all(family);
    task_wait(family->tasks, CHILDREN, TASK_FIRST_DONE, TASK_SECOND);
    task_wait(family->tasks, CHILDREN, TASK_ALL_DONE, 3 * TASK_SECOND);
    task_shield(family->tasks[0]);
    end_all(family);
    CHECK(family->alive == 0);
    return 0;
}

static int walks_over_them(void *arg)
{
    struct family *family = arg;
    struct task_as_completed walk;

    create_all(family);
    task_as_completed_begin(&walk, family->tasks, CHILDREN);
    for (int i = 0; i < CHILDREN; i++)
        task_as_completed_next(&walk);
    task_as_completed_end(&walk, 0);
    end_all(family);
    CHECK(family->alive == 0);
    return 0;
}

static int groups_them(void *arg)
{
    struct family *family = arg;
    struct task_group group = {0};
    int status;

    memset(family, 0, sizeof *family);
    task_group_begin(&group);
    for (int i = 0; i < CHILDREN; i++)
        CHECK_STATUS(task_group_start(&group, grow_up, family), 0);
    status = task_sleep(TASK_SECOND);
    status = task_group_end(&group, status);
    CHECK(family->alive == 0);
    return status;
}

static int groups_them_in_a_time_out(void *arg)
{
    struct task_timeout timeout;
    int status;

    task_timeout_begin(&timeout, 2 * TASK_SECOND);
    status = groups_them(arg);
    status = task_timeout_end(&timeout, status);
    CHECK(status == -ETIMEDOUT || status == -ECANCELED);
    CHECK(task_deadline() == TASK_FOREVER);
    return status;
}

/* Items from one side to the other, through a queue that is always full. */
struct traffic {
    struct task_queue q;
    int sent;
    int received;
};

enum { ITEMS = 4 };

static int sends(void *arg)
{
    struct traffic *traffic = arg;

    while (traffic->sent < ITEMS)
        if (!task_queue_put(&traffic->q, &traffic->sent))
            traffic->sent++;
    return 0;
}

static int receives(void *arg)
{
    struct traffic *traffic = arg;
    int item;

    while (traffic->received < ITEMS)
        if (!task_queue_get(&traffic->q, &item)) {
            CHECK_STATUS(item, traffic->received);
            traffic->received++;
            task_queue_task_done(&traffic->q);
        }
    return 0;
}

static int receives_by_select(void *arg)
{
    struct traffic *traffic = arg;
    struct task_event never = {0};
    int item = -1;
    struct task_select_case cases[] = {
        TASK_SELECT_EVENT(&never),
        TASK_SELECT_GET(&traffic->q, &item),
    };

    while (traffic->received < ITEMS)
        if (task_select(cases, 2, TASK_SECOND) == 1) {
            CHECK_STATUS(item, traffic->received);
            traffic->received++;
        }
    CHECK_STATUS(task_event_destroy(&never), 0);
    return 0;
}

/* With the body on one side, and a helper on the other. */
static int exchange(struct traffic *traffic, task_fn *mine, task_fn *other)
{
    struct task *helper;

    memset(traffic, 0, sizeof *traffic);
    task_queue_init(&traffic->q, sizeof(int), 1);
    helper = task_create(other, traffic);
    mine(traffic);
    while (!task_done(helper))
        task_shield(helper);
    CHECK_STATUS(task_await(helper), 0);
    CHECK_STATUS(task_queue_size(&traffic->q), 0);
    CHECK_STATUS(task_queue_destroy(&traffic->q), 0);
    return 0;
}

static int is_the_sender(void *arg)
{
    return exchange(arg, sends, receives);
}

static int is_the_receiver(void *arg)
{
    return exchange(arg, receives, sends);
}

static int is_the_selecting_receiver(void *arg)
{
    return exchange(arg, receives_by_select, sends);
}

static int joins(void *arg)
{
    struct traffic *traffic = arg;

    memset(traffic, 0, sizeof *traffic);
    task_queue_init(&traffic->q, sizeof(int), 0);
    for (int i = 0; i < ITEMS; i++)
        CHECK_STATUS(task_queue_try_put(&traffic->q, &i), 0);
    traffic->sent = ITEMS;
    struct task *helper = task_create(receives, traffic);
    while (task_queue_join(&traffic->q))
        continue;
    CHECK_STATUS(traffic->received, ITEMS);
    CHECK_STATUS(task_await(helper), 0);
    CHECK_STATUS(task_queue_destroy(&traffic->q), 0);
    return 0;
}

static void everything_arrived(void *arg)
{
    const struct traffic *traffic = arg;

    CHECK(traffic->sent == ITEMS && traffic->received == ITEMS);
}

/* Dropped. */

enum { MANY = 20 };

/* Waits for futures that nobody completes, whatever is asked of it. */
static int never_ends(void *arg)
{
    task_fn *waits = *(task_fn **)arg;
    struct task *futures[MANY];

    for (int i = 0; i < MANY; i++)
        futures[i] = task_future_create();
    for (int i = 0; i < 100; i++)
        waits(futures);
    return 0;
}

static int waits_for_many(void *arg)
{
    return task_wait(arg, MANY, TASK_ALL_DONE, TASK_FOREVER);
}

static int walks_over_many(void *arg)
{
    struct task_as_completed walk;

    task_as_completed_begin(&walk, arg, MANY);
    task_as_completed_next(&walk);
    return task_as_completed_end(&walk, 0);
}

static int selects_among_many(void *arg)
{
    struct task *const *futures = arg;
    struct task_select_case cases[MANY];

    for (int i = 0; i < MANY; i++)
        cases[i] = TASK_SELECT_TASK(futures[i]);
    return task_select(cases, MANY, TASK_FOREVER);
}

static int leaves_it_waiting(void *arg)
{
    task_detach(task_create(never_ends, arg));
    return task_yield();
}

/* run_with finds all memory given back. */
static void who_is_dropped_waiting_for_many_leaves_no_memory(void **state)
{
    static task_fn *const ways[] = {waits_for_many, walks_over_many,
                                    selects_among_many};

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        task_fn *way = ways[i];
        struct loop_options options = test_options(NULL);

        options.shutdown_timeout = TASK_SECOND;
        assert_int_equal(run_with(options, leaves_it_waiting, &way), 0);
        assert_record("deadlock(-35), shutdown(task-2, -110)");
    }
}

static struct family a_family;
static struct traffic some_traffic;

#define AT_EACH_POINT(name, body, check, arg)                                  \
    static void name(void **state)                                             \
    {                                                                          \
        (void)state;                                                           \
        assert_true(cancel_at_every_point(body, check, arg) > 0);              \
    }

AT_EACH_POINT(gather_leaves_nobody, gathers, nobody_is_alive, &a_family)
AT_EACH_POINT(race_leaves_nobody, races, nobody_is_alive, &a_family)
AT_EACH_POINT(await_for_leaves_nobody, waits_for_some_time, nobody_is_alive,
              &a_family)
AT_EACH_POINT(wait_and_shield_leave_no_trace, looks_at_them, nobody_is_alive,
              &a_family)
AT_EACH_POINT(as_completed_leaves_no_trace, walks_over_them, nobody_is_alive,
              &a_family)
AT_EACH_POINT(a_group_leaves_nobody, groups_them, nobody_is_alive, &a_family)
AT_EACH_POINT(a_group_in_a_time_out_leaves_nobody, groups_them_in_a_time_out,
              nobody_is_alive, &a_family)
AT_EACH_POINT(a_put_loses_nothing, is_the_sender, everything_arrived,
              &some_traffic)
AT_EACH_POINT(a_get_loses_nothing, is_the_receiver, everything_arrived,
              &some_traffic)
AT_EACH_POINT(a_select_loses_nothing, is_the_selecting_receiver,
              everything_arrived, &some_traffic)
AT_EACH_POINT(a_join_changes_nothing, joins, everything_arrived, &some_traffic)

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(gather_leaves_nobody),
        behaviour(race_leaves_nobody),
        behaviour(await_for_leaves_nobody),
        behaviour(wait_and_shield_leave_no_trace),
        behaviour(as_completed_leaves_no_trace),
        behaviour(a_group_leaves_nobody),
        behaviour(a_group_in_a_time_out_leaves_nobody),
        behaviour(a_put_loses_nothing),
        behaviour(a_get_loses_nothing),
        behaviour(a_select_loses_nothing),
        behaviour(a_join_changes_nothing),
        behaviour(who_is_dropped_waiting_for_many_leaves_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
