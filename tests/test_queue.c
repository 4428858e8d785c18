/* Queues: who gets which item, and what becomes of it when somebody is
 * cancelled, the queue is shut down, or there is no memory. */

/* The linker wraps: realloc */

#include "random.h"
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

enum { MEGABYTE = 1 << 20 };

/* The library's memory: calls for more, and the one that fails (0: none). */
static size_t n_calls;
static size_t fail_at;

void *__real_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

void *__wrap_realloc(void *pointer, size_t size)
{
    n_calls++;
    if (fail_at && !--fail_at)
        return NULL;
    return __real_realloc(pointer, size);
}

/* A task that does one thing with a queue of ints, and says what it gave. */
struct client {
    struct task_queue *q;
    const char *name;
    int item;
};

#define client(who) (&(struct client){.q = &q, .name = (who)})
#define putter_of(who, what)                                                   \
    (&(struct client){.q = &q, .name = (who), .item = (what)})

static int gets(void *arg)
{
    struct client *client = arg;
    int item = -1;
    int status = task_queue_get(client->q, &item);

    if (status)
        record("%s %d", client->name, status);
    else
        record("%s got %d", client->name, item);
    CHECK(status == 0 || item == -1);
    return status;
}

static int puts_item(void *arg)
{
    struct client *client = arg;
    int status = task_queue_put(client->q, &client->item);

    record("%s %d", client->name, status);
    return status;
}

static int joins(void *arg)
{
    struct client *client = arg;
    int status = task_queue_join(client->q);

    record("%s %d", client->name, status);
    return status;
}

/* The same, and then what comes next. */

static int then_yields(int status)
{
    int then = task_yield();

    record("then %d", then);
    return status;
}

static int gets_and_yields(void *arg)
{
    return then_yields(gets(arg));
}

static int puts_and_yields(void *arg)
{
    return then_yields(puts_item(arg));
}

static int joins_and_yields(void *arg)
{
    return then_yields(joins(arg));
}

/* A task that has begun to wait. */
static struct task *start(task_fn *fn, struct client *client)
{
    struct task *task = task_create_with(
        fn, client,
        &(struct task_options){.name = client->name, .eager = true});

    CHECK(!task_done(task));
    return task;
}

static int put(struct task_queue *q, int item)
{
    return task_queue_put(q, &item);
}

static int try_put(struct task_queue *q, int item)
{
    return task_queue_try_put(q, &item);
}

/* The item, or a negative errno. */

static int get(struct task_queue *q)
{
    int item = -1;
    int status = task_queue_get(q, &item);

    return status ? status : item;
}

static int try_get(struct task_queue *q)
{
    int item = -1;
    int status = task_queue_try_get(q, &item);

    CHECK(status == 0 || item == -1);
    return status ? status : item;
}

static void fill(struct task_queue *q, int n)
{
    for (int i = 1; i <= n; i++)
        CHECK_STATUS(try_put(q, i), 0);
}

static int by_tens(const void *a, const void *b)
{
    return *(const int *)a / 10 - *(const int *)b / 10;
}

static void drops(void *item)
{
    record("drop %d", *(int *)item);
}

static void make(struct task_queue *q, size_t maxsize)
{
    CHECK_STATUS(task_queue_init(q, sizeof(int), maxsize), 0);
    task_queue_set_item_destructor(q, drops);
}

static void end(struct task_queue *q)
{
    CHECK_STATUS(task_queue_destroy(q), 0);
}

/* Order. */

static int items_leave_first_in_first_out(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(put(&q, i), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(get(&q), i);
    end(&q);
    return 0;
}

static int items_leave_a_lifo_queue_last_in_first_out(void *arg)
{
    struct task_queue q;

    (void)arg;
    CHECK_STATUS(task_queue_init_lifo(&q, sizeof(int), 0), 0);
    fill(&q, 3);
    CHECK_STATUS(get(&q), 3);
    CHECK_STATUS(put(&q, 4), 0);
    CHECK_STATUS(get(&q), 4);
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(get(&q), 1);
    end(&q);
    return 0;
}

static int the_least_leaves_a_priority_queue_first(void *arg)
{
    static const int items[] = {31, 10, 32, 11, 20, 33, 12};
    struct task_queue q;

    (void)arg;
    CHECK_STATUS(task_queue_init_priority(&q, sizeof(int), 0, by_tens), 0);
    for (size_t i = 0; i < N_OF(items); i++)
        CHECK_STATUS(put(&q, items[i]), 0);
    while (!task_queue_empty(&q))
        record("%d", get(&q));
    CHECK_RECORD("10, 11, 12, 20, 31, 32, 33"); /* equals as they came */
    end(&q);
    return 0;
}

static int a_priority_queue_needs_a_comparison(void *arg)
{
    struct task_queue q;

    (void)arg;
    memset(&q, 0x55, sizeof q);
    CHECK_STATUS(task_queue_init_priority(&q, sizeof(int), 0, NULL), -EINVAL);
    CHECK(q.unfinished == (size_t)0x5555555555555555); /* untouched */
    return 0;
}

static int items_may_have_any_size(void *arg)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 8, 12, 64, 4096, MEGABYTE};
    unsigned char *in = malloc(MEGABYTE + 1);
    unsigned char *out = malloc(MEGABYTE + 1);

    (void)arg;
    for (size_t i = 0; i < N_OF(sizes); i++) {
        struct task_queue q;

        CHECK_STATUS(task_queue_init(&q, sizes[i], 3), 0);
        for (int j = 0; j < 3; j++) {
            memset(in, 'a' + j, MEGABYTE + 1);
            CHECK_STATUS(task_queue_put(&q, in), 0);
        }
        CHECK_STATUS(task_queue_try_put(&q, in), -EAGAIN);
        for (int j = 0; j < 3; j++) {
            memset(in, 'a' + j, MEGABYTE + 1);
            memset(out, 0, MEGABYTE + 1);
            CHECK_STATUS(task_queue_get(&q, out), 0);
            CHECK(!memcmp(in, out, sizes[i]) && out[sizes[i]] == 0);
        }
        end(&q);
    }
    free(in);
    free(out);
    return 0;
}

static int items_of_no_size_count(void *arg)
{
    struct task_queue q;

    (void)arg;
    CHECK_STATUS(task_queue_init(&q, 0, 2), 0);
    CHECK_STATUS(task_queue_put(&q, NULL), 0);
    CHECK_STATUS(task_queue_put(&q, NULL), 0);
    CHECK_STATUS(task_queue_try_put(&q, NULL), -EAGAIN);
    CHECK(task_queue_size(&q) == 2);
    CHECK_STATUS(task_queue_get(&q, NULL), 0);
    CHECK_STATUS(task_queue_get(&q, NULL), 0);
    CHECK_STATUS(task_queue_try_get(&q, NULL), -EAGAIN);
    end(&q);
    return 0;
}

static int an_all_zero_queue_is_ready(void *arg)
{
    static struct task_queue q;

    (void)arg;
    CHECK_STATUS(task_queue_try_get(&q, NULL), -EAGAIN);
    CHECK_STATUS(task_queue_join(&q), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(task_queue_put(&q, NULL), 0);
    CHECK(task_queue_size(&q) == 1000 && !task_queue_full(&q));
    CHECK_STATUS(task_queue_get(&q, NULL), 0);
    CHECK(task_queue_size(&q) == 999);
    end(&q);
    return 0;
}

/* Without waiting. */

static int try_calls_do_not_wait(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 1);
    CHECK_STATUS(try_get(&q), -EAGAIN);
    CHECK_STATUS(try_put(&q, 1), 0);
    CHECK_STATUS(try_put(&q, 2), -EAGAIN);
    CHECK_STATUS(try_get(&q), 1);
    CHECK_STATUS(try_get(&q), -EAGAIN);
    end(&q);
    return 0;
}

static int try_calls_do_not_deliver_a_request(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 1);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(try_put(&q, 1), 0);
    CHECK_STATUS(try_get(&q), 1);
    CHECK_STATUS(task_yield(), -ECANCELED);
    end(&q);
    return 0;
}

static int calls_that_need_not_wait_do_not_suspend(void *arg)
{
    struct task_queue q;
    uint64_t turn = turns_now();

    (void)arg;
    make(&q, 1);
    CHECK_STATUS(put(&q, 1), 0);
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK_STATUS(task_queue_join(&q), 0);
    CHECK(turns_now() == turn);
    end(&q);
    return 0;
}

static void uses_from_callback(void *arg)
{
    struct task_queue *q = arg;

    CHECK_STATUS(put(q, 1), -EPERM);
    CHECK_STATUS(get(q), -EPERM);
    CHECK_STATUS(task_queue_join(q), -EPERM);
    CHECK(task_queue_empty(q));
    CHECK_STATUS(try_put(q, 1), 0);
    CHECK_STATUS(try_put(q, 2), 0);
    CHECK_STATUS(get(q), -EPERM);
    CHECK_STATUS(try_get(q), 1);
    CHECK_STATUS(task_queue_task_done(q), 0);
    CHECK(task_queue_size(q) == 1 && task_queue_unfinished(q) == 1);
    task_queue_shutdown(q, false);
    record("called");
}

static int callbacks_may_use_what_does_not_suspend(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    CHECK(loop_call_soon(uses_from_callback, &q) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(get(&q), -EPIPE);
    CHECK_RECORD("called");
    end(&q);
    return 0;
}

static void a_queue_may_be_used_outside_of_any_loop(void **state)
{
    struct task_queue q;

    (void)state;
    make(&q, 0);
    uses_from_callback(&q);
    assert_record("called");
    end(&q);
    assert_record("drop 2");
}

static int puts_three(void *arg)
{
    fill(arg, 3);
    return 0;
}

static int gets_three(void *arg)
{
    for (int i = 1; i <= 3; i++)
        CHECK_STATUS(get(arg), i);
    return 0;
}

static void a_queue_may_outlive_a_loop(void **state)
{
    struct task_queue q;

    (void)state;
    make(&q, 0);
    assert_int_equal(run_virtual(puts_three, &q), 0);
    assert_int_equal(run_virtual(gets_three, &q), 0);
    end(&q);
}

/* Waiting. */

static int a_waiting_get_is_woken_by_a_put(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 0);
    getter = start(gets, client("getter"));
    CHECK_STATUS(put(&q, 7), 0);
    CHECK(task_queue_empty(&q)); /* it has its item already */
    record("put");
    CHECK_STATUS(task_await(getter), 0);
    CHECK_RECORD("put, getter got 7");
    end(&q);
    return 0;
}

static int a_waiting_put_is_woken_by_a_get(void *arg)
{
    struct task_queue q;
    struct task *putter;

    (void)arg;
    make(&q, 1);
    fill(&q, 1);
    putter = start(puts_item, putter_of("putter", 2));
    CHECK_STATUS(get(&q), 1);
    CHECK(task_queue_size(&q) == 1); /* its item is in already */
    record("got");
    CHECK_STATUS(task_await(putter), 0);
    CHECK_RECORD("got, putter 0");
    CHECK_STATUS(get(&q), 2);
    end(&q);
    return 0;
}

static int serving_those_that_wait_takes_no_turn(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];
    uint64_t turn = turns_now();

    (void)arg;
    make(&q, 1);
    tasks[0] = start(gets, client("getter"));
    CHECK_STATUS(put(&q, 1), 0);
    CHECK_STATUS(put(&q, 2), 0);
    tasks[1] = start(puts_item, putter_of("putter", 3));
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(get(&q), 3);
    CHECK(turns_now() == turn);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_RECORD("getter got 1, putter 0");
    end(&q);
    return 0;
}

static int all_getters_wake_when_there_is_an_item_for_each(void *arg)
{
    struct task_queue q;
    struct task *tasks[3];

    (void)arg;
    make(&q, 0);
    tasks[0] = start(gets, client("a"));
    tasks[1] = start(gets, client("b"));
    tasks[2] = start(gets, client("c"));
    fill(&q, 4);
    CHECK(task_queue_size(&q) == 1);
    for (size_t i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_RECORD("a got 1, b got 2, c got 3");
    CHECK_STATUS(get(&q), 4);
    end(&q);
    return 0;
}

static int as_many_putters_wake_as_items_were_taken(void *arg)
{
    struct task_queue q;
    struct task *tasks[3];

    (void)arg;
    make(&q, 2);
    fill(&q, 2);
    tasks[0] = start(puts_item, putter_of("a", 3));
    tasks[1] = start(puts_item, putter_of("b", 4));
    tasks[2] = start(puts_item, putter_of("c", 5));
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(get(&q), 2);
    CHECK(task_queue_full(&q) && task_queue_putters(&q) == 1);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a 0, b 0");
    for (int i = 3; i <= 5; i++)
        CHECK_STATUS(get(&q), i);
    for (size_t i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_RECORD("c 0");
    end(&q);
    return 0;
}

static int nobody_overtakes_a_putter_that_waits(void *arg)
{
    struct task_queue q;
    struct task *putter;

    (void)arg;
    make(&q, 1);
    fill(&q, 1);
    putter = start(puts_item, putter_of("putter", 2));
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(try_put(&q, 3), -EAGAIN); /* the room is taken */
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(task_await(putter), 0);
    CHECK_RECORD("putter 0");
    end(&q);
    return 0;
}

static int nobody_overtakes_a_getter_that_waits(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 1);
    getter = start(gets, client("getter"));
    CHECK_STATUS(put(&q, 1), 0);
    CHECK_STATUS(try_get(&q), -EAGAIN); /* the item is taken */
    CHECK_STATUS(task_await(getter), 0);
    CHECK_RECORD("getter got 1");
    end(&q);
    return 0;
}

static int a_priority_queue_takes_putters_in_as_they_came(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];

    (void)arg;
    CHECK_STATUS(task_queue_init_priority(&q, sizeof(int), 2, by_tens), 0);
    CHECK_STATUS(put(&q, 30), 0);
    CHECK_STATUS(put(&q, 20), 0);
    tasks[0] = start(puts_item, putter_of("a", 40));
    tasks[1] = start(puts_item, putter_of("b", 10));
    CHECK_STATUS(get(&q), 20);
    CHECK_STATUS(get(&q), 30);
    CHECK_STATUS(get(&q), 10);
    CHECK_STATUS(get(&q), 40);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_RECORD("a 0, b 0");
    end(&q);
    return 0;
}

static int gets_silently(void *arg)
{
    return get(arg);
}

static int puts_silently(void *arg)
{
    return put(arg, 5);
}

static int waiting_takes_no_memory(void *arg)
{
    task_fn *const fns[] = {gets_silently, gets_silently, puts_silently,
                            puts_silently, puts_silently, puts_silently};
    struct task *tasks[N_OF(fns)];
    struct task_queue q;
    size_t before;

    (void)arg;
    make(&q, 1);
    for (size_t i = 0; i < N_OF(fns); i++)
        tasks[i] = task_create(fns[i], &q);
    CHECK_STATUS(try_put(&q, 0), 0); /* takes some, and it stays */
    CHECK_STATUS(try_get(&q), 0);
    before = n_calls;
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_queue_full(&q) && task_queue_putters(&q) == 1);
    CHECK_STATUS(get(&q), 5);
    CHECK_STATUS(get(&q), 5);
    CHECK(n_calls == before);
    for (size_t i = 0; i < N_OF(fns); i++)
        CHECK_STATUS(task_await(tasks[i]), i < 2 ? 5 : 0);
    end(&q);
    return 0;
}

/* Cancellation. */

static int a_request_ends_a_get(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 0);
    getter = start(gets_and_yields, client("getter"));
    CHECK(task_cancel(getter));
    CHECK(task_queue_getters(&q) == 0); /* at once */
    CHECK_STATUS(task_await(getter), -ECANCELED);
    CHECK_RECORD("getter -125, then 0");
    end(&q);
    return 0;
}

static int a_request_ends_a_put(void *arg)
{
    struct task_queue q;
    struct task *putter;

    (void)arg;
    make(&q, 1);
    fill(&q, 1);
    putter = start(puts_and_yields, putter_of("putter", 2));
    CHECK(task_cancel(putter));
    CHECK(task_queue_putters(&q) == 0);
    CHECK(task_queue_unfinished(&q) == 1);
    CHECK_STATUS(task_await(putter), -ECANCELED);
    CHECK_RECORD("putter -125, then 0");
    CHECK_STATUS(get(&q), 1);
    CHECK(task_queue_empty(&q));
    end(&q);
    return 0;
}

static int a_request_that_waits_is_delivered_before_anything(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(put(&q, 1), -ECANCELED);
    CHECK(task_queue_empty(&q));
    fill(&q, 1);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(get(&q), -ECANCELED);
    CHECK(task_queue_size(&q) == 1);
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_queue_join(&q), -ECANCELED); /* also if all is done */
    CHECK_STATUS(task_queue_join(&q), 0);
    end(&q);
    return 0;
}

static int an_item_that_came_before_the_request_is_received(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 0);
    getter = start(gets_and_yields, client("getter"));
    CHECK_STATUS(put(&q, 1), 0);
    CHECK(task_cancel(getter));
    CHECK_STATUS(task_await(getter), 0);
    CHECK_RECORD("getter got 1, then -125");
    end(&q);
    return 0;
}

static int an_item_that_comes_after_the_request_stays(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 0);
    getter = start(gets_and_yields, client("getter"));
    CHECK(task_cancel(getter));
    CHECK_STATUS(put(&q, 1), 0);
    CHECK(task_queue_size(&q) == 1);
    CHECK_STATUS(task_await(getter), -ECANCELED);
    CHECK_RECORD("getter -125, then 0");
    CHECK_STATUS(get(&q), 1);
    end(&q);
    return 0;
}

static int an_item_goes_to_the_next_getter_after_a_cancelled_one(void *arg)
{
    struct task_queue q;
    struct task *tasks[3];

    (void)arg;
    make(&q, 0);
    tasks[0] = start(gets, client("a"));
    tasks[1] = start(gets, client("b"));
    tasks[2] = start(gets, client("c"));
    CHECK(task_cancel(tasks[1]));
    CHECK(task_queue_getters(&q) == 2);
    fill(&q, 2);
    CHECK_STATUS(task_await(tasks[2]), 0);
    CHECK_STATUS(task_await(tasks[1]), -ECANCELED);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_RECORD("b -125, a got 1, c got 2");
    end(&q);
    return 0;
}

static int a_put_that_got_room_before_the_request_is_done(void *arg)
{
    struct task_queue q;
    struct task *putter;

    (void)arg;
    make(&q, 1);
    fill(&q, 1);
    putter = start(puts_and_yields, putter_of("putter", 2));
    CHECK_STATUS(get(&q), 1);
    CHECK(task_cancel(putter));
    CHECK_STATUS(task_await(putter), 0);
    CHECK_RECORD("putter 0, then -125");
    CHECK_STATUS(get(&q), 2);
    end(&q);
    return 0;
}

static int a_put_that_gets_room_after_the_request_is_not(void *arg)
{
    struct task_queue q;
    struct task *putter;

    (void)arg;
    make(&q, 1);
    fill(&q, 1);
    putter = start(puts_and_yields, putter_of("putter", 2));
    CHECK(task_cancel(putter));
    CHECK_STATUS(get(&q), 1);
    CHECK(task_queue_empty(&q));
    CHECK_STATUS(task_await(putter), -ECANCELED);
    CHECK_RECORD("putter -125, then 0");
    end(&q);
    return 0;
}

static int a_cancelled_putter_does_not_hold_back_the_next(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];

    (void)arg;
    make(&q, 1);
    fill(&q, 1);
    tasks[0] = start(puts_item, putter_of("a", 2));
    tasks[1] = start(puts_item, putter_of("b", 3));
    CHECK(task_cancel(tasks[0]));
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_STATUS(task_await(tasks[0]), -ECANCELED);
    CHECK_RECORD("a -125, b 0");
    CHECK_STATUS(get(&q), 3);
    end(&q);
    return 0;
}

/* Time-outs: a timer that cancels, and one that puts at the same time. */

static void cancel_it(void *arg)
{
    task_cancel(arg);
}

static void puts_from_timer(void *arg)
{
    CHECK_STATUS(try_put(arg, 5), 0);
}

static int an_item_at_the_deadline_is_received_or_stays(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        bool item_comes_first = i % 2;
        struct task_queue q;
        struct task *getter;

        make(&q, 0);
        getter = start(gets, client("getter"));
        if (item_comes_first)
            CHECK(loop_call_later(TASK_SECOND, puts_from_timer, &q) > 0);
        CHECK(loop_call_later(TASK_SECOND, cancel_it, getter) > 0);
        if (!item_comes_first)
            CHECK(loop_call_later(TASK_SECOND, puts_from_timer, &q) > 0);
        CHECK_STATUS(task_await(getter), item_comes_first ? 0 : -ECANCELED);
        CHECK_RECORD(item_comes_first ? "getter got 5" : "getter -125");
        CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(try_get(&q), item_comes_first ? -EAGAIN : 5);
        end(&q);
    }
    return 0;
}

static int cancelled_waiters_leave_nothing_behind(void *arg)
{
    struct task_queue q;
    struct task *self = task_current();
    size_t before = 0;
    size_t calls = 0;

    (void)arg;
    make(&q, 1);
    for (unsigned i = 0; i < test_rounds(100000); i++) {
        bool is_full = task_queue_full(&q);

        if (i == 100) {
            before = resident_bytes();
            calls = n_calls;
        }
        CHECK(loop_call_later(TASK_MILLISECOND, cancel_it, self) > 0);
        CHECK_STATUS(is_full ? put(&q, 1) : get(&q), -ECANCELED);
        CHECK(task_queue_getters(&q) + task_queue_putters(&q) == 0);
        CHECK_STATUS(is_full ? try_get(&q) : try_put(&q, 1), is_full);
    }
    CHECK(n_calls - calls < 10 || !calls);
    CHECK(resident_bytes() < before + 500000);
    task_queue_set_item_destructor(&q, NULL);
    end(&q);
    return 0;
}

/* Work that has to be done. */

static int join_waits_until_all_is_done(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];

    (void)arg;
    make(&q, 0);
    fill(&q, 2);
    tasks[0] = start(joins, client("a"));
    tasks[1] = start(joins, client("b"));
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK_STATUS(task_yield(), 0);
    record("one");
    CHECK_STATUS(task_queue_task_done(&q), 0);
    record("two");
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_RECORD("one, two, a 0, b 0");
    end(&q);
    return 0;
}

static int join_of_an_empty_queue_returns_at_once(void *arg)
{
    struct task_queue q;
    uint64_t turn = turns_now();

    (void)arg;
    make(&q, 0);
    CHECK_STATUS(task_queue_join(&q), 0);
    CHECK(turns_now() == turn);
    end(&q);
    return 0;
}

static int a_later_put_arms_join_again(void *arg)
{
    struct task_queue q;
    struct task *joiner;

    (void)arg;
    make(&q, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(put(&q, i), 0);
        joiner = start(joins, client("joiner"));
        CHECK_STATUS(get(&q), i);
        CHECK_STATUS(task_queue_task_done(&q), 0);
        CHECK_STATUS(put(&q, 9), 0); /* does not hold back who was woken */
        CHECK_STATUS(task_await(joiner), 0);
        CHECK_STATUS(get(&q), 9);
        CHECK_STATUS(task_queue_task_done(&q), 0);
    }
    CHECK_RECORD("joiner 0, joiner 0, joiner 0");
    end(&q);
    return 0;
}

static int items_handed_over_are_unfinished_too(void *arg)
{
    struct task_queue q;
    struct task *tasks[3];

    (void)arg;
    make(&q, 1);
    tasks[0] = start(gets, client("getter"));
    CHECK_STATUS(put(&q, 1), 0); /* straight to the getter */
    CHECK(task_queue_unfinished(&q) == 1);
    CHECK_STATUS(put(&q, 2), 0);
    tasks[1] = start(puts_item, putter_of("putter", 3));
    CHECK(task_queue_unfinished(&q) == 2); /* not yet accepted */
    CHECK_STATUS(get(&q), 2);
    CHECK(task_queue_unfinished(&q) == 3);
    CHECK_STATUS(get(&q), 3);
    tasks[2] = start(joins, client("joiner"));
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_queue_task_done(&q), 0);
    for (size_t i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_RECORD("getter got 1, putter 0, joiner 0");
    end(&q);
    return 0;
}

static int task_done_more_often_than_put_is_refused(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    CHECK_STATUS(task_queue_task_done(&q), -EINVAL);
    fill(&q, 1);
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK_STATUS(task_queue_task_done(&q), -EINVAL);
    CHECK(task_queue_unfinished(&q) == 0);
    end(&q);
    return 0;
}

static int a_cancelled_join_changes_nothing(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];

    (void)arg;
    make(&q, 0);
    fill(&q, 1);
    tasks[0] = start(joins_and_yields, client("a"));
    tasks[1] = start(joins, client("b"));
    CHECK(task_cancel(tasks[0]));
    CHECK_STATUS(task_await(tasks[0]), -ECANCELED);
    CHECK(task_queue_unfinished(&q) == 1);
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_RECORD("a -125, then 0, b 0");
    end(&q);
    return 0;
}

static int a_join_that_was_woken_before_the_request_is_done(void *arg)
{
    struct task_queue q;
    struct task *joiner;

    (void)arg;
    make(&q, 0);
    fill(&q, 1);
    joiner = start(joins_and_yields, client("joiner"));
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK(task_cancel(joiner));
    CHECK_STATUS(task_await(joiner), 0);
    CHECK_RECORD("joiner 0, then -125");
    end(&q);
    return 0;
}

/* Shutting down. */

static int after_shutdown_what_is_left_may_be_taken(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    fill(&q, 2);
    task_queue_shutdown(&q, false);
    CHECK_STATUS(put(&q, 3), -EPIPE);
    CHECK_STATUS(try_put(&q, 3), -EPIPE);
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(try_get(&q), 2);
    CHECK_STATUS(get(&q), -EPIPE);
    CHECK_STATUS(try_get(&q), -EPIPE);
    CHECK(task_queue_unfinished(&q) == 2);
    end(&q);
    return 0;
}

static int shutdown_wakes_all_getters(void *arg)
{
    struct task_queue q;
    struct task *tasks[3];

    (void)arg;
    make(&q, 0);
    tasks[0] = start(gets, client("a"));
    tasks[1] = start(gets, client("b"));
    tasks[2] = start(gets, client("c"));
    CHECK_STATUS(put(&q, 1), 0); /* a has it */
    task_queue_shutdown(&q, false);
    record("shut");
    CHECK_STATUS(task_await(tasks[2]), -EPIPE);
    CHECK_STATUS(task_await(tasks[1]), -EPIPE);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_RECORD("shut, a got 1, b -32, c -32");
    end(&q);
    return 0;
}

static int shutdown_wakes_all_putters_and_their_items_stay_theirs(void *arg)
{
    struct task_queue q;
    struct task *tasks[3];

    (void)arg;
    make(&q, 1);
    fill(&q, 1);
    tasks[0] = start(puts_item, putter_of("a", 2));
    tasks[1] = start(puts_item, putter_of("b", 3));
    tasks[2] = start(puts_item, putter_of("c", 4));
    CHECK_STATUS(get(&q), 1); /* a's item is in */
    task_queue_shutdown(&q, false);
    CHECK_STATUS(task_await(tasks[2]), -EPIPE);
    CHECK_STATUS(task_await(tasks[1]), -EPIPE);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_RECORD("a 0, b -32, c -32");
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(get(&q), -EPIPE);
    end(&q);
    return 0;
}

static int a_request_after_the_shutdown_comes_next(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 0);
    getter = start(gets_and_yields, client("getter"));
    task_queue_shutdown(&q, false);
    CHECK(task_cancel(getter));
    CHECK_STATUS(task_await(getter), -EPIPE);
    CHECK_RECORD("getter -32, then -125");
    end(&q);
    return 0;
}

static int a_request_before_the_shutdown_is_delivered(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 0);
    getter = start(gets_and_yields, client("getter"));
    CHECK(task_cancel(getter));
    task_queue_shutdown(&q, false);
    CHECK_STATUS(task_await(getter), -ECANCELED);
    CHECK_RECORD("getter -125, then 0");
    end(&q);
    return 0;
}

static int an_immediate_shutdown_drops_what_is_left(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];

    (void)arg;
    make(&q, 3);
    fill(&q, 3);
    tasks[0] = start(puts_item, putter_of("putter", 4));
    tasks[1] = start(joins, client("joiner"));
    task_queue_shutdown(&q, true);
    CHECK_RECORD("drop 1, drop 2, drop 3"); /* 4 is the putter's */
    CHECK(task_queue_empty(&q) && task_queue_unfinished(&q) == 0);
    CHECK_STATUS(get(&q), -EPIPE);
    CHECK_STATUS(put(&q, 5), -EPIPE);
    CHECK_STATUS(task_await(tasks[0]), -EPIPE);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_RECORD("putter -32, joiner 0");
    end(&q);
    return 0;
}

static int an_immediate_shutdown_leaves_taken_items_to_be_done(void *arg)
{
    struct task_queue q;
    struct task *joiner;

    (void)arg;
    make(&q, 0);
    fill(&q, 3);
    CHECK_STATUS(get(&q), 1);
    joiner = start(joins, client("joiner"));
    task_queue_shutdown(&q, true);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_queue_unfinished(&q) == 1);
    CHECK_RECORD("drop 2, drop 3");
    CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK_STATUS(task_await(joiner), 0);
    CHECK_RECORD("joiner 0");
    end(&q);
    return 0;
}

static int dropped_items_that_were_done_before_count_once(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    fill(&q, 2);
    CHECK_STATUS(task_queue_task_done(&q), 0);
    task_queue_shutdown(&q, true);
    CHECK(task_queue_unfinished(&q) == 0);
    CHECK_RECORD("drop 1, drop 2");
    end(&q);
    return 0;
}

static int shutdown_may_be_repeated(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    fill(&q, 3);
    task_queue_shutdown(&q, false);
    task_queue_shutdown(&q, false);
    CHECK_STATUS(get(&q), 1);
    CHECK_RECORD("");
    task_queue_shutdown(&q, true);
    CHECK_RECORD("drop 2, drop 3");
    task_queue_shutdown(&q, true);
    task_queue_shutdown(&q, false);
    CHECK_STATUS(get(&q), -EPIPE);
    end(&q);
    return 0;
}

static void shuts_down(void *arg)
{
    task_queue_shutdown(arg, true);
}

static int a_callback_may_shut_down(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    CHECK(loop_call_later(TASK_SECOND, shuts_down, &q) > 0);
    CHECK_STATUS(get(&q), -EPIPE);
    CHECK(loop_time() == TASK_SECOND);
    end(&q);
    return 0;
}

/* The end. */

static bool is_zero(const struct task_queue *q)
{
    const unsigned char *bytes = (const unsigned char *)q;

    for (size_t i = 0; i < sizeof *q; i++)
        if (bytes[i])
            return false;
    return true;
}

static int destroy_drops_what_is_left(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    fill(&q, 3);
    CHECK_STATUS(get(&q), 1);
    CHECK_STATUS(task_queue_destroy(&q), 0);
    CHECK_RECORD("drop 2, drop 3");
    CHECK(is_zero(&q));
    CHECK_STATUS(task_queue_destroy(&q), 0);
    return 0;
}

static int a_queue_that_is_waited_for_is_not_destroyed(void *arg)
{
    struct task_queue q;
    struct task *getter;
    struct task *putter;
    struct task *joiner;

    (void)arg;
    make(&q, 1);
    getter = start(gets, client("getter"));
    CHECK_STATUS(task_queue_destroy(&q), -EBUSY);
    CHECK_STATUS(put(&q, 1), 0);
    CHECK_STATUS(put(&q, 2), 0);
    putter = start(puts_item, putter_of("putter", 3));
    CHECK_STATUS(task_queue_destroy(&q), -EBUSY);
    CHECK_STATUS(get(&q), 2);
    joiner = start(joins, client("joiner"));
    CHECK_STATUS(task_queue_destroy(&q), -EBUSY);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_queue_task_done(&q), 0);
    CHECK_STATUS(task_queue_destroy(&q), 0); /* before those woken have run */
    CHECK_STATUS(task_await(getter), 0);
    CHECK_STATUS(task_await(putter), 0);
    CHECK_STATUS(task_await(joiner), 0);
    CHECK_RECORD("drop 3, getter got 1, putter 0, joiner 0");
    return 0;
}

static int items_that_went_elsewhere_are_not_dropped(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];

    (void)arg;
    make(&q, 1);
    tasks[0] = start(gets, client("getter"));
    CHECK_STATUS(put(&q, 1), 0);
    CHECK(task_cancel(tasks[0])); /* too late */
    CHECK_STATUS(put(&q, 2), 0);
    tasks[1] = start(puts_item, putter_of("putter", 3));
    CHECK(task_cancel(tasks[1]));
    CHECK_STATUS(try_put(&q, 4), -EAGAIN);
    CHECK_STATUS(get(&q), 2);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), -ECANCELED);
    CHECK_RECORD("getter got 1, putter -125");
    end(&q);
    CHECK_RECORD("");
    return 0;
}

static struct task_queue *looked_at;

static void looks_and_drops(void *item)
{
    drops(item);
    CHECK(task_queue_empty(looked_at));
    CHECK_STATUS(try_get(looked_at), -EPIPE);
    CHECK_STATUS(try_put(looked_at, 1), -EPIPE);
    task_queue_shutdown(looked_at, true);
}

static int a_destructor_may_use_the_queue(void *arg)
{
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    looked_at = &q;
    task_queue_set_item_destructor(&q, looks_and_drops);
    fill(&q, 3);
    task_queue_shutdown(&q, true);
    CHECK_RECORD("drop 1, drop 2, drop 3");
    end(&q);
    return 0;
}

static void free_item(void *item)
{
    free(*(void **)item);
}

static int pointers_are_freed_by_a_destructor(void *arg)
{
    struct task_queue q;

    (void)arg;
    CHECK_STATUS(task_queue_init(&q, sizeof(void *), 0), 0);
    task_queue_set_item_destructor(&q, free_item);
    for (int i = 0; i < 100; i++) {
        void *item = malloc(10);

        CHECK_STATUS(task_queue_put(&q, &item), 0);
        if (i % 3 == 0) {
            CHECK_STATUS(task_queue_get(&q, &item), 0);
            free(item);
        }
    }
    end(&q); /* sanitizers and Valgrind see what is left */
    return 0;
}

/* Bounds and figures. */

static int a_huge_bound_is_only_a_bound(void *arg)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 4 + 1};
    struct task_queue q;

    (void)arg;
    for (size_t i = 0; i < N_OF(sizes); i++) {
        make(&q, sizes[i]);
        CHECK_STATUS(put(&q, 1), 0);
        CHECK(!task_queue_full(&q));
        CHECK_STATUS(get(&q), 1);
        end(&q);
    }
    return 0;
}

static int figures_tell_what_is_there(void *arg)
{
    struct task_queue q;
    struct task *tasks[2];

    (void)arg;
    make(&q, 2);
    CHECK(task_queue_empty(&q) && !task_queue_full(&q));
    CHECK(task_queue_size(&q) == 0 && task_queue_unfinished(&q) == 0);
    tasks[0] = start(gets, client("a"));
    tasks[1] = start(gets, client("b"));
    CHECK(task_queue_getters(&q) == 2 && task_queue_putters(&q) == 0);
    fill(&q, 3);
    CHECK(task_queue_getters(&q) == 0);
    CHECK(task_queue_size(&q) == 1 && task_queue_unfinished(&q) == 3);
    CHECK(!task_queue_empty(&q) && !task_queue_full(&q));
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_STATUS(put(&q, 4), 0);
    CHECK(task_queue_full(&q));
    tasks[0] = start(puts_item, putter_of("c", 5));
    tasks[1] = start(puts_item, putter_of("d", 6));
    CHECK(task_queue_getters(&q) == 0 && task_queue_putters(&q) == 2);
    CHECK(task_queue_size(&q) == 2 && task_queue_unfinished(&q) == 4);
    for (int i = 3; i <= 6; i++)
        CHECK_STATUS(get(&q), i);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_RECORD("a got 1, b got 2, c 0, d 0");
    end(&q);
    return 0;
}

static int a_put_without_memory_changes_nothing(void *arg)
{
    struct task_queue q;
    struct task *getter;

    (void)arg;
    make(&q, 0);
    fail_at = 1;
    CHECK_STATUS(put(&q, 1), -ENOMEM);
    fail_at = 1;
    CHECK_STATUS(try_put(&q, 1), -ENOMEM);
    CHECK(task_queue_empty(&q) && task_queue_unfinished(&q) == 0);
    getter = start(gets, client("getter"));
    fail_at = 1;
    CHECK_STATUS(put(&q, 2), 0); /* needs none */
    fail_at = 0;
    CHECK_STATUS(task_await(getter), 0);
    CHECK_STATUS(put(&q, 3), 0);
    CHECK_STATUS(get(&q), 3);
    CHECK_RECORD("getter got 2");
    end(&q);
    return 0;
}

static int memory_is_given_back_after_a_burst(void *arg)
{
    int n = (int)test_rounds(100000);
    struct task_queue q;

    (void)arg;
    make(&q, 0);
    fill(&q, n);
    CHECK(q.store.capacity >= (size_t)n);
    for (int i = 1; i <= n; i++)
        CHECK_STATUS(i % 2 ? get(&q) : try_get(&q), i);
    CHECK(q.store.capacity * sizeof(int) <= 4096);
    end(&q);
    return 0;
}

/* Deadlocks. */

static int waits_for_ever(void *arg)
{
    struct task_queue q;
    int status;

    (void)arg;
    make(&q, 0);
    status = get(&q);
    end(&q);
    return status;
}

static void a_get_that_nobody_can_serve_is_a_deadlock(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, waits_for_ever, NULL), -EDEADLK);
    test_loop_free(loop, &count);
    assert_record("deadlock(-35)");
}

/*
 * Random suites. First one task at a time against a model: clients begin, are
 * cancelled, and the queue is used without waiting and shut down.
 */

enum order { FIFO, LIFO, PRIORITY, N_ORDERS };

enum { MANY = 60, NONE = -1 };

/* What a client was to do, and what came of it. */
struct errand {
    struct task_queue *q;
    struct task *task;
    bool is_put;
    int item;
    int status;
    /* The model: what ought to come of it. */
    int expected_item;
    int expected_status; /* -EINPROGRESS: it waits */
};

struct model {
    struct random random;
    enum order order;
    struct task_queue q;
    size_t maxsize;
    int items[2 * MANY];
    size_t n_items;
    size_t unfinished;
    bool is_shut;
    struct errand errands[MANY];
    size_t n_errands;
    int last_item;
};

static int runs_errand(void *arg)
{
    struct errand *errand = arg;

    errand->status = errand->is_put ? task_queue_put(errand->q, &errand->item)
                                    : task_queue_get(errand->q, &errand->item);
    return errand->status;
}

static struct errand *first_waiting(struct model *model, bool is_put)
{
    for (size_t i = 0; i < model->n_errands; i++) {
        struct errand *errand = &model->errands[i];

        if (errand->is_put == is_put && errand->expected_status == -EINPROGRESS)
            return errand;
    }
    return NULL;
}

static size_t count_waiting(const struct model *model, bool is_put)
{
    size_t n = 0;

    for (size_t i = 0; i < model->n_errands; i++)
        n += model->errands[i].is_put == is_put &&
             model->errands[i].expected_status == -EINPROGRESS;
    return n;
}

static int model_put(struct model *model, int item)
{
    struct errand *getter = first_waiting(model, false);

    if (model->is_shut)
        return -EPIPE;
    if (!getter && model->maxsize && model->n_items == model->maxsize)
        return -EAGAIN;
    model->unfinished++;
    if (getter) {
        getter->expected_item = item;
        getter->expected_status = 0;
    } else {
        model->items[model->n_items++] = item;
    }
    return 0;
}

static size_t model_best(const struct model *model)
{
    size_t best = 0;

    if (model->order == LIFO)
        return model->n_items - 1;
    for (size_t i = 1; model->order == PRIORITY && i < model->n_items; i++)
        if (by_tens(&model->items[i], &model->items[best]) < 0)
            best = i;
    return best;
}

static int model_get(struct model *model, int *item)
{
    struct errand *putter = first_waiting(model, true);
    size_t best = model_best(model);

    if (!model->n_items)
        return model->is_shut ? -EPIPE : -EAGAIN;
    *item = model->items[best];
    model->n_items--;
    memmove(model->items + best, model->items + best + 1,
            (model->n_items - best) * sizeof *model->items);
    if (putter) {
        model->items[model->n_items++] = putter->item;
        model->unfinished++;
        putter->expected_status = 0;
    }
    return 0;
}

static void model_shutdown(struct model *model, bool immediate)
{
    struct errand *errand;

    model->is_shut = true;
    while ((errand = first_waiting(model, false)) ||
           (errand = first_waiting(model, true)))
        errand->expected_status = -EPIPE;
    if (immediate) {
        model->unfinished -= model->n_items;
        model->n_items = 0;
    }
}

static int new_item(struct model *model)
{
    return ++model->last_item % 10 + 10 * (int)random_below(&model->random, 5);
}

static void begin_errand(struct model *model)
{
    struct errand *errand = &model->errands[model->n_errands];
    int status;

    errand->q = &model->q;
    errand->is_put = random_below(&model->random, 2);
    errand->item = errand->is_put ? new_item(model) : NONE;
    errand->expected_item = errand->item;
    errand->status = -EINPROGRESS;
    status = errand->is_put ? model_put(model, errand->item)
                            : model_get(model, &errand->expected_item);
    errand->expected_status = status == -EAGAIN ? -EINPROGRESS : status;
    model->n_errands++;
    errand->task = task_create_with(runs_errand, errand,
                                    &(struct task_options){.eager = true});
}

static void cancel_one(struct model *model)
{
    struct errand *errand =
        &model->errands[random_below(&model->random, model->n_errands)];

    if (errand->expected_status != -EINPROGRESS)
        return;
    errand->expected_status = -ECANCELED;
    CHECK(task_cancel(errand->task));
}

static void try_one(struct model *model)
{
    int item = new_item(model);
    int expected = NONE;

    if (random_below(&model->random, 2)) {
        CHECK_STATUS(try_put(&model->q, item), model_put(model, item));
        return;
    }
    int status = model_get(model, &expected);

    item = NONE;
    CHECK_STATUS(task_queue_try_get(&model->q, &item), status);
    CHECK(item == expected);
}

static void take_random_step(struct model *model)
{
    size_t step = random_below(&model->random, 100);
    bool immediate = random_below(&model->random, 2);

    if (step < 55 && model->n_errands < MANY)
        begin_errand(model);
    else if (step < 65 && model->n_errands)
        cancel_one(model);
    else if (step < 90)
        try_one(model);
    else if (step < 96)
        CHECK_STATUS(task_yield(), 0);
    else if (step < 97 && !model->is_shut) {
        model_shutdown(model, immediate);
        task_queue_shutdown(&model->q, immediate);
    }
}

static void check_figures(const struct model *model)
{
    const struct task_queue *q = &model->q;

    CHECK(task_queue_size(q) == model->n_items);
    CHECK(task_queue_empty(q) == !model->n_items);
    CHECK(task_queue_full(q) ==
          (model->maxsize && model->n_items == model->maxsize));
    CHECK(task_queue_unfinished(q) == model->unfinished);
    CHECK(task_queue_getters(q) == count_waiting(model, false));
    CHECK(task_queue_putters(q) == count_waiting(model, true));
}

static void end_errands(struct model *model)
{
    for (size_t i = 0; i < model->n_errands; i++) {
        struct errand *errand = &model->errands[i];

        CHECK_STATUS(task_await(errand->task), errand->expected_status);
        CHECK_STATUS(errand->status, errand->expected_status);
        CHECK(errand->item == errand->expected_item);
    }
}

static int init_of(struct task_queue *q, enum order order, size_t size,
                   size_t maxsize, int (*compare)(const void *, const void *))
{
    if (order == LIFO)
        return task_queue_init_lifo(q, size, maxsize);
    if (order == PRIORITY)
        return task_queue_init_priority(q, size, maxsize, compare);
    return task_queue_init(q, size, maxsize);
}

static int every_step_agrees_with_a_model(void *arg)
{
    (void)arg;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        struct model *model = calloc(1, sizeof *model);

        model->random.state = test_seed_now() * N_ORDERS + order + 1;
        model->order = order;
        model->maxsize = random_below(&model->random, 5);
        CHECK_STATUS(
            init_of(&model->q, order, sizeof(int), model->maxsize, by_tens), 0);
        for (int i = 0; i < 2 * MANY; i++) {
            take_random_step(model);
            check_figures(model);
        }
        model_shutdown(model, false);
        task_queue_shutdown(&model->q, false);
        end_errands(model);
        end(&model->q);
        free(model);
    }
    return 0;
}

/*
 * Then many at once, in shuffled turns: putters and getters that are cancelled
 * at random by timers, and try again or give the item up. Every item that was
 * accepted is received once, and no other.
 */

enum { N_PUTTERS = 8, N_GETTERS = 8, N_EACH = 30 };

struct parcel {
    int putter;
    int number;
    char text[24];
};

struct market {
    struct random random;
    enum order order;
    struct task_queue q;
    struct task *tasks[N_PUTTERS + N_GETTERS];
    bool accepted[N_PUTTERS][N_EACH];
    int received[N_PUTTERS][N_EACH];
    int n_requests;
};

struct trader {
    struct market *market;
    int index;
};

static struct parcel parcel_of(int putter, int number)
{
    struct parcel parcel = {.putter = putter, .number = number};

    snprintf(parcel.text, sizeof parcel.text, "%d:%d", putter, number);
    return parcel;
}

static int by_putter(const void *a, const void *b)
{
    const struct parcel *x = a;
    const struct parcel *y = b;

    return x->putter - y->putter;
}

/* Now and then let time or a turn pass; a request may come meanwhile. */
static void dawdle(struct market *market)
{
    switch (random_below(&market->random, 4)) {
    case 0:
        task_sleep((task_time)random_below(&market->random, 5));
        break;
    case 1:
        task_yield();
        break;
    default:
        break;
    }
}

static int sells(void *arg)
{
    struct trader *trader = arg;
    struct market *market = trader->market;
    struct parcel parcel;

    for (int i = 0; i < N_EACH; i++) {
        int status;

        parcel = parcel_of(trader->index, i);
        do {
            status = task_queue_put(&market->q, &parcel);
            CHECK(status == 0 || status == -ECANCELED);
        } while (status && random_below(&market->random, 4));
        market->accepted[trader->index][i] = !status;
        memset(&parcel, 0xee, sizeof parcel); /* the queue has its own */
        dawdle(market);
    }
    return 0;
}

static void take_in(struct market *market, const struct parcel *parcel)
{
    struct parcel expected = parcel_of(parcel->putter, parcel->number);

    CHECK(!memcmp(parcel, &expected, sizeof expected));
    market->received[parcel->putter][parcel->number]++;
    CHECK_STATUS(task_queue_task_done(&market->q), 0);
}

static int buys(void *arg)
{
    struct trader *trader = arg;
    struct market *market = trader->market;
    int last[N_PUTTERS];
    struct parcel parcel;
    int status;

    memset(last, 0xff, sizeof last);
    while ((status = task_queue_get(&market->q, &parcel)) != -EPIPE) {
        CHECK(status == 0 || status == -ECANCELED);
        if (status)
            continue;
        take_in(market, &parcel);
        CHECK(market->order == LIFO || parcel.number > last[parcel.putter]);
        last[parcel.putter] = parcel.number;
        dawdle(market);
    }
    return 0;
}

static void disturb(void *arg)
{
    struct market *market = arg;
    size_t i = random_below(&market->random, N_OF(market->tasks));

    task_cancel(market->tasks[i]);
    if (--market->n_requests)
        CHECK(loop_call_later((task_time)random_below(&market->random, 4),
                              disturb, market) > 0);
}

static void hold_market(struct market *market)
{
    struct trader traders[N_PUTTERS + N_GETTERS];

    for (int i = 0; i < N_PUTTERS + N_GETTERS; i++) {
        bool is_putter = i < N_PUTTERS;

        traders[i].market = market;
        traders[i].index = is_putter ? i : i - N_PUTTERS;
        market->tasks[i] = task_create(is_putter ? sells : buys, &traders[i]);
    }
    CHECK(loop_call_soon(disturb, market) > 0);
    for (int i = 0; i < N_PUTTERS; i++)
        CHECK_STATUS(task_await(task_retain(market->tasks[i])), 0);
    task_queue_shutdown(&market->q, false);
    for (int i = N_PUTTERS; i < N_PUTTERS + N_GETTERS; i++)
        CHECK_STATUS(task_await(task_retain(market->tasks[i])), 0);
    CHECK_STATUS(task_queue_join(&market->q), 0);
    while (market->n_requests)
        CHECK_STATUS(task_sleep(10), 0);
    for (int i = 0; i < N_PUTTERS + N_GETTERS; i++)
        task_detach(market->tasks[i]);
}

static int each_item_is_received_exactly_once(void *arg)
{
    (void)arg;
    for (enum order order = FIFO; order < N_ORDERS; order++) {
        struct market *market = calloc(1, sizeof *market);

        market->random.state = test_seed_now() * N_ORDERS + order + 1;
        market->order = order;
        market->n_requests = 300;
        CHECK_STATUS(init_of(&market->q, order, sizeof(struct parcel),
                             random_below(&market->random, 5), by_putter),
                     0);
        hold_market(market);
        for (int i = 0; i < N_PUTTERS; i++)
            for (int j = 0; j < N_EACH; j++)
                CHECK(market->received[i][j] == market->accepted[i][j]);
        end(&market->q);
        free(market);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(items_leave_first_in_first_out),
        in_main(items_leave_a_lifo_queue_last_in_first_out),
        in_main(the_least_leaves_a_priority_queue_first),
        in_main(a_priority_queue_needs_a_comparison),
        in_main(items_may_have_any_size),
        in_main(items_of_no_size_count),
        in_main(an_all_zero_queue_is_ready),
        in_main(try_calls_do_not_wait),
        in_main(try_calls_do_not_deliver_a_request),
        in_main(calls_that_need_not_wait_do_not_suspend),
        in_main(callbacks_may_use_what_does_not_suspend),
        behaviour(a_queue_may_be_used_outside_of_any_loop),
        behaviour(a_queue_may_outlive_a_loop),
        in_main(a_waiting_get_is_woken_by_a_put),
        in_main(a_waiting_put_is_woken_by_a_get),
        in_main(serving_those_that_wait_takes_no_turn),
        in_main(all_getters_wake_when_there_is_an_item_for_each),
        in_main(as_many_putters_wake_as_items_were_taken),
        in_main(nobody_overtakes_a_putter_that_waits),
        in_main(nobody_overtakes_a_getter_that_waits),
        in_main(a_priority_queue_takes_putters_in_as_they_came),
        in_main(waiting_takes_no_memory),
        in_main(a_request_ends_a_get),
        in_main(a_request_ends_a_put),
        in_main(a_request_that_waits_is_delivered_before_anything),
        in_main(an_item_that_came_before_the_request_is_received),
        in_main(an_item_that_comes_after_the_request_stays),
        in_main(an_item_goes_to_the_next_getter_after_a_cancelled_one),
        in_main(a_put_that_got_room_before_the_request_is_done),
        in_main(a_put_that_gets_room_after_the_request_is_not),
        in_main(a_cancelled_putter_does_not_hold_back_the_next),
        in_main(an_item_at_the_deadline_is_received_or_stays),
        in_main(cancelled_waiters_leave_nothing_behind),
        in_main(join_waits_until_all_is_done),
        in_main(join_of_an_empty_queue_returns_at_once),
        in_main(a_later_put_arms_join_again),
        in_main(items_handed_over_are_unfinished_too),
        in_main(task_done_more_often_than_put_is_refused),
        in_main(a_cancelled_join_changes_nothing),
        in_main(a_join_that_was_woken_before_the_request_is_done),
        in_main(after_shutdown_what_is_left_may_be_taken),
        in_main(shutdown_wakes_all_getters),
        in_main(shutdown_wakes_all_putters_and_their_items_stay_theirs),
        in_main(a_request_after_the_shutdown_comes_next),
        in_main(a_request_before_the_shutdown_is_delivered),
        in_main(an_immediate_shutdown_drops_what_is_left),
        in_main(an_immediate_shutdown_leaves_taken_items_to_be_done),
        in_main(dropped_items_that_were_done_before_count_once),
        in_main(shutdown_may_be_repeated),
        in_main(a_callback_may_shut_down),
        in_main(destroy_drops_what_is_left),
        in_main(a_queue_that_is_waited_for_is_not_destroyed),
        in_main(items_that_went_elsewhere_are_not_dropped),
        in_main(a_destructor_may_use_the_queue),
        in_main(pointers_are_freed_by_a_destructor),
        in_main(a_huge_bound_is_only_a_bound),
        in_main(figures_tell_what_is_there),
        in_main(a_put_without_memory_changes_nothing),
        in_main(memory_is_given_back_after_a_burst),
        behaviour(a_get_that_nobody_can_serve_is_a_deadlock),
        in_main_seeded(every_step_agrees_with_a_model),
        in_main_seeded(each_item_is_received_exactly_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
