/* Writing by a stream: stream.h. */
#include "streams.h"

#include "bodies.h"
#include "cancel_points.h"
#include "moment.h"
#include "random.h"
#include "stream.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wchar.h>

/* Bodies. */

/* What a task writes of the row of bytes. */
struct writing {
    struct task_stream *s;
    size_t first;
    size_t n;
};

static int writes(void *arg)
{
    const struct writing *writing = arg;

    return write_row(writing->s, writing->first, writing->n);
}

static int drains(void *arg)
{
    return task_stream_drain(arg);
}

static int drains_and_says(void *arg)
{
    int result = task_stream_drain(arg);

    record("%s %d", task_name(task_current()), result);
    return result;
}

static int flushes(void *arg)
{
    return task_stream_flush(arg);
}

static int waits_for_hang_up(void *arg)
{
    return task_wait_fd(task_stream_fd(arg), 0);
}

/* write. */

static int a_write_is_sent_at_once(void *arg)
{
    struct memory_count *count = arg;
    struct half half = socket_half();
    size_t allocations = count->allocations;
    char buf[16];

    for (int i = 0; i < 1000; i++) {
        CHECK_STATUS(task_stream_write(half.s, "hello", 5), 0);
        CHECK_STATUS(hear(half.fd, buf, sizeof buf), 5);
        CHECK(!memcmp(buf, "hello", 5));
    }
    CHECK(!stream_pending(half.s));
    CHECK(count->allocations == allocations);
    close_half(half);
    return 0;
}

static void run_counted(task_fn *fn, struct memory_count *count)
{
    struct loop *loop = test_loop_new(count);

    assert_int_equal(loop_run_main(loop, fn, count), 0);
    test_loop_free(loop, count);
}

static void what_is_sent_at_once_takes_no_memory(void **state)
{
    struct memory_count count = {0};

    (void)state;
    run_counted(a_write_is_sent_at_once, &count);
}

static int an_empty_write_does_nothing(void *arg)
{
    struct half half = socket_half();
    char byte;

    (void)arg;
    CHECK_STATUS(task_stream_write(half.s, NULL, 0), 0);
    CHECK_STATUS(task_stream_write(half.s, "", 0), 0);
    CHECK_STATUS(hear(half.fd, &byte, 1), 0);
    task_cancel(task_current());
    CHECK_STATUS(task_stream_write(half.s, NULL, 0), -ECANCELED);
    close_half(half);
    return 0;
}

static int a_waiting_request_comes_before_anything_is_written(void *arg)
{
    struct half half = socket_half();
    char buf[8];

    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_stream_write(half.s, "x", 1), -ECANCELED);
    task_cancel(task_current());
    CHECK_STATUS(task_stream_printf(half.s, "x"), -ECANCELED);
    CHECK_STATUS(hear(half.fd, buf, sizeof buf), 0);
    close_half(half);
    return 0;
}

static int what_the_system_does_not_take_is_sent_later(void *arg)
{
    struct choked choked = choked_half();

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 30000), 0);
    CHECK_STATUS(write_row(choked.s, 30000, 1), 0);
    CHECK_STATUS(write_row(choked.s, 30001, 9999), 0);
    CHECK_STATUS(stream_pending(choked.s), 40000);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 40000);
    CHECK_STATUS(stream_pending(choked.s), 0);
    CHECK(!choked.s->out.data);
    CHECK(!choked.s->is_observed);
    CHECK_STATUS(write_row(choked.s, 40000, 1000), 0);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 41000);
    close_choked(&choked);
    return 0;
}

static int exactly_the_high_mark_does_not_wait(void *arg)
{
    struct choked choked = choked_half();
    struct writing one = {choked.s, STREAM_HIGH, 1};
    struct task *task;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, STREAM_HIGH), 0);
    CHECK_STATUS(stream_pending(choked.s), STREAM_HIGH);
    task = start(writes, &one);
    CHECK(!task_done(task));
    while (stream_pending(choked.s) > STREAM_LOW) {
        CHECK(!task_done(task));
        choked_read(&choked);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(task));
    CHECK_STATUS(task_await(task), 0);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, STREAM_HIGH + 1);
    close_choked(&choked);
    return 0;
}

/* It is sent from where it is. */
static int a_large_write_takes_no_memory(void *arg)
{
    struct memory_count *count = arg;
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 0, 500000};
    size_t bytes = count->bytes;
    struct task *task = start(writes, &writing);

    CHECK(!task_done(task));
    while (!task_done(task)) {
        CHECK(count->bytes - bytes < 3 * STREAM_BLOCK);
        choked_read(&choked);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK(stream_pending(choked.s) <= STREAM_LOW);
    CHECK_STATUS(task_await(task), 0);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 500000);
    close_choked(&choked);
    return 0;
}

static void a_large_write_is_not_copied(void **state)
{
    struct memory_count count = {0};

    (void)state;
    run_counted(a_large_write_takes_no_memory, &count);
}

static int writes_of_several_tasks_come_in_one_piece_each(void *arg)
{
    enum { N = 7 };
    struct choked choked = choked_half();
    struct writing writings[N];
    struct task *tasks[N];

    (void)arg;
    for (size_t i = 0; i < N; i++) {
        writings[i] = (struct writing){choked.s, i * 30000, 30000};
        tasks[i] = start(writes, &writings[i]);
    }
    CHECK(task_done(tasks[1]));
    CHECK(!task_done(tasks[2]));
    choked_read_all(&choked);
    for (int i = 0; i < N; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_STATUS(choked.got, N * 30000);
    close_choked(&choked);
    return 0;
}

/* Cancel. */

static int a_cancelled_writer_leaves_a_copy(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 0, 200000};
    struct task *task = start(writes, &writing);

    (void)arg;
    choked_read(&choked);
    CHECK_STATUS(task_sleep(1), 0);
    choked_read(&choked);
    CHECK(!task_done(task));
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0); /* all is taken; the request was next */
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 200000);
    close_choked(&choked);
    return 0;
}

static int writes_and_goes_on(void *arg)
{
    record("wrote %d", writes(arg));
    record("then %d", task_sleep(TASK_SECOND));
    return 7;
}

static int the_request_of_a_writer_comes_next(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 0, 200000};
    struct task *task = start(writes_and_goes_on, &writing);

    (void)arg;
    CHECK_STATUS(task_cancel_await(task), 7);
    CHECK_RECORD("wrote 0, then -125");
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 200000);
    close_choked(&choked);
    return 0;
}

static int a_writer_in_the_midst_may_be_cancelled(void *arg)
{
    enum { N = 4 };

    (void)arg;
    for (int victim = 0; victim < N; victim++) {
        struct choked choked = choked_half();
        struct writing writings[N];
        struct task *tasks[N];

        for (size_t i = 0; i < N; i++) {
            writings[i] = (struct writing){choked.s, i * 70000, 70000};
            tasks[i] = start(writes, &writings[i]);
        }
        CHECK_STATUS(task_cancel_await(tasks[victim]), 0);
        for (int i = 0; i < N; i++)
            CHECK(i == victim || !task_done(tasks[i]));
        choked_read_all(&choked);
        for (int i = 0; i < N; i++)
            CHECK(i == victim || !task_await(tasks[i]));
        CHECK_STATUS(choked.got, N * 70000);
        close_choked(&choked);
    }
    return 0;
}

/* In which they are cancelled. */
static size_t in_order(size_t i, size_t n)
{
    (void)n;
    return i;
}

static size_t backwards(size_t i, size_t n)
{
    return n - 1 - i;
}

static size_t from_the_middle(size_t i, size_t n)
{
    return i % 2 ? n / 2 - 1 - i / 2 : n / 2 + i / 2;
}

static int writers_may_be_cancelled_in_any_order(void *arg)
{
    enum { N = 60, SIZE = 700 };
    static size_t (*const orders[])(size_t i, size_t n) = {in_order, backwards,
                                                           from_the_middle};

    (void)arg;
    for (int order = 0; order < 3; order++) {
        struct choked choked = choked_half();
        struct writing writings[N];
        struct task *tasks[N];

        task_stream_set_write_limits(choked.s, 0, 0);
        for (size_t i = 0; i < N; i++) {
            writings[i] = (struct writing){choked.s, i * SIZE, SIZE};
            tasks[i] = start(writes, &writings[i]);
        }
        for (size_t i = 0; i < N; i++) {
            CHECK(!task_done(tasks[orders[order](i, N)]));
            CHECK_STATUS(task_cancel_await(tasks[orders[order](i, N)]), 0);
        }
        CHECK_STATUS(stream_pending(choked.s), N * SIZE);
        choked_read_all(&choked);
        CHECK_STATUS(choked.got, N * SIZE);
        close_choked(&choked);
    }
    return 0;
}

/* Without memory the writer stays until its bytes are sent. */
static int writers_without_memory(void *arg)
{
    struct memory_count *count = arg;
    struct choked choked = choked_half();
    struct writing small = {choked.s, 0, 10};
    struct writing big = {choked.s, 10, 200000};
    struct task *tasks[2];

    /* The poller has its memory. */
    CHECK_STATUS(task_cancel_await(start(waits_for_hang_up, choked.s)),
                 -ECANCELED);
    tasks[0] = task_create(writes, &small);
    tasks[1] = task_create(writes_and_goes_on, &big);
    count->fail_at = 1;
    CHECK_STATUS(task_yield(), 0);
    CHECK(!task_done(tasks[0]) && !task_done(tasks[1]));
    count->fail_at = 1;
    task_cancel(tasks[1]);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("");
    while (!task_done(tasks[1])) {
        count->fail_at = 1;
        choked_read(&choked);
        CHECK_STATUS(task_sleep(1), 0);
    }
    count->fail_at = 0;
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 7);
    CHECK_RECORD("wrote 0, then -125");
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 200010);
    close_choked(&choked);
    return 0;
}

static void without_memory_a_writer_waits(void **state)
{
    struct memory_count count = {0};

    (void)state;
    run_counted(writers_without_memory, &count);
}

/* drain and flush. */

static int drain_waits_for_the_low_mark(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(task_stream_set_write_limits(choked.s, 60000, 30000), 0);
    CHECK_STATUS(task_stream_drain(choked.s), 0);
    CHECK_STATUS(write_row(choked.s, 0, 30000), 0);
    CHECK_STATUS(task_stream_drain(choked.s), 0);
    CHECK_STATUS(write_row(choked.s, 30000, 30000), 0);
    task = start(drains, choked.s);
    while (stream_pending(choked.s) > 30000) {
        CHECK(!task_done(task));
        choked_read(&choked);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(task));
    CHECK_STATUS(task_await(task), 0);
    CHECK(stream_pending(choked.s) > 20000);
    close_choked(&choked);
    return 0;
}

static int a_low_mark_of_0_is_an_empty_buffer(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(task_stream_set_write_limits(choked.s, 60000, 0), 0);
    CHECK_STATUS(write_row(choked.s, 0, 10000), 0);
    task = start(drains, choked.s);
    while (stream_pending(choked.s)) {
        CHECK(!task_done(task));
        choked_read(&choked);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK_STATUS(task_await(task), 0);
    close_choked(&choked);
    return 0;
}

static int with_a_high_mark_of_0_every_write_waits(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 0, 1};
    struct task *task;

    (void)arg;
    CHECK_STATUS(task_stream_set_write_limits(choked.s, 0, 0), 0);
    task = start(writes, &writing);
    CHECK(!task_done(task));
    choked_read_all(&choked);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(choked.got, 1);
    close_choked(&choked);
    return 0;
}

static int flush_waits_until_all_is_sent(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(task_stream_flush(choked.s), 0);
    CHECK_STATUS(write_row(choked.s, 0, 10000), 0);
    CHECK_STATUS(task_stream_drain(choked.s), 0);
    task = start(flushes, choked.s);
    while (stream_pending(choked.s)) {
        CHECK(!task_done(task));
        choked_read(&choked);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK_STATUS(task_await(task), 0);
    close_choked(&choked);
    return 0;
}

static int ten_that_drain_all_wake(void *arg)
{
    struct choked choked = choked_half();
    struct task *tasks[10];

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, STREAM_HIGH), 0);
    for (int i = 0; i < 10; i++)
        tasks[i] =
            test_start(drains_and_says, choked.s, (char[]){(char)('a' + i), 0});
    CHECK_RECORD("");
    choked_read_all(&choked);
    CHECK_RECORD("a 0, b 0, c 0, d 0, e 0, f 0, g 0, h 0, i 0, j 0");
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    close_choked(&choked);
    return 0;
}

static int flushes_and_says(void *arg)
{
    int result = task_stream_flush(arg);

    record("%s %d", task_name(task_current()), result);
    return result;
}

static int writes_and_says(void *arg)
{
    int result = writes(arg);

    record("%s %d", task_name(task_current()), result);
    return result;
}

/* A flush, a write of so much, and a drain, named after that. */
static void start_three(struct task *tasks[], struct writing *writing)
{
    char name[8];

    snprintf(name, sizeof name, "f%zu", writing->n);
    tasks[0] = test_start(flushes_and_says, writing->s, name);
    snprintf(name, sizeof name, "w%zu", writing->n);
    tasks[1] = test_start(writes_and_says, writing, name);
    snprintf(name, sizeof name, "d%zu", writing->n);
    tasks[2] = test_start(drains_and_says, writing->s, name);
}

static int of_all_that_wait_those_go_first_that_wait_for_the_low_mark(void *arg)
{
    struct choked choked = choked_half();
    struct writing writings[] = {{choked.s, STREAM_HIGH, 10},
                                 {choked.s, STREAM_HIGH + 10, 2000}};
    struct task *tasks[6];

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, STREAM_HIGH), 0);
    start_three(tasks, &writings[0]);
    start_three(tasks + 3, &writings[1]);
    CHECK_RECORD("");
    while (!task_done(tasks[5])) {
        choked_read(&choked);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK_RECORD("w10 0, d10 0, w2000 0, d2000 0");
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, STREAM_HIGH + 2010);
    CHECK_RECORD("f10 0, f2000 0");
    for (int i = 0; i < 6; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    close_choked(&choked);
    return 0;
}

static int without_a_low_mark_all_that_wait_go_in_order(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 0, 3000};
    struct task *tasks[3];

    (void)arg;
    task_stream_set_write_limits(choked.s, 0, 0);
    CHECK_STATUS(task_cancel_await(start(writes, &writing)), 0);
    start_three(tasks, &(struct writing){choked.s, 3000, 4000});
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 7000);
    CHECK_RECORD("f4000 0, w4000 0, d4000 0");
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    close_choked(&choked);
    return 0;
}

static int one_that_drains_may_be_cancelled(void *arg)
{
    struct choked choked = choked_half();
    struct task *tasks[3];

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, STREAM_HIGH), 0);
    for (int i = 0; i < 3; i++)
        tasks[i] =
            test_start(drains_and_says, choked.s, (char[]){(char)('a' + i), 0});
    CHECK_STATUS(task_cancel_await(tasks[1]), -ECANCELED);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, STREAM_HIGH);
    CHECK_RECORD("b -125, a 0, c 0");
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[2]), 0);
    close_choked(&choked);
    return 0;
}

/* The buffer is drained and the drainer asked before it runs. */
static int a_granted_drain_is_delivered(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, STREAM_LOW + 1), 0);
    task = start(drains, choked.s);
    while (task->waiter) {
        choked_read(&choked);
        CHECK_STATUS(task_yield(), 0);
    }
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0);
    close_choked(&choked);
    return 0;
}

/* Marks. */

static int wrong_marks_are_refused(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_set_write_limits(half.s, 10, 11), -EINVAL);
    CHECK_STATUS(task_stream_set_write_limits(half.s, 0, 1), -EINVAL);
    CHECK_STATUS(half.s->high, STREAM_HIGH);
    CHECK_STATUS(task_stream_set_write_limits(half.s, 10, 10), 0);
    close_half(half);
    return 0;
}

static int one_mark_follows_from_the_other(void *arg)
{
    struct half half = socket_half();
    struct task_stream *s = half.s;

    (void)arg;
    CHECK(s->high == 65536 && s->low == 16384);
    CHECK_STATUS(task_stream_set_write_limits(s, 1000, TASK_STREAM_DERIVED), 0);
    CHECK(s->high == 1000 && s->low == 250);
    CHECK_STATUS(task_stream_set_write_limits(s, TASK_STREAM_DERIVED, 50), 0);
    CHECK(s->high == 200 && s->low == 50);
    CHECK_STATUS(task_stream_set_write_limits(s, TASK_STREAM_DERIVED,
                                              TASK_STREAM_DERIVED),
                 0);
    CHECK(s->high == 65536 && s->low == 16384);
    CHECK_STATUS(
        task_stream_set_write_limits(s, TASK_STREAM_DERIVED, SIZE_MAX / 2), 0);
    CHECK(s->high == SIZE_MAX && s->low == SIZE_MAX / 2);
    close_half(half);
    return 0;
}

static int without_a_mark_no_write_waits(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 0, 1000000};
    struct task *writer;

    (void)arg;
    CHECK_STATUS(task_stream_set_write_limits(choked.s, SIZE_MAX, 0), 0);
    writer = start(writes, &writing);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(writer));
    CHECK_STATUS(task_await(writer), 0);
    task_stream_abort(choked.s);
    close(choked.fd);
    return 0;
}

static int marks_take_effect_at_once(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 40000, 60000};
    struct task *drainer;
    struct task *writer;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 40000), 0);
    drainer = start(drains, choked.s);
    writer = start(writes, &writing);
    CHECK_STATUS(task_stream_set_write_limits(choked.s, 99999, 99999), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(!task_done(drainer) && !task_done(writer));
    CHECK_STATUS(task_stream_set_write_limits(choked.s, 100000, 100000), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(drainer) && task_done(writer));
    CHECK_STATUS(task_await(drainer), 0);
    CHECK_STATUS(task_await(writer), 0);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 100000);
    close_choked(&choked);
    return 0;
}

/* printf. */

static int a_text_is_written(void *arg)
{
    struct half half = socket_half();
    char buf[32] = {0};

    (void)arg;
    CHECK_STATUS(task_stream_printf(half.s, "%s %d%c", "number", 42, 0), 0);
    CHECK_STATUS(hear(half.fd, buf, sizeof buf), 10);
    CHECK(!memcmp(buf, "number 42", 10));
    CHECK_STATUS(task_stream_printf(half.s, "%s", ""), 0);
    CHECK_STATUS(hear(half.fd, buf, sizeof buf), 0);
    close_half(half);
    return 0;
}

static int a_text_may_have_any_length(void *arg)
{
    static char text[100001];
    static char got[100001];
    struct half half = socket_half();

    (void)arg;
    for (size_t n = 500; n <= 100000; n = n < 520 ? n + 1 : n * 3) {
        memset(text, 'a', n);
        text[n - 1] = 'z';
        text[n] = 0;
        CHECK_STATUS(task_stream_printf(half.s, "%s", text), 0);
        CHECK_STATUS(task_read_full(half.fd, got, n), n);
        CHECK(!memcmp(text, got, n));
    }
    CHECK(list_empty(&half.s->loop->blocks.list));
    close_half(half);
    return 0;
}

static int a_text_without_memory_is_not_written(void *arg)
{
    struct memory_count *count = arg;
    struct half half = socket_half();
    char buf[8];

    count->fail_at = 1;
    CHECK_STATUS(task_stream_printf(half.s, "%1000d", 1), -ENOMEM);
    CHECK_STATUS(hear(half.fd, buf, sizeof buf), 0);
    CHECK_STATUS(task_stream_printf(half.s, "%1000d", 1), 0);
    CHECK_STATUS(drain_raw(half.fd), 1000);
    close_half(half);
    return 0;
}

static void a_long_text_needs_memory(void **state)
{
    struct memory_count count = {0};

    (void)state;
    run_counted(a_text_without_memory_is_not_written, &count);
}

static int a_text_that_cannot_be_is_refused(void *arg)
{
    int (*volatile print)(struct task_stream *, const char *, ...) =
        task_stream_printf;
    struct half half = socket_half();

    (void)arg;
    errno = 7;
    CHECK_STATUS(task_stream_printf(half.s, "%ls", L"\xdfff"), -EILSEQ);
    CHECK_STATUS(print(half.s, "%99999999999d", 1), -EOVERFLOW);
    CHECK_STATUS(print(half.s, NULL), -EINVAL);
    CHECK_STATUS(errno, 7);
    CHECK_STATUS(drain_raw(half.fd), 0);
    close_half(half);
    return 0;
}

/* The other end is closed. */

static int writing_to_a_closed_peer_ends(void *arg)
{
    static char block[1000];

    (void)arg;
    for (int kind = 0; kind < 3; kind++) {
        struct half half = kind == 0   ? socket_half()
                           : kind == 1 ? tcp_half()
                                       : pipe_writer_half();
        int status = 0;
        int n = 0;

        CHECK_STATUS(close(half.fd), 0);
        while (!status && n++ < 1000) {
            status = task_stream_write(half.s, block, sizeof block);
            if (!status)
                status = task_stream_drain(half.s);
            CHECK(stream_pending(half.s) <= STREAM_HIGH);
            CHECK_STATUS(task_sleep(1), 0);
        }
        CHECK(status == -EPIPE || status == -ECONNRESET);
        CHECK_STATUS(task_stream_write(half.s, block, 1), status);
        CHECK_STATUS(task_stream_drain(half.s), status);
        CHECK_STATUS(task_stream_flush(half.s), status);
        CHECK_STATUS(task_stream_close(half.s), status);
    }
    return 0;
}

static int a_lost_connection_wakes_all_that_wait(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 0, 100000};
    struct task *writer = start(writes, &writing);
    struct task *tasks[3];

    (void)arg;
    tasks[0] = start(drains, choked.s);
    tasks[1] = start(flushes, choked.s);
    tasks[2] = start(drains, choked.s);
    CHECK_STATUS(close(choked.fd), 0);
    CHECK_STATUS(task_await(writer), -EPIPE);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), -EPIPE);
    CHECK_STATUS(stream_pending(choked.s), 0);
    CHECK(!choked.s->out.data && !choked.s->is_observed);
    CHECK_STATUS(task_stream_close(choked.s), -EPIPE);
    return 0;
}

static int after_an_error_of_writing_reading_goes_on(void *arg)
{
    struct half half = socket_half();
    char buf[8];

    (void)arg;
    say(half.fd, "last");
    CHECK_STATUS(close(half.fd), 0);
    CHECK_STATUS(task_stream_write(half.s, "x", 1), -EPIPE);
    CHECK_STATUS(task_stream_read(half.s, buf, sizeof buf), 4);
    CHECK_STATUS(task_stream_read(half.s, buf, sizeof buf), 0);
    CHECK_STATUS(task_stream_write(half.s, "x", 1), -EPIPE);
    task_stream_abort(half.s);
    return 0;
}

static int a_pipe_finds_out_that_its_reader_is_gone(void *arg)
{
    struct half half = pipe_writer_half();

    (void)arg;
    CHECK_STATUS(task_stream_drain(half.s), 0);
    CHECK_STATUS(close(half.fd), 0);
    CHECK_STATUS(task_stream_drain(half.s), -EPIPE);
    CHECK_STATUS(task_stream_flush(half.s), -EPIPE);
    CHECK_STATUS(task_stream_write(half.s, "x", 1), -EPIPE);
    task_stream_abort(half.s);
    return 0;
}

static int a_task_may_wait_for_the_reader_of_a_pipe_to_go(void *arg)
{
    struct half half = pipe_writer_half();
    struct task *task = start(waits_for_hang_up, half.s);

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(!task_done(task));
    CHECK_STATUS(close(half.fd), 0);
    CHECK_STATUS(task_await(task), POLLERR);
    task_stream_abort(half.s);
    return 0;
}

static int a_pipe_that_is_full_finds_out_too(void *arg)
{
    struct half half = pipe_writer_half();
    struct writing writing = {half.s, 0, 300000};
    struct task *task = start(writes, &writing);

    (void)arg;
    CHECK(!task_done(task));
    CHECK_STATUS(close(half.fd), 0);
    CHECK_STATUS(task_await(task), -EPIPE);
    task_stream_abort(half.s);
    return 0;
}

/* The end of writing. */

static int the_peer_reads_the_end_after_what_was_written(void *arg)
{
    struct choked choked = choked_half();
    struct writing writing = {choked.s, 40000, 50000};
    struct task *task;
    char buf[8];

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 40000), 0);
    task = start(writes, &writing);
    CHECK_STATUS(task_stream_write_eof(choked.s), 0);
    CHECK_STATUS(task_stream_write_eof(choked.s), 0);
    CHECK_STATUS(task_stream_write(choked.s, "x", 1), -EPIPE);
    CHECK_STATUS(task_stream_printf(choked.s, "x"), -EPIPE);
    choked_read_all(&choked);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(choked.got, 90000);
    CHECK_STATUS(read(choked.fd, buf, sizeof buf), 0);
    say(choked.fd, "back");
    CHECK_STATUS(task_stream_read(choked.s, buf, sizeof buf), 4);
    CHECK_STATUS(task_stream_flush(choked.s), 0);
    close_choked(&choked);
    return 0;
}

static int a_pipe_is_closed_to_end_it(void *arg)
{
    struct half half = pipe_writer_half();
    struct writing writing = {half.s, 0, 200000};
    struct task *task = start(writes, &writing);
    static char got[200000];

    (void)arg;
    CHECK_STATUS(task_stream_write_eof(half.s), 0);
    CHECK(task_stream_fd(half.s) >= 0);
    CHECK_STATUS(task_read_full(half.fd, got, sizeof got), sizeof got);
    CHECK(are_bytes(got, sizeof got, 0));
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(task_read(half.fd, got, 1), 0);
    CHECK_STATUS(task_stream_fd(half.s), -EBADF);
    CHECK_STATUS(task_stream_write(half.s, "x", 1), -EPIPE);
    CHECK_STATUS(task_stream_read(half.s, got, 1), -EBADF);
    CHECK_STATUS(task_stream_flush(half.s), 0);
    CHECK_STATUS(task_stream_write_eof(half.s), 0);
    close_half(half);
    return 0;
}

static int what_is_read_too_cannot_be_ended(void *arg)
{
    int null = open("/dev/null", O_RDWR);
    struct task_stream *s = task_stream_open(null);
    struct half reader = pipe_reader_half();

    (void)arg;
    CHECK_STATUS(task_stream_write(s, "x", 1), 0);
    CHECK_STATUS(task_stream_write_eof(s), -ENOTSUP);
    CHECK_STATUS(task_stream_write(s, "x", 1), 0);
    CHECK_STATUS(task_stream_close(s), 0);
    CHECK_STATUS(task_stream_write_eof(reader.s), -ENOTSUP);
    CHECK_STATUS(task_stream_write_eof(NULL), -EINVAL);
    close_half(reader);
    return 0;
}

/* Much, both ways. */

enum { MUCH = 10 << 20 };

static int writes_much(void *arg)
{
    struct task_stream *s = arg;
    size_t sent = 0;
    int status = 0;

    for (size_t n = 1; sent < MUCH && !status; sent += n) {
        n = n * 3 % 200003 + 1;
        n = n > MUCH - sent ? MUCH - sent : n;
        status = write_row(s, sent, n);
    }
    return status ? status : task_stream_write_eof(s);
}

static int reads_much_slowly(void *arg)
{
    struct task_stream *s = arg;
    static char buf[70001];
    size_t got = 0;
    ssize_t n;

    while ((n = task_stream_read(s, buf, sizeof buf)) > 0) {
        CHECK(are_bytes(buf, (size_t)n, got));
        got += (size_t)n;
        if (got % 7 == 0)
            CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    }
    CHECK_STATUS(n, 0);
    CHECK_STATUS(got, MUCH);
    return 0;
}

static int much_goes_both_ways_at_once(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct pair pair = i ? tcp_pair() : socket_pair();
        struct task *tasks[4] = {task_create(writes_much, pair.a),
                                 task_create(writes_much, pair.b),
                                 task_create(reads_much_slowly, pair.a),
                                 task_create(reads_much_slowly, pair.b)};

        CHECK_STATUS(task_gather(tasks, 4, NULL), 0);
        close_pair(pair);
    }
    return 0;
}

static int much_goes_through_a_pipe(void *arg)
{
    struct pair pair = pipe_pair();
    struct task *tasks[2] = {task_create(writes_much, pair.b),
                             task_create(reads_much_slowly, pair.a)};

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 2, NULL), 0);
    close_pair(pair);
    return 0;
}

/* Both write before they read. */
static int two_that_write_first_get_on(void *arg)
{
    struct pair pair = socket_pair();
    struct task *writers[2] = {task_create(writes_much, pair.a),
                               task_create(writes_much, pair.b)};
    struct task *readers[2];

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    readers[0] = task_create(reads_much_slowly, pair.a);
    readers[1] = task_create(reads_much_slowly, pair.b);
    CHECK_STATUS(task_gather(writers, 2, NULL), 0);
    CHECK_STATUS(task_gather(readers, 2, NULL), 0);
    close_pair(pair);
    return 0;
}

static void much_goes_in_real_time_too(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, much_goes_both_ways_at_once, NULL), 0);
    assert_int_equal(run_with(options, much_goes_through_a_pipe, NULL), 0);
}

/* A writer that never has to wait lets the others run. */

static int counts_turns(void *arg)
{
    while (!task_yield())
        ++*(int *)arg;
    return 0;
}

static int a_fast_writer_lets_others_run(void *arg)
{
    struct task_stream *s = task_stream_open(open("/dev/null", O_WRONLY));
    int n = 0;
    struct task *other = start(counts_turns, &n);

    (void)arg;
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(task_stream_write(s, "x", 1), 0);
    CHECK(n >= 10);
    CHECK_STATUS(task_cancel_await(other), 0);
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

/* Cancelled anywhere, nothing is torn. */

static struct choked at_each_point;

static int reads_beside(void *arg)
{
    (void)arg;
    while (!task_sleep(1))
        choked_read(&at_each_point);
    return 0;
}

static int writes_while_somebody_reads(void *arg)
{
    struct task *reader;
    int status;

    at_each_point = choked_half();
    reader = task_create(reads_beside, NULL);
    status = write_row(at_each_point.s, 0, 100000);
    if (!status)
        status = task_stream_drain(at_each_point.s);
    if (!status)
        status = write_row(at_each_point.s, 100000, 70000);
    if (!status)
        status = task_stream_flush(at_each_point.s);
    (void)task_cancel_await(reader);
    close_choked(&at_each_point);
    (void)arg;
    return status;
}

static void writers_may_be_cancelled_anywhere(void **state)
{
    (void)state;
    assert_true(
        cancel_at_every_point(writes_while_somebody_reads, NULL, NULL) >= 4);
}

/* Writers, drainers, requests and a reader at random: each write is there as a
 * whole, or not at all. */

enum { N_WRITERS = 6, PIECES = 20 };

struct storm {
    struct choked choked;
    struct random random;
    unsigned written[N_WRITERS]; /* pieces that were taken */
};

struct storm_writer {
    struct storm *storm;
    unsigned who;
};

/* A piece: who wrote it, the how manyth, how long, then as many bytes. */
struct piece {
    unsigned who;
    unsigned number;
    unsigned n;
};

static int storms(void *arg)
{
    const struct storm_writer *writer = arg;
    struct storm *storm = writer->storm;

    for (unsigned number = 0; number < PIECES;) {
        size_t n = random_below(&storm->random,
                                random_below(&storm->random, 3) ? 500 : 90000);
        struct piece piece = {writer->who, number, (unsigned)n};
        char *data = malloc(sizeof piece + n);
        int status;

        memcpy(data, &piece, sizeof piece);
        fill_bytes(data + sizeof piece, n, number);
        status = task_stream_write(storm->choked.s, data, sizeof piece + n);
        CHECK(!status || status == -ECANCELED);
        if (!status)
            number++;
        memset(data, 0xff, sizeof piece + n);
        free(data);
        if (!random_below(&storm->random, 3))
            (void)task_stream_drain(storm->choked.s);
        storm->written[writer->who] = number;
    }
    return 0;
}

static int reads_pieces(void *arg)
{
    struct task_stream *s = arg;
    unsigned numbers[N_WRITERS] = {0};
    static char data[100000];
    struct piece piece;

    for (int i = 0; i < N_WRITERS * PIECES; i++) {
        CHECK_STATUS(task_stream_read_exactly(s, &piece, sizeof piece), 0);
        if (piece.who >= N_WRITERS || piece.n >= sizeof data) {
            CHECK_NOT_REACHED();
            return -EIO;
        }
        CHECK_STATUS(piece.number, numbers[piece.who]++);
        CHECK_STATUS(task_stream_read_exactly(s, data, piece.n), 0);
        CHECK(are_bytes(data, piece.n, piece.number));
        if (i % 3 == 0)
            CHECK_STATUS(task_sleep(1), 0);
    }
    return 0;
}

static int pieces_stay_whole_whoever_is_cancelled(void *arg)
{
    struct pair pair = socket_pair();
    struct storm storm = {.choked.s = pair.a, .random = {test_seed_now()}};
    struct storm_writer writers[N_WRITERS];
    struct task *tasks[N_WRITERS];
    struct task *reader = task_create(reads_pieces, pair.b);

    (void)arg;
    for (unsigned i = 0; i < N_WRITERS; i++) {
        writers[i] = (struct storm_writer){&storm, i};
        tasks[i] = task_create(storms, &writers[i]);
    }
    while (!task_done(reader)) {
        task_cancel(tasks[random_below(&storm.random, N_WRITERS)]);
        CHECK_STATUS(task_sleep((task_time)random_below(&storm.random, 3)), 0);
    }
    CHECK_STATUS(task_await(reader), 0);
    for (int i = 0; i < N_WRITERS; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    close_pair(pair);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour_of_streams(what_is_sent_at_once_takes_no_memory),
        in_streams(an_empty_write_does_nothing),
        in_streams(a_waiting_request_comes_before_anything_is_written),
        in_streams(what_the_system_does_not_take_is_sent_later),
        in_streams(exactly_the_high_mark_does_not_wait),
        behaviour_of_streams(a_large_write_is_not_copied),
        in_streams(writes_of_several_tasks_come_in_one_piece_each),
        in_streams(a_cancelled_writer_leaves_a_copy),
        in_streams(the_request_of_a_writer_comes_next),
        in_streams(a_writer_in_the_midst_may_be_cancelled),
        in_streams(writers_may_be_cancelled_in_any_order),
        behaviour_of_streams(without_memory_a_writer_waits),
        in_streams(drain_waits_for_the_low_mark),
        in_streams(a_low_mark_of_0_is_an_empty_buffer),
        in_streams(with_a_high_mark_of_0_every_write_waits),
        in_streams(flush_waits_until_all_is_sent),
        in_streams(ten_that_drain_all_wake),
        in_streams(of_all_that_wait_those_go_first_that_wait_for_the_low_mark),
        in_streams(without_a_low_mark_all_that_wait_go_in_order),
        in_streams(one_that_drains_may_be_cancelled),
        in_streams(a_granted_drain_is_delivered),
        in_streams(wrong_marks_are_refused),
        in_streams(one_mark_follows_from_the_other),
        in_streams(without_a_mark_no_write_waits),
        in_streams(marks_take_effect_at_once),
        in_streams(a_text_is_written),
        in_streams(a_text_may_have_any_length),
        behaviour_of_streams(a_long_text_needs_memory),
        in_streams(a_text_that_cannot_be_is_refused),
        in_streams(writing_to_a_closed_peer_ends),
        in_streams(a_lost_connection_wakes_all_that_wait),
        in_streams(after_an_error_of_writing_reading_goes_on),
        in_streams(a_pipe_finds_out_that_its_reader_is_gone),
        in_streams(a_task_may_wait_for_the_reader_of_a_pipe_to_go),
        in_streams(a_pipe_that_is_full_finds_out_too),
        in_streams(the_peer_reads_the_end_after_what_was_written),
        in_streams(a_pipe_is_closed_to_end_it),
        in_streams(what_is_read_too_cannot_be_ended),
        in_streams(much_goes_both_ways_at_once),
        in_streams(much_goes_through_a_pipe),
        in_streams(two_that_write_first_get_on),
        behaviour_of_streams(much_goes_in_real_time_too),
        in_streams(a_fast_writer_lets_others_run),
        behaviour_of_streams(writers_may_be_cancelled_anywhere),
        in_main_seeded(pieces_stay_whole_whoever_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
