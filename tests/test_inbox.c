/* The lock-free list of posts: order, and waking once per sleep. */
#include "gate.h"
#include "record.h"

#include "clock.h"
#include "inbox.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Posts that say their number. */

struct numbered {
    struct post post;
    int number;
};

static void say(struct post *post)
{
    record("%d", container_of(post, struct numbered, post)->number);
}

static struct numbered numbered(int number)
{
    return (struct numbered){.post.run = say, .number = number};
}

/* "[2 3]": a row of two. */
static void say_row(struct inbox_row *row)
{
    const union inbox_slot *head = container_of(row, union inbox_slot, row);
    char text[80] = "[";
    size_t n = 1;

    for (size_t i = 1; i <= row->n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%d%c",
                              (int)(intptr_t)head[i].call.arg,
                              i == row->n ? ']' : ' ');
    record("%s", text);
}

/* A wake-up that counts. */

static unsigned n_wakes;
static unsigned n_drains;

static void count_wake(int writer)
{
    (void)writer;
    n_wakes++;
}

static size_t count_drain(int reader, size_t n)
{
    (void)reader;
    n_drains++;
    return n;
}

static const struct wakeup_kind counting = {
    .wake = count_wake,
    .drain = count_drain,
};

/* An inbox that nobody is woken by. */
static struct inbox silent(void)
{
    n_wakes = n_drains = 0;
    return (struct inbox){
        .references = 1, .wakeup.kind = &counting, .receive = say_row};
}

static void posts_run_once_in_their_order(void **state)
{
    struct inbox inbox = silent();
    struct numbered posts[] = {numbered(1), numbered(2), numbered(3)};

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(task__inbox_post(&inbox, &posts[i].post));
    assert_record("");
    task__inbox_run(&inbox);
    assert_record("1, 2, 3");
    task__inbox_run(&inbox);
    assert_record("");
}

static void one_that_is_awake_is_not_woken(void **state)
{
    struct inbox inbox = silent();
    struct numbered post = numbered(1);

    (void)state;
    task__inbox_post(&inbox, &post.post);
    task__inbox_wake(&inbox);
    assert_int_equal(n_wakes, 0);
    task__inbox_run(&inbox);
    assert_record("1");
}

static void one_that_sleeps_is_woken_once(void **state)
{
    struct inbox inbox = silent();
    struct numbered posts[] = {numbered(1), numbered(2)};

    (void)state;
    assert_true(task__inbox_sleep(&inbox));
    task__inbox_post(&inbox, &posts[0].post);
    assert_int_equal(n_wakes, 1);
    task__inbox_post(&inbox, &posts[1].post);
    task__inbox_wake(&inbox);
    assert_int_equal(n_wakes, 1);
    task__inbox_run(&inbox);
    assert_record("1, 2");
    assert_true(task__inbox_sleep(&inbox));
    task__inbox_wake(&inbox);
    task__inbox_wake(&inbox);
    posts[0] = numbered(3);
    task__inbox_post(&inbox, &posts[0].post);
    assert_int_equal(n_wakes, 2);
    task__inbox_run(&inbox);
    assert_record("3");
}

static void one_that_spins_is_not_woken(void **state)
{
    struct inbox inbox = silent();
    struct numbered post = numbered(1);

    (void)state;
    assert_false(inbox_spin(&inbox));
    task__inbox_post(&inbox, &post.post);
    assert_false(inbox_spin(&inbox)); /* once, as the last was in vain */
    assert_true(inbox_spin(&inbox));
    assert_int_equal(n_wakes, 0);
    task__inbox_run(&inbox);
    assert_record("1");
    assert_int_equal(inbox.n_due, 0);
}

static void one_that_is_still_asleep_does_not_spin(void **state)
{
    struct inbox inbox = silent();

    (void)state;
    assert_true(task__inbox_sleep(&inbox));
    assert_false(inbox_spin(&inbox));
    assert_int_equal(inbox.spin.n_left, 0);
    task__inbox_run(&inbox);
    assert_false(inbox_spin(&inbox));
    assert_int_equal(inbox.spin.n_left, 1);
}

static void what_is_there_lets_nobody_sleep(void **state)
{
    struct inbox inbox = silent();
    struct numbered post = numbered(1);

    (void)state;
    assert_false(inbox_is_stirred(&inbox));
    task__inbox_post(&inbox, &post.post);
    assert_true(inbox_is_stirred(&inbox));
    assert_false(task__inbox_sleep(&inbox));
    task__inbox_run(&inbox);
    assert_record("1");
    assert_true(task__inbox_sleep(&inbox));
}

static void a_wake_without_a_post_lets_nobody_sleep_once(void **state)
{
    struct inbox inbox = silent();

    (void)state;
    assert_true(task__inbox_wake(&inbox));
    assert_true(inbox_is_stirred(&inbox));
    assert_false(task__inbox_sleep(&inbox));
    task__inbox_run(&inbox);
    assert_true(task__inbox_sleep(&inbox));
    assert_int_equal(n_wakes, 0);
}

static void sleep_may_be_asked_for_twice(void **state)
{
    struct inbox inbox = silent();

    (void)state;
    assert_true(task__inbox_sleep(&inbox));
    assert_true(task__inbox_sleep(&inbox));
    assert_false(inbox_is_stirred(&inbox));
    task__inbox_wake(&inbox);
    assert_false(task__inbox_sleep(&inbox));
    task__inbox_run(&inbox);
    assert_true(task__inbox_sleep(&inbox));
    assert_int_equal(n_wakes, 1);
}

static void each_write_is_read_where_it_has_to_be(void **state)
{
    struct inbox inbox = silent();

    (void)state;
    task__inbox_sleep(&inbox);
    task__inbox_wake(&inbox);
    task__inbox_run(&inbox);
    assert_int_equal(n_drains, 0);
    inbox.n_due = 0;
    inbox.must_drain = true;
    task__inbox_sleep(&inbox);
    task__inbox_run(&inbox);
    assert_int_equal(n_drains, 0);
    task__inbox_sleep(&inbox);
    task__inbox_wake(&inbox);
    task__inbox_run(&inbox);
    task__inbox_run(&inbox);
    assert_int_equal(n_drains, 1);
}

static size_t drain_nothing(int reader, size_t n)
{
    (void)reader;
    (void)n;
    n_drains++;
    return 0;
}

/* Whoever had to write is late: it is read when it has come. */
static void a_late_write_is_read_later(void **state)
{
    static const struct wakeup_kind late = {.wake = count_wake,
                                            .drain = drain_nothing};
    struct inbox inbox = silent();

    (void)state;
    inbox.must_drain = true;
    inbox.wakeup.kind = &late;
    task__inbox_sleep(&inbox);
    task__inbox_wake(&inbox);
    task__inbox_run(&inbox);
    assert_int_equal(n_drains, 1);
    inbox.wakeup.kind = &counting;
    task__inbox_sleep(&inbox);
    task__inbox_run(&inbox);
    assert_int_equal(n_drains, 2);
    task__inbox_run(&inbox);
    assert_int_equal(n_drains, 2);
}

static void a_closed_one_refuses_posts_and_takes_answers(void **state)
{
    struct inbox inbox = silent();
    struct numbered posts[] = {numbered(1), numbered(2), numbered(3)};

    (void)state;
    task__inbox_post(&inbox, &posts[0].post);
    assert_false(inbox_is_closed(&inbox));
    task__inbox_close(&inbox);
    assert_record("1");
    assert_true(inbox_is_closed(&inbox));
    assert_false(task__inbox_post(&inbox, &posts[1].post));
    assert_false(task__inbox_wake(&inbox));
    task__inbox_run(&inbox);
    assert_record("");
    assert_true(task__inbox_sleep(&inbox));
    task__inbox_answer(&inbox, &posts[2].post);
    assert_int_equal(n_wakes, 1);
    assert_false(task__inbox_post(&inbox, &posts[1].post));
    task__inbox_run(&inbox);
    assert_record("3");
    assert_true(inbox_is_closed(&inbox));
}

static struct inbox *reposted_to;

static void post_again(struct post *post)
{
    static struct numbered again;

    say(post);
    again = numbered(9);
    task__inbox_post(reposted_to, &again.post);
}

static void what_a_post_posts_runs_next_time(void **state)
{
    struct inbox inbox = silent();
    struct numbered posts[] = {numbered(1), numbered(2)};

    (void)state;
    reposted_to = &inbox;
    posts[0].post.run = post_again;
    task__inbox_post(&inbox, &posts[0].post);
    task__inbox_post(&inbox, &posts[1].post);
    task__inbox_run(&inbox);
    assert_record("1, 2");
    task__inbox_run(&inbox);
    assert_record("9");
}

/* Rows. */

enum { SLOTS = 16 };

static union inbox_slot slots[SLOTS]; /* of the caller: the first is not used */
static size_t n_cut;

static void begin_rows(struct inbox *inbox)
{
    *inbox = silent();
    n_cut = 1;
}

/* Calls are never made here: their arguments are numbers. */
static void uncalled(void *arg)
{
    (void)arg;
    fail();
}

static void call(struct inbox *inbox, intptr_t number)
{
    size_t n = task__inbox_call(inbox, &slots[n_cut], uncalled, (void *)number);

    assert_in_range(n, 1, 2);
    n_cut += n;
}

static void call_several(struct inbox *inbox, intptr_t from, intptr_t to)
{
    for (; from <= to; from++)
        call(inbox, from);
}

static void calls_one_after_the_other_are_a_row(void **state)
{
    struct inbox inbox;

    (void)state;
    begin_rows(&inbox);
    call_several(&inbox, 1, 4);
    assert_int_equal(n_cut, 1 + 5);
    task__inbox_run(&inbox);
    assert_record("[1 2 3 4]");
    call(&inbox, 5);
    assert_int_equal(n_cut, 1 + 7);
    task__inbox_run(&inbox);
    assert_record("[5]");
}

static void a_row_ends_where_another_post_comes(void **state)
{
    struct inbox inbox;
    struct numbered others[] = {numbered(10), numbered(11)};

    (void)state;
    begin_rows(&inbox);
    call_several(&inbox, 1, 2);
    task__inbox_post(&inbox, &others[0].post);
    call(&inbox, 3);
    task__inbox_post(&inbox, &others[1].post);
    call_several(&inbox, 4, 6);
    task__inbox_run(&inbox);
    assert_record("[1 2], 10, [3], 11, [4 5 6]");
}

static void a_row_ends_where_the_loop_has_looked(void **state)
{
    struct inbox inbox;

    (void)state;
    begin_rows(&inbox);
    call_several(&inbox, 1, 2);
    task__inbox_run(&inbox);
    call_several(&inbox, 3, 4);
    task__inbox_run(&inbox);
    assert_record("[1 2], [3 4]");
    assert_true(task__inbox_sleep(&inbox));
    call_several(&inbox, 5, 6);
    assert_int_equal(n_wakes, 1);
    task__inbox_run(&inbox);
    assert_record("[5 6]");
}

static void a_row_ends_where_its_caller_calls_another_loop(void **state)
{
    struct inbox inbox;
    struct inbox other = silent();

    (void)state;
    begin_rows(&inbox);
    call_several(&inbox, 1, 2);
    call_several(&other, 3, 4);
    call_several(&inbox, 5, 6);
    task__inbox_run(&inbox);
    assert_record("[1 2], [5 6]");
    task__inbox_run(&other);
    assert_record("[3 4]");
}

static void a_wake_does_not_end_a_row(void **state)
{
    struct inbox inbox;

    (void)state;
    begin_rows(&inbox);
    call(&inbox, 1);
    task__inbox_wake(&inbox);
    call(&inbox, 2);
    assert_int_equal(n_cut, 1 + 3);
    task__inbox_run(&inbox);
    assert_record("[1 2]");
}

static void a_closed_one_refuses_calls(void **state)
{
    struct inbox inbox;
    struct numbered answer = numbered(3);

    (void)state;
    begin_rows(&inbox);
    call_several(&inbox, 1, 2);
    task__inbox_close(&inbox);
    assert_record("[1 2]");
    assert_int_equal(task__inbox_call(&inbox, &slots[n_cut], uncalled, NULL),
                     0);
    task__inbox_answer(&inbox, &answer.post);
    assert_int_equal(task__inbox_call(&inbox, &slots[n_cut], uncalled, NULL),
                     0);
    task__inbox_run(&inbox);
    assert_record("3");
}

/* Whoever is told by a post may let go of the inbox at once. */

static struct inbox *let_go_of;
static unsigned n_held;

static void let_go(int writer)
{
    (void)writer;
    n_held = let_go_of->references;
    task__inbox_release(let_go_of);
}

static void it_is_held_while_it_is_woken(void **state)
{
    static const struct wakeup_kind kind = {.wake = let_go};
    struct numbered post = numbered(1);

    (void)state;
    let_go_of = calloc(1, sizeof *let_go_of);
    let_go_of->references = 1;
    let_go_of->wakeup = (struct wakeup){&kind, -1, -1};
    assert_true(task__inbox_sleep(let_go_of));
    assert_true(task__inbox_post(let_go_of, &post.post));
    assert_int_equal(n_held, 2);
}

/* Many threads. */

enum { POSTERS = 4, POSTS = 20000 };

struct poster {
    struct inbox *inbox;
    struct counted {
        struct post post;
        struct poster *poster;
        unsigned number;
    } * posts;
    union inbox_slot *slots; /* as above; NULL: it does not call */
    unsigned n;
    unsigned n_seen;
    bool is_out_of_order;
};

static void see_number(const struct counted *counted)
{
    struct poster *poster = counted->poster;

    poster->is_out_of_order |= counted->number != poster->n_seen++;
}

static void see(struct post *post)
{
    see_number(container_of(post, struct counted, post));
}

static void see_row(struct inbox_row *row)
{
    const union inbox_slot *head = container_of(row, union inbox_slot, row);

    for (size_t i = 1; i <= row->n; i++)
        see_number(head[i].call.arg);
}

/* Whoever calls posts now and then, too. */
static void *post_all(void *arg)
{
    struct poster *poster = arg;
    union inbox_slot *slot = poster->slots ? poster->slots + 1 : NULL;

    for (unsigned i = 0; i < poster->n; i++) {
        struct counted *counted = &poster->posts[i];

        *counted = (struct counted){{.run = see}, poster, i};
        if (slot && i % 50)
            slot += task__inbox_call(poster->inbox, slot, uncalled, counted);
        else
            task__inbox_post(poster->inbox, &counted->post);
    }
    return NULL;
}

/* Pollers and the inboxes that wake them. */

struct woken {
    struct poller *poller;
    struct inbox *inbox;
};

static const struct poller_backend *const backends[] = {POLLER_DEFAULT,
                                                        &task__poller_poll};

static struct poller *make_poller(const struct poller_backend *backend)
{
    struct poller *poller = calloc(1, backend->size);

    poller->backend = backend;
    backend->init(poller);
    return poller;
}

/* By an eventfd or by a pipe, whichever the system has. */
static struct woken make_woken(const struct poller_backend *backend,
                               bool by_pipe)
{
    struct woken woken = {.poller = make_poller(backend)};

    assert_int_equal(task__inbox_open(&woken.inbox, woken.poller, see_row), 0);
    if (by_pipe) {
        struct wakeup *wakeup = &woken.inbox->wakeup;

        backend->destroy(woken.poller);
        free(woken.poller);
        woken.poller = make_poller(backend);
        task__wakeup_close(wakeup);
        wakeup->kind = &task__wakeup_pipe;
        assert_int_equal(wakeup->kind->open(&wakeup->reader, &wakeup->writer),
                         0);
        assert_int_equal(backend->wake_by(woken.poller, wakeup->reader), 0);
        woken.inbox->must_drain = true;
    }
    return woken;
}

static void destroy_woken(struct woken *woken)
{
    woken->poller->backend->destroy(woken->poller);
    free(woken->poller);
    task__inbox_release(woken->inbox);
}

/* For each poller and kind of wake-up. */
static void for_each_woken(void (*fn)(struct woken *woken))
{
    for (int i = 0; i < 4; i++) {
        struct woken woken = make_woken(backends[i / 2], i % 2);

        fn(&woken);
        destroy_woken(&woken);
    }
}

static void wait_and_run(struct woken *woken)
{
    if (task__inbox_sleep(woken->inbox))
        woken->poller->backend->wait(woken->poller, 0, TASK_FOREVER);
    task__inbox_run(woken->inbox);
}

static void run_posters(struct woken *woken)
{
    unsigned n = test_rounds(POSTS);
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];

    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.inbox = woken->inbox, .n = n};
        posters[i].posts = calloc(n, sizeof *posters[i].posts);
        if (i % 2)
            posters[i].slots = calloc(1 + 2 * n, sizeof *posters[i].slots);
        threads[i] = thread_start(post_all, &posters[i]);
    }
    for (int i = 0; i < POSTERS; i++)
        while (posters[i].n_seen < n)
            wait_and_run(woken);
    for (int i = 0; i < POSTERS; i++) {
        thread_join(threads[i]);
        assert_int_equal(posters[i].n_seen, n);
        assert_false(posters[i].is_out_of_order);
        free(posters[i].posts);
        free(posters[i].slots);
    }
}

static void threads_post_in_their_order_and_lose_nothing(void **state)
{
    (void)state;
    for_each_woken(run_posters);
}

/* A post at a time: each may fall between the look and the sleep. */

struct ping {
    struct inbox *inbox;
    struct post post;
    unsigned n;
    unsigned n_seen; /* atomic */
};

static void see_ping(struct post *post)
{
    struct ping *ping = container_of(post, struct ping, post);

    __atomic_fetch_add(&ping->n_seen, 1, __ATOMIC_RELEASE);
}

static void *post_one_by_one(void *arg)
{
    struct ping *ping = arg;

    ping->post.run = see_ping;
    for (unsigned i = 0; i < ping->n; i++) {
        task__inbox_post(ping->inbox, &ping->post);
        while (__atomic_load_n(&ping->n_seen, __ATOMIC_ACQUIRE) == i)
            sched_yield();
    }
    return NULL;
}

static void run_pings(struct woken *woken)
{
    struct ping ping = {.inbox = woken->inbox, .n = test_rounds(5000)};
    pthread_t thread = thread_start(post_one_by_one, &ping);

    while (__atomic_load_n(&ping.n_seen, __ATOMIC_ACQUIRE) < ping.n)
        wait_and_run(woken);
    thread_join(thread);
    assert_int_equal(ping.n_seen, ping.n);
}

static void no_post_falls_between_the_look_and_the_sleep(void **state)
{
    (void)state;
    for_each_woken(run_pings);
}

/* Waits end by a wake-up, and the next one is a wait again. */
static void run_sleeps(struct woken *woken)
{
    const struct poller_backend *backend = woken->poller->backend;
    static const struct clock monotonic = {0};

    for (int i = 0; i < 3; i++) {
        task_time began;

        assert_true(task__inbox_sleep(woken->inbox));
        assert_true(task__inbox_wake(woken->inbox));
        backend->wait(woken->poller, 0, TASK_FOREVER);
        task__inbox_run(woken->inbox);
        assert_true(task__inbox_sleep(woken->inbox));
        began = task__clock_now(&monotonic);
        backend->wait(woken->poller, began, began + 3 * TASK_MILLISECOND);
        assert_true(task__clock_now(&monotonic) - began >=
                    2 * TASK_MILLISECOND);
        task__inbox_run(woken->inbox);
    }
}

static void a_wait_that_was_ended_once_is_not_ended_again(void **state)
{
    (void)state;
    for_each_woken(run_sleeps);
}

static void the_descriptor_is_open_until_the_last_has_let_go(void **state)
{
    struct woken woken = make_woken(POLLER_DEFAULT, false);
    int fd = woken.inbox->wakeup.writer;
    struct pollfd polled = {.fd = fd};

    (void)state;
    task__inbox_retain(woken.inbox);
    destroy_woken(&woken);
    poll(&polled, 1, 0);
    assert_int_equal(polled.revents & POLLNVAL, 0);
    task__inbox_release(woken.inbox);
    poll(&polled, 1, 0);
    assert_true(polled.revents & POLLNVAL);
}

static void an_abandoned_one_keeps_no_descriptor(void **state)
{
    struct woken woken = make_woken(POLLER_DEFAULT, false);
    struct pollfd polled = {.fd = woken.inbox->wakeup.writer};

    (void)state;
    task__inbox_abandon(woken.inbox);
    poll(&polled, 1, 0);
    assert_true(polled.revents & POLLNVAL);
    destroy_woken(&woken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(posts_run_once_in_their_order),
        behaviour(one_that_is_awake_is_not_woken),
        behaviour(one_that_sleeps_is_woken_once),
        behaviour(one_that_spins_is_not_woken),
        behaviour(one_that_is_still_asleep_does_not_spin),
        behaviour(what_is_there_lets_nobody_sleep),
        behaviour(a_wake_without_a_post_lets_nobody_sleep_once),
        behaviour(sleep_may_be_asked_for_twice),
        behaviour(each_write_is_read_where_it_has_to_be),
        behaviour(a_late_write_is_read_later),
        behaviour(a_closed_one_refuses_posts_and_takes_answers),
        behaviour(what_a_post_posts_runs_next_time),
        behaviour(calls_one_after_the_other_are_a_row),
        behaviour(a_row_ends_where_another_post_comes),
        behaviour(a_row_ends_where_the_loop_has_looked),
        behaviour(a_row_ends_where_its_caller_calls_another_loop),
        behaviour(a_wake_does_not_end_a_row),
        behaviour(a_closed_one_refuses_calls),
        behaviour(it_is_held_while_it_is_woken),
        behaviour(threads_post_in_their_order_and_lose_nothing),
        behaviour(no_post_falls_between_the_look_and_the_sleep),
        behaviour(a_wait_that_was_ended_once_is_not_ended_again),
        behaviour(the_descriptor_is_open_until_the_last_has_let_go),
        behaviour(an_abandoned_one_keeps_no_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
