/* task_select: exactly one case fires, and the others leave no trace. */
#include "record.h"

#include "random.h"

#include <string.h>

static int get(struct task_queue *q)
{
    int item = -1;

    CHECK_STATUS(task_queue_try_get(q, &item), 0);
    return item;
}

static void put(struct task_queue *q, int item)
{
    CHECK_STATUS(task_queue_try_put(q, &item), 0);
}

static int of_those_ready_the_first_fires(void *arg)
{
    struct task_queue a;
    struct task_queue b;
    struct task_event event = {0};
    int item = 0;
    struct task_select_case cases[] = {
        TASK_SELECT_GET(&a, &item),
        TASK_SELECT_GET(&b, &item),
        TASK_SELECT_EVENT(&event),
        TASK_SELECT_TASK(NULL),
    };

    (void)arg;
    task_queue_init(&a, sizeof(int), 0);
    task_queue_init(&b, sizeof(int), 0);
    CHECK_STATUS(task_select(cases, 4, TASK_FOREVER), 3);
    task_event_set(&event);
    CHECK_STATUS(task_select(cases, 4, TASK_FOREVER), 2);
    put(&b, 7);
    CHECK_STATUS(task_select(cases, 4, TASK_FOREVER), 1);
    CHECK_STATUS(item, 7);
    CHECK_STATUS(task_queue_size(&b), 0);
    put(&b, 8);
    put(&a, 9);
    CHECK_STATUS(task_select(cases, 4, TASK_FOREVER), 0);
    CHECK_STATUS(item, 9);
    CHECK_STATUS(get(&b), 8);
    CHECK_STATUS(task_queue_destroy(&a), 0);
    CHECK_STATUS(task_queue_destroy(&b), 0);
    return 0;
}

/* What a test waits for, all in one. */
struct things {
    struct task_queue empty;
    struct task_queue full;
    struct task_event event;
    struct task *task;
    int item;
    int got;
};

static int sleep_long(void *arg)
{
    (void)arg;
    return task_sleep(1000 * TASK_SECOND);
}

static void init(struct things *things)
{
    memset(things, 0, sizeof *things);
    task_queue_init(&things->empty, sizeof(int), 0);
    task_queue_init(&things->full, sizeof(int), 1);
    put(&things->full, 1);
    things->task = task_create(sleep_long, NULL);
    things->item = 2;
    things->got = -1;
}

/* Nobody waits for any of it. */
static void end(struct things *things)
{
    CHECK_STATUS(task_queue_getters(&things->empty), 0);
    CHECK_STATUS(task_queue_putters(&things->full), 0);
    CHECK_STATUS(task_queue_destroy(&things->empty), 0);
    CHECK_STATUS(task_queue_destroy(&things->full), 0);
    CHECK_STATUS(task_event_destroy(&things->event), 0);
    task_cancel_await(things->task);
}

enum { GET, PUT, EVENT, TASK, NONE };

static int select_any(struct things *things, task_time timeout)
{
    struct task_select_case cases[] = {
        TASK_SELECT_GET(&things->empty, &things->got),
        TASK_SELECT_PUT(&things->full, &things->item),
        TASK_SELECT_EVENT(&things->event),
        TASK_SELECT_TASK(things->task),
    };
    int fired = task_select(cases, 4, timeout);

    if (fired >= 0)
        CHECK_STATUS(cases[fired].status, 0);
    return fired;
}

static int selects(void *arg)
{
    return select_any(arg, TASK_FOREVER);
}

static void make_happen(struct things *things, int which)
{
    switch (which) {
    case GET:
        put(&things->empty, 5);
        break;
    case PUT:
        CHECK_STATUS(get(&things->full), 1);
        break;
    case EVENT:
        task_event_set(&things->event);
        break;
    default:
        task_cancel(things->task);
        CHECK_STATUS(task_yield(), 0);
    }
}

static int each_kind_of_case_fires_when_its_time_comes(void *arg)
{
    (void)arg;
    for (int which = GET; which < NONE; which++) {
        struct things things;
        struct task *task;

        init(&things);
        task = task_create(selects, &things);
        CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(task_queue_getters(&things.empty), 1);
        CHECK_STATUS(task_queue_putters(&things.full), 1);
        make_happen(&things, which);
        CHECK_STATUS(task_queue_getters(&things.empty), 0);
        CHECK_STATUS(task_queue_putters(&things.full), 0);
        CHECK_STATUS(task_await(task), which);
        CHECK_STATUS(things.got, which == GET ? 5 : -1);
        if (which == PUT)
            CHECK_STATUS(get(&things.full), 2);
        end(&things);
    }
    return 0;
}

static int of_two_in_one_turn_the_first_in_time_fires(void *arg)
{
    (void)arg;
    for (int first = GET; first < TASK; first++)
        for (int second = GET; second < TASK; second++) {
            struct things things;
            struct task *task;

            if (first == second)
                continue;
            init(&things);
            task = task_create(selects, &things);
            CHECK_STATUS(task_yield(), 0);
            make_happen(&things, first);
            make_happen(&things, second);
            CHECK_STATUS(task_await(task), first);
            CHECK_STATUS(task_queue_size(&things.empty), second == GET);
            CHECK_STATUS(task_queue_size(&things.full),
                         first == PUT || second != PUT);
            end(&things);
        }
    return 0;
}

static int a_time_out_fires_nothing(void *arg)
{
    struct things things;
    task_time start = loop_time();

    (void)arg;
    init(&things);
    CHECK_STATUS(select_any(&things, 0), -ETIMEDOUT);
    CHECK_STATUS(select_any(&things, -1), -ETIMEDOUT);
    CHECK_STATUS(loop_time() - start, 0);
    CHECK_STATUS(select_any(&things, TASK_SECOND), -ETIMEDOUT);
    CHECK_STATUS(loop_time() - start, TASK_SECOND);
    CHECK_STATUS(things.got, -1);
    end(&things);
    return 0;
}

static int a_cancel_fires_nothing(void *arg)
{
    struct things things;
    struct task *task;

    (void)arg;
    init(&things);
    task = task_create(selects, &things);
    CHECK_STATUS(task_yield(), 0);
    task_cancel(task);
    CHECK_STATUS(task_queue_getters(&things.empty), 0);
    put(&things.empty, 5); /* nobody takes it */
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_STATUS(get(&things.empty), 5);
    end(&things);
    return 0;
}

static int a_request_comes_after_what_has_fired(void *arg)
{
    (void)arg;
    for (int which = GET; which < TASK; which++) {
        struct things things;
        struct task *task;

        init(&things);
        task = task_create(selects, &things);
        CHECK_STATUS(task_yield(), 0);
        make_happen(&things, which);
        task_cancel(task);
        CHECK_STATUS(task_await(task), which);
        end(&things);
    }
    return 0;
}

static int a_request_that_waits_comes_before_anything(void *arg)
{
    struct things things;

    (void)arg;
    init(&things);
    put(&things.empty, 5);
    task_cancel(task_current());
    CHECK_STATUS(select_any(&things, TASK_FOREVER), -ECANCELED);
    CHECK_STATUS(get(&things.empty), 5);
    task_uncancel(task_current());
    end(&things);
    return 0;
}

static void put_late(void *arg)
{
    put(&((struct things *)arg)->empty, 5);
}

/* The callback and the deadline are due together, in either order. */
static int an_item_at_the_deadline_is_received_or_left(void *arg)
{
    (void)arg;
    for (int order = 0; order < 2; order++) {
        struct things things;
        int fired;

        init(&things);
        if (order == 0)
            CHECK(loop_call_later(TASK_SECOND, put_late, &things) > 0);
        else
            CHECK(loop_call_later(TASK_SECOND + 1, put_late, &things) > 0);
        fired = select_any(&things, TASK_SECOND);
        CHECK(fired == GET || fired == -ETIMEDOUT);
        CHECK_STATUS(task_sleep(TASK_SECOND), 0);
        CHECK_STATUS(task_queue_size(&things.empty), fired != GET);
        CHECK_STATUS(things.got, fired == GET ? 5 : -1);
        end(&things);
    }
    return 0;
}

static int a_queue_that_was_shut_down_fires(void *arg)
{
    struct task_queue q;
    int item = 3;
    struct task_select_case put_case = TASK_SELECT_PUT(&q, &item);
    struct task_select_case get_case = TASK_SELECT_GET(&q, &item);

    (void)arg;
    task_queue_init(&q, sizeof(int), 1);
    put(&q, 1);
    task_queue_shutdown(&q, false);
    CHECK_STATUS(task_select(&put_case, 1, TASK_FOREVER), 0);
    CHECK_STATUS(put_case.status, -EPIPE);
    CHECK_STATUS(task_select(&get_case, 1, TASK_FOREVER), 0);
    CHECK_STATUS(get_case.status, 0);
    CHECK_STATUS(item, 1);
    CHECK_STATUS(task_select(&get_case, 1, TASK_FOREVER), 0);
    CHECK_STATUS(get_case.status, -EPIPE);
    CHECK_STATUS(task_queue_destroy(&q), 0);
    return 0;
}

static int takes_from_twice(void *arg)
{
    struct task_queue *q = arg;
    int item = -1;
    struct task_select_case cases[] = {TASK_SELECT_GET(q, &item),
                                       TASK_SELECT_GET(q, &item)};
    int fired = task_select(cases, 2, TASK_FOREVER);

    record("case %d, item %d, status %d", fired, item, cases[fired].status);
    return 0;
}

static int one_queue_may_be_in_several_cases(void *arg)
{
    struct task_queue q;
    struct task *task;

    (void)arg;
    task_queue_init(&q, sizeof(int), 0);
    task = task_create(takes_from_twice, &q);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_queue_getters(&q), 2);
    put(&q, 1);
    put(&q, 2);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("case 0, item 1, status 0");
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(task_queue_destroy(&q), 0);
    return 0;
}

static int waits_for_one_task_twice(void *arg)
{
    struct task_select_case cases[] = {TASK_SELECT_TASK(arg),
                                       TASK_SELECT_TASK(arg)};

    return task_select(cases, 2, TASK_FOREVER);
}

static int one_task_may_be_in_several_cases(void *arg)
{
    struct task *future = task_future_create();
    struct task *task = task_create(waits_for_one_task_twice, future);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_future_complete(future, 4), 0);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(task_await(future), 4);
    return 0;
}

static int a_task_that_fired_keeps_its_handle_and_its_failure(void *arg)
{
    struct task *future = task_future_create();
    struct task *task = task_create(waits_for_one_task_twice, future);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_future_complete(future, -EIO), 0);
    CHECK_STATUS(task_await(task), 0);
    task_detach(future);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

static int misuse_is_refused(void *arg)
{
    struct task_select_case none = {.kind = 0};
    struct task_select_case self = TASK_SELECT_TASK(task_current());

    (void)arg;
    CHECK_STATUS(task_select(NULL, 0, TASK_FOREVER), -EINVAL);
    CHECK_STATUS(task_select(&none, 1, TASK_FOREVER), -EINVAL);
    CHECK_STATUS(task_select(&self, 1, TASK_FOREVER), -EDEADLK);
    return 0;
}

static void outside_a_task_it_is_refused(void **state)
{
    struct task_select_case one = TASK_SELECT_TASK(NULL);

    (void)state;
    assert_int_equal(task_select(&one, 1, TASK_FOREVER), -EPERM);
}

static int many_cases_take_memory_and_give_it_back(void *arg)
{
    enum { MANY = 100 };
    struct task_event events[MANY] = {{0}};
    struct task_select_case cases[MANY];
    struct memory_count *count = arg;

    for (int i = 0; i < MANY; i++)
        cases[i] = TASK_SELECT_EVENT(&events[i]);
    CHECK_STATUS(task_select(cases, MANY, TASK_SECOND), -ETIMEDOUT);
    count->fail_at = 1;
    CHECK_STATUS(task_select(cases, MANY, TASK_SECOND), -ENOMEM);
    CHECK_STATUS(task_select(cases, 8, TASK_SECOND), -ETIMEDOUT);
    for (int i = 0; i < MANY; i++)
        CHECK_STATUS(task_event_destroy(&events[i]), 0);
    return 0;
}

static void many_cases(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(
        loop_run_main(loop, many_cases_take_memory_and_give_it_back, &count),
        0);
    test_loop_free(loop, &count);
}

/* Items go through selects that are cancelled and timed out at random: each is
 * received once. */
enum { QUEUES = 3, TAKERS = 8, ITEMS = 60 };

struct flood {
    struct task_queue queues[QUEUES];
    struct random random;
    int received[ITEMS];
    bool is_over;
};

static int take_at_random(void *arg)
{
    struct flood *flood = arg;

    while (!flood->is_over) {
        int item = -1;
        struct task_select_case cases[QUEUES];
        task_time timeout = (task_time)random_below(&flood->random, 5);
        int fired;

        for (int i = 0; i < QUEUES; i++)
            cases[i] = TASK_SELECT_GET(&flood->queues[i], &item);
        fired = task_select(cases, QUEUES, timeout + 1);
        if (fired >= 0 && !cases[fired].status)
            flood->received[item]++;
        else
            CHECK(item == -1);
    }
    return 0;
}

static int items_are_received_exactly_once(void *arg)
{
    struct flood flood = {.random = {test_seed_now()}};
    struct task *takers[TAKERS];

    (void)arg;
    for (int i = 0; i < QUEUES; i++)
        task_queue_init(&flood.queues[i], sizeof(int), 0);
    for (int i = 0; i < TAKERS; i++)
        takers[i] = task_create(take_at_random, &flood);
    for (int i = 0; i < ITEMS; i++) {
        put(&flood.queues[random_below(&flood.random, QUEUES)], i);
        if (random_below(&flood.random, 2))
            task_cancel(takers[random_below(&flood.random, TAKERS)]);
        if (random_below(&flood.random, 2))
            CHECK_STATUS(task_sleep((task_time)random_below(&flood.random, 4)),
                         0);
    }
    CHECK_STATUS(task_sleep(100), 0);
    flood.is_over = true;
    for (int i = 0; i < QUEUES; i++)
        task_queue_shutdown(&flood.queues[i], false);
    for (int i = 0; i < TAKERS; i++)
        CHECK_STATUS(task_await(takers[i]), 0);
    for (int i = 0; i < ITEMS; i++)
        CHECK_STATUS(flood.received[i], 1);
    for (int i = 0; i < QUEUES; i++)
        CHECK_STATUS(task_queue_destroy(&flood.queues[i]), 0);
    return 0;
}

static struct task_queue lasting;

static int wait_in_lasting(void *arg)
{
    int item;
    struct task_select_case one = TASK_SELECT_GET(&lasting, &item);

    for (int i = 0; i < 1000; i++)
        if (arg)
            task_select(&one, 1, TASK_FOREVER);
        else
            task_queue_get(&lasting, &item);
    return 0;
}

static int leave_two_waiting(void *arg)
{
    task_detach(task_create(wait_in_lasting, NULL));
    task_detach(task_create(wait_in_lasting, text("select")));
    (void)arg;
    return task_yield();
}

static void who_is_dropped_waits_for_nothing(void **state)
{
    struct loop_options options = test_options(NULL);
    int item = 1;

    (void)state;
    options.shutdown_timeout = 1;
    task_queue_init(&lasting, sizeof(int), 0);
    assert_int_equal(run_with(options, leave_two_waiting, NULL), 0);
    record_clear();
    assert_int_equal(task_queue_getters(&lasting), 0);
    assert_int_equal(task_queue_try_put(&lasting, &item), 0);
    assert_int_equal(task_queue_destroy(&lasting), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(of_those_ready_the_first_fires),
        in_main(each_kind_of_case_fires_when_its_time_comes),
        in_main(of_two_in_one_turn_the_first_in_time_fires),
        in_main(a_time_out_fires_nothing),
        in_main(a_cancel_fires_nothing),
        in_main(a_request_comes_after_what_has_fired),
        in_main(a_request_that_waits_comes_before_anything),
        in_main(an_item_at_the_deadline_is_received_or_left),
        in_main(a_queue_that_was_shut_down_fires),
        in_main(one_queue_may_be_in_several_cases),
        in_main(one_task_may_be_in_several_cases),
        in_main(a_task_that_fired_keeps_its_handle_and_its_failure),
        in_main(misuse_is_refused),
        behaviour(outside_a_task_it_is_refused),
        behaviour(many_cases),
        in_main_seeded(items_are_received_exactly_once),
        behaviour(who_is_dropped_waits_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
