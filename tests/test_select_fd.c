/* task_select with descriptors. */
#include "everywhere.h"

#include "bodies.h"
#include "cancel_points.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static void let_it_be_woken(void)
{
    while (!stats().ready)
        CHECK_STATUS(task_yield(), 0);
}

/* One that waits for a pair of descriptors, to read, and for an event. */
struct chooser {
    int fds[2];
    short events[2];
    struct task_event event;
    short revents;
};

static int chooses(void *arg)
{
    struct chooser *chooser = arg;
    struct task_select_case cases[] = {
        TASK_SELECT_FD(chooser->fds[0], chooser->events[0]),
        TASK_SELECT_FD(chooser->fds[1], chooser->events[1]),
        TASK_SELECT_EVENT(&chooser->event),
    };
    int i = task_select(cases, 3, TASK_FOREVER);

    if (i < 0)
        record("chose %d", i);
    else
        record("chose %d: %d, %d", i, cases[i].status, cases[i].revents);
    return i;
}

static int what_is_ready_fires_at_once(void *arg)
{
    int a[2];
    int b[2];
    struct chooser chooser = {.events = {POLLIN, POLLIN}};

    (void)arg;
    make_local(a);
    make_local(b);
    chooser.fds[0] = a[0];
    chooser.fds[1] = b[0];
    put(b[1], "b");
    CHECK_STATUS(chooses(&chooser), 1);
    task_event_set(&chooser.event);
    CHECK_STATUS(chooses(&chooser), 1);
    put(a[1], "a");
    CHECK_STATUS(chooses(&chooser), 0);
    take(a[0], "a");
    take(b[0], "b");
    CHECK_STATUS(chooses(&chooser), 2);
    CHECK_RECORD("chose 1: 0, 1, chose 1: 0, 1, chose 0: 0, 1, chose 2: 0, 0");
    close_both(a);
    close_both(b);
    return 0;
}

static int the_one_that_becomes_ready_fires(void *arg)
{
    int a[2];
    int b[2];
    struct chooser chooser = {.events = {POLLIN, POLLIN}};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct task *task;

        make_tcp(a);
        make_pipe(b);
        chooser.fds[0] = a[0];
        chooser.fds[1] = b[0];
        task = start(chooses, &chooser);
        CHECK_STATUS(stats().watched_fds, 2);
        if (i < 2)
            put(i ? b[1] : a[1], "x");
        else
            task_event_set(&chooser.event);
        CHECK_STATUS(task_await(task), i);
        CHECK_STATUS(stats().watched_fds, 0);
        close_both(a);
        close_both(b);
    }
    CHECK_RECORD("chose 0: 0, 1, chose 1: 0, 1, chose 2: 0, 0");
    return 0;
}

/* Both become ready in one look: only one fires, and the other is left. */
static int of_several_events_one_fires(void *arg)
{
    int a[2];
    int b[2];
    struct chooser chooser = {.events = {POLLIN, POLLIN}};

    (void)arg;
    for (int first = 0; first < 2; first++) {
        struct task *task;
        int chosen;

        make_local(a);
        make_local(b);
        chooser.fds[0] = a[0];
        chooser.fds[1] = b[0];
        task = start(chooses, &chooser);
        put(first ? b[1] : a[1], "x");
        put(first ? a[1] : b[1], "x");
        let_it_be_woken();
        task_event_set(&chooser.event);
        chosen = task_await(task);
        CHECK(chosen == 0 || chosen == 1);
        CHECK_STATUS(reads(&chooser.fds[0]), 1);
        CHECK_STATUS(reads(&chooser.fds[1]), 1);
        task_event_clear(&chooser.event);
        task = start(chooses, &chooser);
        CHECK(!task_done(task));
        CHECK_STATUS(task_cancel_await(task), -ECANCELED);
        record_clear();
        close_both(a);
        close_both(b);
    }
    return 0;
}

static int one_descriptor_may_have_several_cases(void *arg)
{
    int pair[2];
    struct chooser chooser = {.events = {POLLIN, POLLOUT}};
    struct task *task;
    char block[1 << 12];
    size_t n;

    (void)arg;
    make_local(pair);
    chooser.fds[0] = chooser.fds[1] = pair[0];
    CHECK_STATUS(chooses(&chooser), 1);
    n = fill(pair[0]);
    task = start(chooses, &chooser);
    CHECK_STATUS(stats().watched_fds, 1);
    put(pair[1], "x");
    CHECK_STATUS(task_await(task), 0);
    take(pair[0], "x");
    task = start(chooses, &chooser);
    while (n) {
        ssize_t some =
            read(pair[1], block, n < sizeof block ? n : sizeof block);

        CHECK(some > 0);
        n -= (size_t)some;
    }
    CHECK_STATUS(task_await(task), 1);
    CHECK_RECORD("chose 1: 0, 4, chose 0: 0, 1, chose 1: 0, 4");
    close_both(pair);
    return 0;
}

static int what_somebody_waits_for_is_refused(void *arg)
{
    int pair[2];
    struct chooser chooser = {.events = {POLLIN, POLLIN}};
    struct task *task;

    (void)arg;
    make_local(pair);
    chooser.fds[0] = chooser.fds[1] = pair[0];
    CHECK_STATUS(chooses(&chooser), -EBUSY);
    chooser.events[1] = 0;
    task = start(reads, &pair[0]);
    CHECK_STATUS(chooses(&chooser), -EBUSY);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    task = start(chooses, &chooser);
    CHECK_STATUS(reads(&pair[0]), -EBUSY);
    CHECK_STATUS(loop_add_reader(pair[0], cancel_it, NULL), -EBUSY);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_RECORD("chose -16, chose -16, read -125 , read -16 , chose -125");
    CHECK_STATUS(stats().watched_fds, 0);
    put(pair[1], "a");
    CHECK_STATUS(reads(&pair[0]), 1);
    CHECK_RECORD("read 1 a");
    close_both(pair);
    return 0;
}

/* With one that cannot be waited for nobody waits, nor stands in any queue. */
static int an_error_is_of_the_call(void *arg)
{
    int pair[2];
    int file = make_file("abc");
    struct task_queue queue;
    int item = 7;
    struct task *future = task_future_create();
    struct task_select_case cases[] = {
        TASK_SELECT_GET(&queue, &item),
        TASK_SELECT_TASK(future),
        TASK_SELECT_FD(0, POLLIN),
        TASK_SELECT_FD(0, POLLIN),
    };

    (void)arg;
    CHECK_STATUS(task_queue_init(&queue, sizeof(int), 0), 0);
    make_local(pair);
    cases[2].fd = pair[0];
    cases[3].fd = -1;
    CHECK_STATUS(task_select(cases, 4, TASK_SECOND), -EBADF);
    cases[3].fd = pair[1];
    cases[3].events = POLLNVAL;
    CHECK_STATUS(task_select(cases, 4, TASK_SECOND), -EINVAL);
    cases[3].fd = file;
    cases[3].events = POLLPRI;
    CHECK_STATUS(task_select(cases, 4, TASK_SECOND), -EOPNOTSUPP);
    cases[3].events = POLLIN | POLLERR | POLLHUP;
    CHECK_STATUS(task_select(cases, 4, TASK_SECOND), 3);
    CHECK_STATUS(cases[3].revents, POLLIN);
    cases[3] = cases[2];
    CHECK_STATUS(task_select(cases, 4, TASK_SECOND), -EBUSY);
    CHECK_STATUS(stats().watched_fds, 0);
    CHECK(is_left_alone(future));
    CHECK_STATUS(task_queue_put(&queue, &item), 0);
    CHECK_STATUS(task_queue_size(&queue), 1);
    cases[3].fd = -1;
    CHECK_STATUS(task_select(cases, 4, TASK_SECOND), 0);
    CHECK_STATUS(task_queue_destroy(&queue), 0);
    CHECK_STATUS(task_future_complete(future, 0), 0);
    CHECK_STATUS(task_await(future), 0);
    put(pair[1], "a");
    CHECK_STATUS(reads(&pair[0]), 1);
    CHECK_RECORD("read 1 a");
    CHECK_STATUS(task_close(file), 0);
    close_both(pair);
    return 0;
}

static int to_close_it_is_an_error(void *arg)
{
    int pair[2];
    struct chooser chooser = {.events = {POLLIN, POLLPRI}};
    struct task *task;

    (void)arg;
    make_local(pair);
    chooser.fds[0] = chooser.fds[1] = pair[0];
    task = start(chooses, &chooser);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_RECORD("chose -9");
    CHECK_STATUS(task_close(pair[1]), 0);
    return 0;
}

static int it_may_be_another_file_when_the_task_runs(void *arg)
{
    int pair[2];
    int again[2];
    struct chooser chooser = {.events = {POLLIN, POLLPRI}};
    struct task *task;

    (void)arg;
    make_local(pair);
    chooser.fds[0] = chooser.fds[1] = pair[0];
    task = start(chooses, &chooser);
    put(pair[1], "a");
    let_it_be_woken();
    CHECK_STATUS(task_close(pair[0]), 0);
    make_local_at(pair[0], again);
    put(again[1], "new");
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_RECORD("chose -9");
    CHECK_STATUS(task_close(pair[1]), 0);
    close_both(again);
    return 0;
}

/* What has come is gone when the task runs: it waits on, for all of its cases. */
static int an_event_in_vain_fires_nothing(void *arg)
{
    int pair[2];
    struct chooser chooser = {.events = {POLLIN, POLLPRI}};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct task *task;

        make_local(pair);
        chooser.fds[0] = chooser.fds[1] = pair[0];
        task_event_clear(&chooser.event);
        task = start(chooses, &chooser);
        put(pair[1], "a");
        let_it_be_woken();
        take(pair[0], "a");
        CHECK_STATUS(task_yield(), 0);
        CHECK(!task_done(task));
        if (i == 0)
            put(pair[1], "b");
        else if (i == 1)
            task_event_set(&chooser.event);
        else
            task_cancel(task);
        task_await(task);
        close_both(pair);
    }
    CHECK_RECORD("chose 0: 0, 1, chose 2: 0, 0, chose -125");
    return 0;
}

static int a_request_behind_an_event_in_vain_is_heard(void *arg)
{
    int pair[2];
    struct chooser chooser = {.events = {POLLIN, POLLPRI}};
    struct task *task;

    (void)arg;
    make_local(pair);
    chooser.fds[0] = chooser.fds[1] = pair[0];
    task = start(chooses, &chooser);
    put(pair[1], "a");
    let_it_be_woken();
    take(pair[0], "a");
    task_cancel(task);
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("chose -125");
    close_both(pair);
    return 0;
}

static int chooses_and_yields(void *arg)
{
    int chosen = chooses(arg);

    record("then %d", task_yield());
    return chosen;
}

static int an_event_is_told_before_a_request(void *arg)
{
    int pair[2];
    struct chooser chooser = {.events = {POLLIN, POLLPRI}};
    struct task *task;

    (void)arg;
    make_local(pair);
    chooser.fds[0] = chooser.fds[1] = pair[0];
    task = start(chooses_and_yields, &chooser);
    put(pair[1], "a");
    let_it_be_woken();
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0);
    task = start(chooses_and_yields, &chooser);
    CHECK_RECORD("chose 0: 0, 1, then -125, chose 0: 0, 1");
    CHECK_STATUS(task_await(task), 0);
    record_clear();
    close_both(pair);
    return 0;
}

static int it_may_time_out(void *arg)
{
    int pair[2];
    struct task_select_case cases[] = {TASK_SELECT_FD(0, POLLIN)};

    (void)arg;
    make_local(pair);
    cases[0].fd = pair[0];
    CHECK_STATUS(task_select(cases, 1, 0), -ETIMEDOUT);
    CHECK_STATUS(task_select(cases, 1, TASK_MILLISECOND), -ETIMEDOUT);
    CHECK_STATUS(stats().watched_fds, 0);
    put(pair[1], "a");
    CHECK_STATUS(task_select(cases, 1, 0), 0);
    CHECK_STATUS(task_select(cases, 1, TASK_MILLISECOND), 0);
    close_both(pair);
    return 0;
}

enum { MANY = 20 };

static int many_are_waited_for(void *arg)
{
    int pairs[MANY][2];
    struct task_select_case cases[MANY];

    (void)arg;
    for (int i = 0; i < MANY; i++) {
        make_local(pairs[i]);
        cases[i] = TASK_SELECT_FD(pairs[i][0], POLLIN);
    }
    CHECK_STATUS(task_select(cases, MANY, TASK_MILLISECOND), -ETIMEDOUT);
    for (int i = MANY - 1; i >= 0; i--) {
        put(pairs[i][1], "a");
        CHECK_STATUS(task_select(cases, MANY, TASK_SECOND), i);
    }
    for (int i = 0; i < MANY; i++)
        close_both(pairs[i]);
    return 0;
}

static int chooses_while_memory_fails(void *arg)
{
    struct memory_count *count = arg;
    int pairs[MANY][2];
    struct task_select_case cases[MANY];
    int result;
    size_t i = 0;

    for (int j = 0; j < MANY; j++) {
        make_local(pairs[j]);
        cases[j] = TASK_SELECT_FD(pairs[j][0], POLLIN);
    }
    do {
        count->fail_at = ++i;
        result = task_select(cases, MANY, 1);
        count->fail_at = 0;
        CHECK(result == -ENOMEM || result == -ETIMEDOUT);
        CHECK_STATUS(stats().watched_fds, 0);
    } while (result == -ENOMEM && i < 20);
    CHECK(i > 1 && i < 20);
    for (int j = 0; j < MANY; j++)
        close_both(pairs[j]);
    return 0;
}

static void without_memory_nothing_is_waited_for(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, chooses_while_memory_fails, &count),
                     0);
    test_loop_free(loop, &count);
}

static int sends_and_chooses(void *arg)
{
    int pair[2];
    struct chooser chooser = {.events = {POLLIN, POLLPRI}};
    struct task *task;

    (void)arg;
    make_local(pair);
    chooser.fds[0] = chooser.fds[1] = pair[0];
    task = task_create(writes, &pair[1]);
    chooses(&chooser);
    task_await(task);
    task_close(pair[0]);
    task_close(pair[1]);
    record_clear();
    return 0;
}

static void it_may_be_cancelled_anywhere(void **state)
{
    (void)state;
    assert_true(cancel_at_every_point(sends_and_chooses, NULL, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(what_is_ready_fires_at_once),
        everywhere(the_one_that_becomes_ready_fires),
        everywhere(of_several_events_one_fires),
        everywhere(one_descriptor_may_have_several_cases),
        everywhere(what_somebody_waits_for_is_refused),
        everywhere(an_error_is_of_the_call),
        everywhere(to_close_it_is_an_error),
        everywhere(it_may_be_another_file_when_the_task_runs),
        everywhere(an_event_in_vain_fires_nothing),
        everywhere(a_request_behind_an_event_in_vain_is_heard),
        everywhere(an_event_is_told_before_a_request),
        everywhere(it_may_time_out),
        everywhere(many_are_waited_for),
        behaviour(without_memory_nothing_is_waited_for),
        behaviour(it_may_be_cancelled_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
