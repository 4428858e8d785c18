/* Callbacks for descriptors: loop_add_reader and its kin. */
#include "everywhere.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bodies.h"

/* What a callback is told: it says `name`, and reads a byte if it is to. */
struct ear {
    const char *name;
    int fd;
    bool takes;
    bool ends; /* removes itself */
};

static void hear(void *arg)
{
    struct ear *ear = arg;
    char byte = '.';

    if (ear->takes)
        CHECK(read(ear->fd, &byte, 1) >= 0);
    record("%s %c", ear->name, byte);
    if (ear->ends)
        CHECK_STATUS(loop_remove_reader(ear->fd), 0);
}

static void hear_room(void *arg)
{
    struct ear *ear = arg;

    record("%s", ear->name);
    if (ear->ends)
        CHECK_STATUS(loop_remove_writer(ear->fd), 0);
}

/* Let all that is ready have its turn: callbacks and what they cause. Virtual time
 * stands still while one is called again and again. */
static void let_run(void)
{
    for (int i = 0; i < 8; i++)
        CHECK_STATUS(is_real() ? task_sleep(TASK_MILLISECOND) : task_yield(),
                     0);
}

static int it_is_called_as_long_as_it_is_ready(void *arg)
{
    int pair[2];
    struct ear ear = {.name = "in", .takes = true};

    (void)arg;
    make_local(pair);
    ear.fd = pair[0];
    CHECK_STATUS(loop_add_reader(pair[0], hear, &ear), 0);
    CHECK_STATUS(stats().watched_fds, 1);
    let_run();
    put(pair[1], "abc");
    let_run();
    CHECK_RECORD("in a, in b, in c");
    CHECK_STATUS(loop_remove_reader(pair[0]), 0);
    put(pair[1], "d");
    let_run();
    CHECK_RECORD("");
    close_both(pair);
    return 0;
}

static int reader_and_writer_do_not_touch_each_other(void *arg)
{
    int pair[2];
    struct ear in = {.name = "in", .takes = true};
    struct ear out = {.name = "out", .ends = true};

    (void)arg;
    make_local(pair);
    in.fd = out.fd = pair[0];
    put(pair[1], "a");
    CHECK_STATUS(loop_add_reader(pair[0], hear, &in), 0);
    CHECK_STATUS(loop_add_writer(pair[0], hear_room, &out), 0);
    CHECK_STATUS(stats().watched_fds, 1);
    let_run();
    CHECK_RECORD("in a, out");
    CHECK_STATUS(loop_remove_writer(pair[0]), -ENOENT);
    put(pair[1], "b");
    let_run();
    CHECK_RECORD("in b");
    CHECK_STATUS(loop_add_writer(pair[0], hear_room, &out), 0);
    CHECK_STATUS(loop_remove_reader(pair[0]), 0);
    let_run();
    CHECK_RECORD("out");
    CHECK_STATUS(stats().watched_fds, 0);
    close_both(pair);
    return 0;
}

/* What is ready stays so, and the loop does not spin: with nobody left for it, and
 * with somebody for the other direction. */
static int what_nobody_hears_of_is_not_watched(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int pair[2];
        struct ear in = {.name = "in"};
        struct ear out = {.name = "out"};
        uint64_t polls;

        make_local(pair);
        fill(pair[0]);
        in.fd = out.fd = pair[0];
        CHECK_STATUS(loop_add_reader(pair[0], hear, &in), 0);
        if (i)
            CHECK_STATUS(loop_add_writer(pair[0], hear_room, &out), 0);
        put(pair[1], "a");
        let_run();
        CHECK_STATUS(loop_remove_reader(pair[0]), 0);
        record_clear();
        polls = stats().polls;
        CHECK_STATUS(task_sleep(30 * TASK_MILLISECOND), 0);
        CHECK(stats().polls - polls < 20);
        CHECK_RECORD("");
        close_both(pair);
    }
    return 0;
}

static int to_remove_what_is_not_there_is_told(void *arg)
{
    int pair[2];

    (void)arg;
    make_pipe(pair);
    CHECK_STATUS(loop_remove_reader(pair[0]), -ENOENT);
    CHECK_STATUS(loop_remove_writer(pair[1]), -ENOENT);
    CHECK_STATUS(loop_remove_reader(-1), -ENOENT);
    CHECK_STATUS(loop_remove_reader(1 << 20), -ENOENT);
    CHECK_STATUS(loop_add_reader(-1, hear, NULL), -EBADF);
    CHECK_STATUS(loop_add_reader(1 << 20, hear, NULL), -EBADF);
    CHECK_STATUS(loop_add_reader(pair[0], NULL, NULL), -EINVAL);
    close_both(pair);
    CHECK_STATUS(loop_add_reader(pair[0], hear, NULL), -EBADF);
    return 0;
}

static void outside_a_loop_there_are_none(void **state)
{
    (void)state;
    errno = EDOM;
    assert_int_equal(loop_add_reader(0, hear, NULL), -EPERM);
    assert_int_equal(loop_remove_reader(0), -ENOENT);
    assert_int_equal(errno, EDOM);
}

/* Files, of which nothing tells that they are ready. */
static int what_is_always_ready_is_refused(void *arg)
{
    int file = make_file("abc");
    int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)arg;
    CHECK_STATUS(loop_add_reader(file, hear, NULL), -EPERM);
    CHECK_STATUS(loop_add_writer(file, hear, NULL), -EPERM);
    CHECK_STATUS(loop_add_reader(folder, hear, NULL), -EPERM);
    CHECK_STATUS(stats().watched_fds, 0);
    CHECK_STATUS(task_close(file), 0);
    CHECK_STATUS(task_close(folder), 0);
    return 0;
}

/* Numbers are the lowest that are free, so each takes the place of the other. */
static int what_a_number_was_does_not_matter(void *arg)
{
    int file = make_file("abc");
    int other;
    char buf[4];
    int pair[2];
    struct ear ear = {.name = "in", .takes = true, .ends = true};

    (void)arg;
    CHECK_STATUS(task_read(file, buf, 4), 3);
    close(file);
    make_local_at(file, pair);
    ear.fd = pair[0];
    CHECK_STATUS(loop_add_reader(pair[0], hear, &ear), 0);
    put(pair[1], "x");
    let_run();
    CHECK_RECORD("in x");
    other = make_file("abc");
    CHECK_STATUS(dup2(other, file), file);
    CHECK_STATUS(loop_add_reader(file, hear, &ear), -EPERM);
    CHECK_STATUS(task_close(other), 0);
    close_both(pair);
    return 0;
}

static int another_one_takes_its_place(void *arg)
{
    int pair[2];
    struct ear old = {.name = "old"};
    struct ear new = {.name = "new", .takes = true};

    (void)arg;
    make_local(pair);
    old.fd = new.fd = pair[0];
    CHECK_STATUS(loop_add_reader(pair[0], hear, &old), 0);
    CHECK_STATUS(loop_add_reader(pair[0], hear, &new), 0);
    CHECK_STATUS(stats().watched_fds, 1);
    put(pair[1], "a");
    let_run();
    CHECK_RECORD("new a");
    CHECK_STATUS(loop_remove_reader(pair[0]), 0);
    CHECK_STATUS(loop_remove_reader(pair[0]), -ENOENT);
    close_both(pair);
    return 0;
}

static int callbacks_and_tasks_keep_out_of_each_others_way(void *arg)
{
    int pair[2];
    struct ear ear = {.name = "in", .takes = true};
    struct task *task;
    char byte;

    (void)arg;
    make_local(pair);
    ear.fd = pair[0];
    task = start(reads, &pair[0]);
    CHECK_STATUS(loop_add_reader(pair[0], hear, &ear), -EBUSY);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(loop_add_reader(pair[0], hear, &ear), 0);
    CHECK_STATUS(task_read(pair[0], &byte, 1), -EBUSY);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), -EBUSY);
    CHECK_STATUS(task_wait_fd(pair[0], POLLOUT), POLLOUT);
    CHECK_STATUS(task_write(pair[0], "x", 1), 1);
    put(pair[1], "a");
    let_run();
    CHECK_RECORD("read -125 , in a");
    CHECK_STATUS(loop_remove_reader(pair[0]), 0);
    close_both(pair);
    return 0;
}

/* A writer that waits beside a callback is registered with it, and no more when
 * it has been woken. */
static int a_task_may_wait_for_the_other_direction(void *arg)
{
    int pair[2];
    struct ear ear = {.name = "in", .takes = true};
    struct task *writer;
    size_t n;
    char block[1 << 12];
    uint64_t polls;

    (void)arg;
    make_local(pair);
    ear.fd = pair[0];
    n = fill(pair[0]);
    CHECK_STATUS(loop_add_reader(pair[0], hear, &ear), 0);
    writer = start(writes, &pair[0]);
    put(pair[1], "a");
    let_run();
    CHECK_RECORD("in a");
    while (n) {
        ssize_t some =
            read(pair[1], block, n < sizeof block ? n : sizeof block);

        CHECK(some > 0);
        n -= (size_t)some;
    }
    CHECK_STATUS(task_await(writer), 1);
    CHECK_RECORD("wrote 1");
    polls = stats().polls;
    let_run();
    CHECK(stats().polls - polls < 30);
    put(pair[1], "b");
    let_run();
    CHECK_RECORD("in b");
    CHECK_STATUS(loop_remove_reader(pair[0]), 0);
    close_both(pair);
    return 0;
}

static int hanging_up_is_told_to_the_only_one_there(void *arg)
{
    int pair[2];
    struct ear in = {.name = "in", .ends = true};
    struct ear out = {.name = "out", .ends = true};

    (void)arg;
    make_pipe(pair);
    out.fd = pair[1];
    fill(pair[1]);
    CHECK_STATUS(loop_add_writer(pair[1], hear_room, &out), 0);
    let_run();
    CHECK_RECORD("");
    CHECK_STATUS(task_close(pair[0]), 0);
    let_run();
    CHECK_RECORD("out");
    CHECK_STATUS(task_close(pair[1]), 0);
    make_pipe(pair);
    in.fd = pair[0];
    CHECK_STATUS(loop_add_reader(pair[0], hear, &in), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
    let_run();
    CHECK_RECORD("in .");
    CHECK_STATUS(task_close(pair[0]), 0);
    return 0;
}

/* In one turn. */

static int pairs[2][2];

static void remove_the_other(void *arg)
{
    int i = (int)(intptr_t)arg;

    record("%d", i);
    CHECK_STATUS(loop_remove_reader(pairs[!i][0]), 0);
    CHECK_STATUS(loop_remove_reader(pairs[i][0]), 0);
}

static void close_the_other(void *arg)
{
    int i = (int)(intptr_t)arg;

    record("%d", i);
    CHECK_STATUS(task_close(pairs[!i][0]), 0);
    CHECK_STATUS(task_close(pairs[i][0]), 0);
}

static void replace_the_other(void *arg)
{
    int i = (int)(intptr_t)arg;

    record("%d", i);
    CHECK_STATUS(task_close(pairs[!i][0]), 0);
    CHECK_STATUS(dup2(pairs[i][1], pairs[!i][0]), pairs[!i][0]);
    CHECK_STATUS(loop_add_reader(pairs[!i][0], replace_the_other, NULL), 0);
    CHECK_STATUS(loop_remove_reader(pairs[i][0]), 0);
}

static void both_are_ready(loop_fn *fn, int first)
{
    for (int i = 0; i < 2; i++)
        make_local(pairs[i]);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(loop_add_reader(pairs[i][0], fn, (void *)(intptr_t)i), 0);
    put(pairs[first][1], "a");
    put(pairs[!first][1], "b");
    let_run();
    for (int i = 0; i < 2; i++) {
        loop_remove_reader(pairs[i][0]);
        task_close(pairs[i][0]);
        CHECK_STATUS(task_close(pairs[i][1]), 0);
    }
}

/* epoll tells of them in the order in which they became ready, poll in that of
 * registration. */
static int one_that_is_removed_in_its_turn_is_not_called(void *arg)
{
    loop_fn *const ways[] = {remove_the_other, close_the_other,
                             replace_the_other};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        both_are_ready(ways[i], 0);
        CHECK_RECORD("0");
        both_are_ready(ways[i], 1);
        CHECK_RECORD(is_epoll() ? "1" : "0");
    }
    return 0;
}

static int one_may_remove_and_add_itself(void *arg)
{
    int pair[2];
    struct ear ear = {.name = "in", .takes = true, .ends = true};

    (void)arg;
    make_local(pair);
    ear.fd = pair[0];
    put(pair[1], "ab");
    CHECK_STATUS(loop_add_reader(pair[0], hear, &ear), 0);
    let_run();
    CHECK_RECORD("in a");
    CHECK_STATUS(loop_add_reader(pair[0], hear, &ear), 0);
    let_run();
    CHECK_RECORD("in b");
    close_both(pair);
    return 0;
}

static int nothing_fd[2];

static void add_again(void *arg)
{
    (void)arg;
    record("again");
    CHECK_STATUS(loop_remove_reader(nothing_fd[0]), 0);
    take(nothing_fd[0], "a");
    CHECK_STATUS(loop_add_reader(nothing_fd[0], add_again, NULL), 0);
}

static int one_that_adds_itself_waits_anew(void *arg)
{
    (void)arg;
    make_local(nothing_fd);
    CHECK_STATUS(loop_add_reader(nothing_fd[0], add_again, NULL), 0);
    put(nothing_fd[1], "a");
    let_run();
    CHECK_RECORD("again");
    CHECK_STATUS(loop_remove_reader(nothing_fd[0]), 0);
    close_both(nothing_fd);
    return 0;
}

/* Many. */

enum { MANY = 2500 };

static int many[MANY];
static size_t n_many;

static void stop_all_others(void *arg)
{
    int *self = arg;

    record("called");
    for (size_t i = 0; i < n_many; i++)
        if (&many[i] != self)
            CHECK_STATUS(loop_remove_reader(many[i]), 0);
    CHECK_STATUS(loop_remove_reader(*self), 0);
}

static size_t many_allowed(void)
{
    struct rlimit limit;

    CHECK_STATUS(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_STATUS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur > MANY + 64 ? MANY : limit.rlim_cur - 64;
}

static int the_first_of_many_stops_all_others(void *arg)
{
    (void)arg;
    n_many = many_allowed();
    for (size_t i = 0; i < n_many; i++) {
        many[i] = eventfd(1, EFD_CLOEXEC);
        CHECK_STATUS(loop_add_reader(many[i], stop_all_others, &many[i]), 0);
    }
    CHECK_STATUS(stats().watched_fds, n_many);
    let_run();
    CHECK_RECORD("called");
    CHECK_STATUS(stats().watched_fds, 0);
    for (size_t i = 0; i < n_many; i++)
        CHECK_STATUS(task_close(many[i]), 0);
    return 0;
}

/* Closed behind its back. */

/* A callback that is called and finds the number closed removes itself. */
static void hear_of_closed(void *arg)
{
    char byte;

    CHECK_STATUS(read(*(int *)arg, &byte, 1), -1);
    CHECK_STATUS(errno, EBADF);
    record("closed");
    CHECK_STATUS(loop_remove_reader(*(int *)arg), 0);
}

/* The duplicate stays readable for ever. epoll cannot be told to forget it. */
static int a_duplicate_does_not_make_the_loop_spin(void *arg)
{
    int pair[2];
    int other;
    uint64_t polls;

    (void)arg;
    make_local(pair);
    other = dup(pair[0]);
    CHECK_STATUS(loop_add_reader(pair[0], hear_of_closed, &pair[0]), 0);
    let_run();
    close(pair[0]);
    put(pair[1], "a");
    if (is_epoll())
        put(pair[1], "b");
    let_run();
    record_clear(); /* poll removes it by itself */
    CHECK_STATUS(loop_remove_reader(pair[0]), -ENOENT);
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(task_sleep(TASK_MICROSECOND), 0);
    polls = stats().polls;
    CHECK_STATUS(task_sleep(30 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - polls < 20);
    CHECK_STATUS(close(other), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
    return 0;
}

static size_t n_spins;

static void spin(void *arg)
{
    (void)arg;
    n_spins++;
}

/* The number is another file now, of which the callback knows nothing. */
static int a_callback_of_a_closed_file_ends_when_its_number_is_reused(void *arg)
{
    int old[2];
    int new[2];
    int other;
    uint64_t polls;

    (void)arg;
    make_local(old);
    CHECK_STATUS(loop_add_reader(old[0], spin, NULL), 0);
    let_run();
    other = dup(old[0]);
    close(old[0]);
    make_local_at(old[0], new);
    put(old[1], "a");
    n_spins = 0;
    if (is_epoll()) {
        for (int i = 0; i < 200; i++)
            CHECK_STATUS(task_yield(), 0);
        let_run();
        for (int i = 0; i < 200 && n_spins; i++) {
            n_spins = 0;
            CHECK_STATUS(task_sleep(TASK_MICROSECOND), 0);
        }
        CHECK_STATUS(n_spins, 0);
        polls = stats().polls;
        CHECK_STATUS(task_sleep(30 * TASK_MILLISECOND), 0);
        CHECK(stats().polls - polls < 20);
    }
    loop_remove_reader(new[0]);
    CHECK_STATUS(close(other), 0);
    CHECK_STATUS(task_close(old[1]), 0);
    close_both(new);
    return 0;
}

/* Whoever comes to a number is not kept away by those of its former file. */
static int a_callback_of_a_closed_file_is_nobodys_rival(void *arg)
{
    int old[2];
    int new[2];
    char byte;

    (void)arg;
    make_local(old);
    CHECK_STATUS(loop_add_reader(old[0], spin, NULL), 0);
    close(old[0]);
    make_local_at(old[0], new);
    put(new[1], "n");
    if (is_epoll())
        CHECK_STATUS(task_read(new[0], &byte, 1), 1);
    else
        CHECK_STATUS(loop_remove_reader(new[0]), 0);
    CHECK_STATUS(loop_remove_reader(new[0]), -ENOENT);
    CHECK_STATUS(task_close(old[1]), 0);
    close_both(new);
    return 0;
}

/* Stops, between or in the midst of looks. */

static int adds_an_ear(void *arg)
{
    struct ear *ear = arg;

    CHECK_STATUS(loop_add_reader(ear->fd, hear, ear), 0);
    return task_sleep(TASK_MILLISECOND);
}

static int puts_and_stops(void *fd)
{
    put(*(int *)fd, "a");
    loop_stop(loop_current());
    return task_yield();
}

static int puts_and_sleeps(void *fd)
{
    put(*(int *)fd, "a");
    return task_sleep(TASK_MILLISECOND);
}

static int stop(struct loop *loop, void *arg)
{
    (void)arg;
    loop_stop(loop);
    return 0;
}

/* Runs that hear of a byte once: the first does not end before its time, the
 * second is stopped as the byte comes. */
static void stop_as_it_comes(enum loop_backend backend, bool in_the_look)
{
    struct loop_options options = test_options(NULL);
    struct loop_hooks stops = {.poll_ends = stop};
    struct ear ear = {.name = "in", .takes = true};
    struct loop *loop;
    int pair[2];

    make_local(pair);
    unblock(pair[0]);
    ear.fd = pair[0];
    options.backend = backend;
    loop = loop_new(&options);
    assert_non_null(loop);
    assert_int_equal(loop_run_main(loop, adds_an_ear, &ear), 0);
    if (in_the_look)
        assert_int_equal(loop_add_hooks(loop, &stops), 0);
    assert_int_equal(
        loop_run_main(loop, in_the_look ? puts_and_sleeps : puts_and_stops,
                      &pair[1]),
        -EAGAIN);
    assert_record(in_the_look ? "in a" : "");
    assert_int_equal(loop_remove_hooks(loop, &stops), 0);
    assert_int_equal(loop_run_main(loop, sleeps, NULL), 0);
    assert_record(in_the_look ? "" : "in a");
    test_loop_free(loop, NULL);
    close(pair[0]);
    close(pair[1]);
}

static void what_comes_as_the_loop_stops_is_told_in_the_next_run(void **state)
{
    (void)state;
    stop_as_it_comes(LOOP_BACKEND_DEFAULT, false);
    stop_as_it_comes(LOOP_BACKEND_POLL, false);
}

static void what_a_look_finds_as_it_stops_the_loop_is_told(void **state)
{
    (void)state;
    stop_as_it_comes(LOOP_BACKEND_DEFAULT, true);
    stop_as_it_comes(LOOP_BACKEND_POLL, true);
}

/* The end. */

static int leaves_a_callback(void *arg)
{
    make_local(arg);
    CHECK_STATUS(loop_add_reader(((int *)arg)[0], spin, NULL), 0);
    put(((int *)arg)[1], "a");
    return 0;
}

static void callbacks_go_with_their_loop(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(run_virtual(leaves_a_callback, pair), 0);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
}

/* Memory. */

static int add_while_memory_fails(void *arg)
{
    struct memory_count *count = arg;
    int pair[2];
    struct ear ear = {.name = "in", .takes = true, .ends = true};
    int error;
    size_t i = 0;

    make_local(pair);
    ear.fd = pair[0];
    put(pair[1], "a");
    do {
        count->fail_at = ++i;
        error = loop_add_reader(pair[0], hear, &ear);
        count->fail_at = 0;
        CHECK(error == 0 || error == -ENOMEM);
        CHECK_STATUS(stats().watched_fds, !error);
        CHECK_STATUS(error ? loop_remove_reader(pair[0]) : -ENOENT, -ENOENT);
    } while (error && i < 10);
    CHECK(i > 1);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_RECORD("in a");
    close_both(pair);
    return 0;
}

static void without_memory_nothing_is_added(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, add_while_memory_fails, &count), 0);
    test_loop_free(loop, &count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(it_is_called_as_long_as_it_is_ready),
        everywhere(reader_and_writer_do_not_touch_each_other),
        everywhere(what_nobody_hears_of_is_not_watched),
        everywhere(to_remove_what_is_not_there_is_told),
        behaviour(outside_a_loop_there_are_none),
        everywhere(what_is_always_ready_is_refused),
        everywhere(what_a_number_was_does_not_matter),
        everywhere(another_one_takes_its_place),
        everywhere(callbacks_and_tasks_keep_out_of_each_others_way),
        everywhere(a_task_may_wait_for_the_other_direction),
        everywhere(hanging_up_is_told_to_the_only_one_there),
        everywhere(one_that_is_removed_in_its_turn_is_not_called),
        everywhere(one_may_remove_and_add_itself),
        everywhere(one_that_adds_itself_waits_anew),
        everywhere(the_first_of_many_stops_all_others),
        everywhere(a_duplicate_does_not_make_the_loop_spin),
        everywhere(a_callback_of_a_closed_file_ends_when_its_number_is_reused),
        everywhere(a_callback_of_a_closed_file_is_nobodys_rival),
        behaviour(what_comes_as_the_loop_stops_is_told_in_the_next_run),
        behaviour(what_a_look_finds_as_it_stops_the_loop_is_told),
        behaviour(callbacks_go_with_their_loop),
        behaviour(without_memory_nothing_is_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
