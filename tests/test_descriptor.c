/*
 * The table of descriptors; and numbers that are closed behind the library's back
 * and become other files.
 */
#include "everywhere.h"

#include "bodies.h"
#include "descriptor.h"
#include "random.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The table. */

static struct memory_count count;

static void *counted(void *pointer, size_t size, void *arg)
{
    struct memory_count *memory = arg;

    if (!size) {
        memory->blocks -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    memory->allocations++;
    if (memory->fail_at && !--memory->fail_at)
        return NULL;
    memory->blocks += !pointer;
    return realloc(pointer, size);
}

static const struct allocator allocator = {counted, &count};

static struct descriptors make_table(void)
{
    count = (struct memory_count){0};
    return (struct descriptors){.allocator = &allocator};
}

static void end_table(struct descriptors *table)
{
    task__descriptors_destroy(table);
    assert_int_equal(count.blocks, 0);
}

static void only_what_is_open_gets_an_entry(void **state)
{
    struct descriptors table = make_table();
    struct descriptor *descriptor = NULL;
    struct descriptor *again = NULL;
    int fd = dup(0);

    (void)state;
    assert_true(fd >= 0);
    assert_null(descriptors_find(&table, fd));
    assert_int_equal(task__descriptors_get(&table, -1, &descriptor), -EBADF);
    assert_int_equal(task__descriptors_get(&table, INT32_MAX, &descriptor),
                     -EBADF);
    assert_int_equal(task__descriptors_get(&table, 1 << 20, &descriptor),
                     -EBADF);
    assert_int_equal(count.allocations, 0);
    assert_int_equal(task__descriptors_get(&table, fd, &descriptor), 0);
    assert_int_equal(descriptor->fd, fd);
    assert_int_equal(task__descriptors_get(&table, fd, &again), 0);
    assert_ptr_equal(descriptor, again);
    assert_null(descriptors_find(&table, -1));
    assert_null(descriptors_find(&table, 1 << 20));
    end_table(&table);
    close(fd);
}

/* The numbers of two far places, in both orders. */
static void entries_stay_where_they_are(void **state)
{
    struct rlimit limit;
    int far;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    far = fcntl(0, F_DUPFD, (int)(limit.rlim_cur / 2));
    assert_true(far >= 0);
    for (int i = 0; i < 2; i++) {
        struct descriptors table = make_table();
        struct descriptor *first;
        struct descriptor *second;
        int a = i ? far : 0;
        int b = i ? 0 : far;

        assert_int_equal(task__descriptors_get(&table, a, &first), 0);
        assert_int_equal(task__descriptors_get(&table, b, &second), 0);
        assert_ptr_equal(descriptors_find(&table, a), first);
        assert_ptr_equal(descriptors_find(&table, b), second);
        assert_int_equal(first->fd, a);
        assert_int_equal(second->fd, b);
        end_table(&table);
    }
    close(far);
}

static void without_memory_there_is_no_entry(void **state)
{
    struct descriptors table = make_table();
    struct descriptor *descriptor;

    (void)state;
    for (size_t i = 1; i <= 2; i++) {
        count.fail_at = i;
        assert_int_equal(task__descriptors_get(&table, 0, &descriptor),
                         -ENOMEM);
        assert_null(descriptors_find(&table, 0));
        task__descriptors_destroy(&table);
        table = make_table();
    }
    assert_int_equal(task__descriptors_get(&table, 0, &descriptor), 0);
    end_table(&table);
}

static void check_kind(struct descriptors *table, int fd,
                       enum descriptor_kind kind)
{
    struct descriptor *descriptor;

    assert_true(fd >= 0);
    assert_int_equal(task__descriptors_get(table, fd, &descriptor), 0);
    assert_int_equal(task__descriptor_classify_again(descriptor), 0);
    assert_int_equal(descriptor->kind, kind);
    assert_int_equal(task__descriptor_classify(descriptor), 0);
    close(fd);
    assert_int_equal(task__descriptor_classify_again(descriptor), -EBADF);
    assert_int_equal(descriptor->kind, DESCRIPTOR_UNKNOWN);
}

/* All have the same number, one after the other: every kind after every other. */
static void kinds_are_found_out(void **state)
{
    static const enum descriptor_kind kinds[] = {
        DESCRIPTOR_TCP,  DESCRIPTOR_STREAM, DESCRIPTOR_SOCKET,
        DESCRIPTOR_PIPE, DESCRIPTOR_FILE,   DESCRIPTOR_OTHER};
    struct descriptors table = make_table();

    (void)state;
    for (int i = 0; i < 36; i++) {
        enum descriptor_kind order[] = {kinds[i / 6], kinds[i % 6]};

        for (int j = 0; j < 2; j++) {
            int pair[2] = {-1, -1};
            int fd = -1;

            switch (order[j]) {
            case DESCRIPTOR_TCP:
                fd = socket(AF_INET, SOCK_STREAM, 0);
                break;
            case DESCRIPTOR_STREAM:
                fd = socket(AF_UNIX, SOCK_STREAM, 0);
                break;
            case DESCRIPTOR_SOCKET:
                fd = socket(AF_UNIX, j ? SOCK_DGRAM : SOCK_SEQPACKET, 0);
                break;
            case DESCRIPTOR_PIPE:
                assert_int_equal(pipe(pair), 0);
                fd = pair[0];
                close(pair[1]);
                break;
            case DESCRIPTOR_FILE:
                fd = j ? open("/", O_RDONLY) : make_file("abc");
                break;
            default:
                fd = eventfd(0, 0);
            }
            check_kind(&table, fd, order[j]);
        }
    }
    end_table(&table);
}

/* Events. */

struct ear {
    struct observer observer;
    const char *name;
};

static void hear(struct observer *observer, short events)
{
    struct ear *ear = container_of(observer, struct ear, observer);

    record("%s %d", ear->name, events);
}

static void observers_are_told_what_is_theirs(void **state)
{
    struct descriptors table = make_table();
    struct descriptor *descriptor;
    struct ear in = {{.ready = hear}, "in"};
    struct ear out = {{.ready = hear}, "out"};

    (void)state;
    assert_int_equal(task__descriptors_get(&table, 0, &descriptor), 0);
    task__descriptor_ready(descriptor, POLLIN);
    task__descriptor_observe(descriptor, INCOMING, &in.observer);
    task__descriptor_observe(descriptor, OUTGOING, &out.observer);
    assert_int_equal(table.n_watched, 1);
    assert_int_equal(task__descriptor_wanted(descriptor), POLLIN | POLLOUT);
    task__descriptor_ready(descriptor, POLLIN);
    task__descriptor_ready(descriptor, POLLOUT);
    task__descriptor_ready(descriptor, POLLHUP);
    task__descriptor_ready(descriptor, POLLERR);
    assert_record("in 1, out 4, in 16, out 16, in 8, out 8");
    task__descriptor_observe(descriptor, INCOMING, NULL);
    task__descriptor_ready(descriptor, POLLIN | POLLHUP);
    assert_record("out 17");
    assert_int_equal(table.n_watched, 1);
    task__descriptor_renew(descriptor);
    assert_record("out 32");
    assert_int_equal(table.n_watched, 0);
    assert_true(descriptor_is_idle(descriptor));
    end_table(&table);
}

/* Who came after the poller looked last may wait for another file than who came
 * before. */
static void only_who_is_sure_is_refuted(void **state)
{
    struct descriptors table = make_table();
    struct descriptor *descriptor;
    struct ear in = {{.ready = hear}, "in"};
    struct ear out = {{.ready = hear}, "out"};

    (void)state;
    assert_int_equal(task__descriptors_get(&table, 0, &descriptor), 0);
    task__descriptor_observe(descriptor, INCOMING, &in.observer);
    task__descriptor_confirm(descriptor);
    task__descriptor_observe(descriptor, OUTGOING, &out.observer);
    task__descriptor_refute(descriptor);
    assert_record("in 32");
    task__descriptor_confirm(descriptor);
    task__descriptor_refute(descriptor);
    assert_record("out 32");
    assert_int_equal(table.n_watched, 0);
    end_table(&table);
}

/* What was drained is so until something happens; and with one end closed no
 * longer. */
static void events_tell_what_is_drained(void **state)
{
    struct descriptors table = make_table();
    struct descriptor *descriptor;

    (void)state;
    assert_int_equal(task__descriptors_get(&table, 0, &descriptor), 0);
    for (int i = 0; i < 2; i++) {
        descriptor->drained[INCOMING] = descriptor->drained[OUTGOING] = true;
        task__descriptor_ready(descriptor, i ? POLLOUT : POLLIN);
        assert_int_equal(descriptor->drained[INCOMING], i);
        assert_int_equal(descriptor->drained[OUTGOING], !i);
    }
    assert_false(descriptor->hung);
    task__descriptor_ready(descriptor, POLLHUP);
    assert_false(descriptor->drained[INCOMING]);
    assert_false(descriptor->drained[OUTGOING]);
    assert_true(descriptor->hung);
    task__descriptor_renew(descriptor);
    assert_false(descriptor->hung);
    end_table(&table);
}

/* Behind its back: what a number was, and is. */

static void (*const OPENINGS[])(int pair[2]) = {make_local, make_tcp,
                                                make_pipe};

enum { N_OPENINGS = 3 };

/* Have it drained and registered, as far as anybody knows. */
static void use(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);

    put(pair[1], "ab");
    CHECK_STATUS(task_await(reader), 2);
    reader = start(reads, &pair[0]);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    record_clear();
}

/* Close the number, and have pair[0] be it. */
static void move_to(int number, int pair[2])
{
    CHECK_STATUS(dup2(pair[0], number), number);
    CHECK_STATUS(close(pair[0]), 0);
    pair[0] = number;
}

static int each_kind_may_follow_each(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * N_OPENINGS * N_OPENINGS; i++) {
        int old[2];
        int new[2];
        struct task *reader;

        OPENINGS[i / 2 / N_OPENINGS](old);
        use(old);
        OPENINGS[i / 2 % N_OPENINGS](new);
        move_to(old[0], new);
        if (i % 2)
            put(new[1], "cd"); /* before, or after, it is waited for */
        reader = start(reads, &new[0]);
        if (!(i % 2))
            put(new[1], "cd");
        CHECK_STATUS(task_await(reader), 2);
        CHECK_RECORD("read 2 cd");
        close_both(new);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

static int a_file_or_counter_may_follow_each(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OPENINGS; i++) {
        int old[2];
        int new[2] = {-1, -1};
        uint64_t number = 3;

        OPENINGS[i](old);
        use(old);
        new[0] = make_file("ef");
        move_to(old[0], new);
        CHECK_STATUS(reads(&new[0]), 2);
        CHECK_STATUS(reads(&new[0]), 0);
        new[0] = eventfd(2, EFD_CLOEXEC);
        move_to(old[0], new);
        CHECK_STATUS(task_read(new[0], &number, 8), 8);
        CHECK_STATUS(number, 2);
        CHECK_STATUS(task_write(new[0], &number, 8), 8);
        CHECK_STATUS(task_wait_fd(new[0], POLLIN), POLLIN);
        new[0] = make_file("gh");
        move_to(old[0], new);
        CHECK_STATUS(task_wait_fd(new[0], POLLIN), POLLIN);
        CHECK_STATUS(reads(&new[0]), 2);
        CHECK_RECORD("read 2 ef, read 0 , read 2 gh");
        CHECK_STATUS(task_close(new[0]), 0);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

static int waits_for_urgent(void *arg)
{
    return task_wait_fd(*(int *)arg, POLLPRI);
}

static int waits_for_hang_up(void *arg)
{
    return task_wait_fd(*(int *)arg, 0);
}

static int a_file_that_follows_is_not_waited_for(void *arg)
{
    task_fn *const waits[] = {waits_for_urgent, waits_for_hang_up};

    (void)arg;
    for (int i = 0; i < 2; i++) {
        int pair[2];
        int file[2] = {make_file("ab"), -1};
        struct task *waiter;

        make_pipe(pair);
        waiter = task_create(waits[i], &pair[0]);
        CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
        CHECK_STATUS(task_cancel_await(waiter), -ECANCELED);
        move_to(pair[0], file);
        waiter = task_create(waits[i], &pair[0]);
        CHECK_STATUS(task_sleep(200 * TASK_MILLISECOND), 0);
        CHECK_STATUS(task_cancel_await(waiter), -EOPNOTSUPP);
        CHECK_STATUS(task_close(pair[0]), 0);
        CHECK_STATUS(task_close(pair[1]), 0);
    }
    return 0;
}

/* A number that was a file's, and could not be waited for; and then another's. */
struct succession {
    int number;
    int pair[2];
    int bell[2];
    int n; /* so many pipes */
};

static void succeed(struct succession *now)
{
    make_pipe(now->pair);
    move_to(now->number, now->pair);
    now->n++;
}

static int follows_a_file(void *arg)
{
    struct succession *now = arg;

    now->number = make_file("");
    CHECK_STATUS(task_wait_fd(now->number, POLLIN), POLLIN);
    CHECK_STATUS(task_wait_fd(now->number, 0), -EOPNOTSUPP);
    succeed(now);
    CHECK_STATUS(reads(&now->number), 2);
    CHECK_STATUS(close(now->pair[1]), 0);
    succeed(now);
    return reads(&now->number);
}

static int puts_and_rings(void *arg)
{
    struct succession *now = arg;

    put(now->pair[1], "ab");
    put(now->bell[1], "x");
    return 0;
}

static int puts_when_it_rings(void *arg)
{
    struct succession *now = arg;

    CHECK_STATUS(task_wait_fd(now->bell[0], POLLIN), POLLIN);
    while (now->n < 2)
        CHECK_STATUS(task_yield(), 0);
    put(now->pair[1], "cd");
    return 0;
}

/* On the virtual clock what is ready is heard of before time jumps. */
static int nothing_that_follows_a_file_is_missed(void *arg)
{
    struct succession now = {.n = 0};
    task_time began = loop_time();
    struct task *sleeper = task_create(sleeps, NULL);
    struct task *others[3];

    (void)arg;
    make_pipe(now.bell);
    others[0] = task_create(puts_when_it_rings, &now);
    others[1] = task_create(follows_a_file, &now);
    others[2] = task_create(puts_and_rings, &now);
    CHECK_STATUS(task_await(others[2]), 0);
    CHECK_STATUS(task_await(others[1]), 2);
    CHECK_STATUS(task_await(others[0]), 0);
    CHECK_RECORD("read 2 ab, read 2 cd");
    if (!is_real())
        CHECK_STATUS(loop_time() - began, 0);
    CHECK_STATUS(task_cancel_await(sleeper), -ECANCELED);
    close_both(now.pair);
    close_both(now.bell);
    return 0;
}

/* Two more, without a wait. poll is not told that the number is another file: it
 * waits in between, and loses nothing. */
static void read_at_once(int fd)
{
    uint64_t polls = stats().polls;

    CHECK_STATUS(reads(&fd), 2);
    CHECK_STATUS(reads(&fd), 2);
    if (is_epoll())
        CHECK_STATUS(stats().polls - polls, 0);
}

/* A datagram socket that follows a stream is not drained by a short read. */
static int datagrams_may_follow_a_stream(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * N_OPENINGS; i++) {
        int old[2];
        int new[2];
        struct task *reader;

        OPENINGS[i / 2](old);
        if (i % 2) {
            use(old);
        } else { /* known, but never waited for */
            put(old[1], "ab");
            CHECK_STATUS(reads(&old[0]), 2);
            record_clear();
        }
        make_udp(new);
        move_to(old[0], new);
        for (int j = 0; j < 3; j++)
            put(new[1], "cd");
        CHECK_STATUS(reads(&new[0]), 2);
        read_at_once(new[0]);
        reader = start(reads, &new[0]);
        for (int j = 0; j < 3; j++)
            put(new[1], "ef");
        CHECK_STATUS(task_await(reader), 2);
        read_at_once(new[0]);
        record_clear();
        close_both(new);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

/* The former file lives on: its events wake the reader once, which is enough to
 * find out that they are not for it. */
static int a_duplicate_wakes_nobody_twice(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OPENINGS; i++) {
        int old[2];
        int new[2];
        int other;
        struct task *reader;
        uint64_t switches;

        OPENINGS[i](old);
        use(old);
        other = dup(old[0]);
        OPENINGS[i](new);
        move_to(old[0], new);
        reader = start(reads, &new[0]);
        switches = stats().switches;
        for (int j = 0; j < 10; j++) {
            put(old[1], "x");
            CHECK_STATUS(task_sleep(100 * TASK_MICROSECOND), 0);
        }
        CHECK(stats().switches - switches < 15);
        CHECK(!task_done(reader));
        put(new[1], "cd");
        CHECK_STATUS(task_await(reader), 2);
        CHECK_RECORD("read 2 cd");
        CHECK_STATUS(close(other), 0);
        close_both(new);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

/* With task_close() as well: what the duplicate has to tell is heard by nobody. */
static int a_closed_duplicate_wakes_nobody(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OPENINGS; i++) {
        int old[2];
        int new[2];
        int other;
        struct task *reader;
        uint64_t polls;

        OPENINGS[i](old);
        use(old);
        other = dup(old[0]);
        CHECK_STATUS(task_close(old[0]), 0);
        make_local_at(old[0], new);
        reader = start(reads, &new[0]);
        put(old[1], "x");
        CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
        CHECK(!task_done(reader));
        polls = stats().polls;
        CHECK_STATUS(task_sleep(30 * TASK_MILLISECOND), 0);
        CHECK(stats().polls - polls < 10);
        put(new[1], "cd");
        CHECK_STATUS(task_await(reader), 2);
        CHECK_RECORD("read 2 cd");
        CHECK_STATUS(close(other), 0);
        close_both(new);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

/* How often the kernel has a number registered with instances of epoll. */
static unsigned count_registrations(int fd)
{
    unsigned n = 0;

    for (int epoll = 0; epoll < 64; epoll++) {
        char text[128];
        FILE *file;
        int number;

        snprintf(text, sizeof text, "/proc/self/fdinfo/%d", epoll);
        file = fopen(text, "re");
        while (file && fgets(text, sizeof text, file))
            n += sscanf(text, "tfd: %d", &number) == 1 && number == fd;
        if (file)
            fclose(file);
    }
    return n;
}

/* Enough events of it have the set of all rebuilt, which nobody notices. */
static int many_events_of_a_duplicate_are_got_rid_of(void *arg)
{
    int old[2];
    int busy[2];
    int other;
    struct task *reader;

    (void)arg;
    make_local(old);
    make_local(busy);
    use(old);
    use(busy);
    other = dup(old[0]);
    CHECK_STATUS(task_close(old[0]), 0);
    reader = start(reads, &busy[0]);
    CHECK_STATUS(count_registrations(old[0]), is_epoll());
    for (int i = 0; i < 300; i++) {
        char byte;

        put(old[1], "x");
        CHECK_STATUS(task_sleep(is_real() ? TASK_MICROSECOND : 1), 0);
        CHECK_STATUS(read(other, &byte, 1), 1);
    }
    CHECK(!task_done(reader));
    CHECK_STATUS(count_registrations(old[0]), 0);
    CHECK_STATUS(count_registrations(busy[0]), is_epoll());
    put(busy[1], "ab");
    CHECK_STATUS(task_await(reader), 2);
    CHECK_RECORD("read 2 ab");
    CHECK_STATUS(close(other), 0);
    close_both(busy);
    CHECK_STATUS(task_close(old[1]), 0);
    return 0;
}

/* Closed, and nothing else: whoever begins to wait is told, and who has begun to
 * wait shortly before is looked after. */
static int a_reader_of_what_is_closed_is_told(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * N_OPENINGS; i++) {
        int pair[2];
        struct task *reader = NULL;

        OPENINGS[i / 2](pair);
        use(pair);
        if (i % 2 && !is_real() && is_epoll())
            reader = NULL; /* time stands still, so nobody looks after it */
        else if (i % 2)
            reader = start(reads, &pair[0]);
        close(pair[0]);
        if (!reader)
            CHECK_STATUS(reads(&pair[0]), -EBADF);
        else
            CHECK_STATUS(task_await(reader), -EBADF);
        CHECK_RECORD("read -9 ");
        CHECK_STATUS(task_close(pair[1]), 0);
    }
    return 0;
}

/* One waits for the file that was, another for the one that is. */
static int a_reader_of_the_former_file_gives_way(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OPENINGS; i++) {
        int old[2];
        int new[2];
        struct task *former;
        struct task *reader;

        OPENINGS[i](old);
        former = start(reads, &old[0]);
        CHECK_STATUS(task_sleep(is_real() ? 20 * TASK_MILLISECOND : 1), 0);
        OPENINGS[i](new);
        move_to(old[0], new);
        reader = start(reads, &new[0]);
        put(new[1], "cd");
        CHECK_STATUS(task_await(former), -EBADF);
        CHECK_STATUS(task_await(reader), 2);
        CHECK_RECORD("read -9 , read 2 cd");
        close_both(new);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

/* Whether or not it is told at once. */
static void end_former(struct task *former)
{
    int status = task_cancel_await(former);

    CHECK(status == -EBADF || status == -ECANCELED);
    record_clear();
}

static int a_reader_of_the_former_file_takes_nothing(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OPENINGS; i++) {
        int old[2];
        int new[2];
        struct task *former;

        OPENINGS[i](old);
        former = start(reads, &old[0]);
        OPENINGS[i](new);
        move_to(old[0], new);
        put(new[1], "cd");
        CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
        end_former(former);
        CHECK_STATUS(reads(&new[0]), 2);
        CHECK_RECORD("read 2 cd");
        close_both(new);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

static int a_stream_may_follow_what_is_waited_for(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OPENINGS; i++) {
        int old[2];
        int new[2];
        struct task *former;
        struct task_stream *s;
        char bytes[2];

        OPENINGS[i](old);
        former = start(reads, &old[0]);
        make_local(new);
        move_to(old[0], new);
        s = task_stream_open(new[0]);
        CHECK(s);
        CHECK_STATUS(task_cancel_await(former), -EBADF);
        CHECK_RECORD("read -9 ");
        put(new[1], "cd");
        CHECK_STATUS(task_stream_read_exactly(s, bytes, sizeof bytes), 0);
        CHECK_STATUS(task_stream_close(s), 0);
        CHECK_STATUS(task_close(new[1]), 0);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

static int is_served(struct task_stream *stream, void *arg)
{
    (void)stream;
    (void)arg;
    return 0;
}

static int a_server_may_follow_what_is_waited_for(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OPENINGS; i++) {
        int old[2];
        int new[] = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1};
        struct task *former;
        struct task_server_options options = {.handler = is_served};
        struct task_server *server = NULL;

        OPENINGS[i](old);
        former = start(reads, &old[0]);
        move_to(old[0], new);
        options.fd = new[0];
        CHECK_STATUS(task_start_server_with(&server, &options), 0);
        CHECK_STATUS(task_cancel_await(former), -EBADF);
        CHECK_RECORD("read -9 ");
        task_server_free(server);
        CHECK_STATUS(task_close(old[1]), 0);
    }
    return 0;
}

/* More than FD_SETSIZE. */

enum { MANY = 2100 };

static int many_are_waited_for(void *arg)
{
    static int pairs[MANY / 2][2];
    static struct task *tasks[MANY / 2];
    struct rlimit limit;
    int n;

    (void)arg;
    CHECK_STATUS(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_STATUS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    n = limit.rlim_cur > MANY + 64 ? MANY / 2 : 400;
    for (int i = 0; i < n; i++) {
        make_pipe(pairs[i]);
        tasks[i] = start(reads, &pairs[i][0]);
    }
    CHECK_STATUS(stats().watched_fds, n);
    for (int i = n; i--;)
        put(pairs[i][1], "a");
    for (int i = 0; i < n; i++) {
        CHECK_STATUS(task_await(tasks[i]), 1);
        close_both(pairs[i]);
    }
    record_clear();
    return 0;
}

/* The storm. */

enum { STORM_PAIRS = 12, ROUNDS = 100000 };

/* A pair whose end [0] a task may read from: what it gets has to be what was
 * written to it, a row of bytes that begins anew with the pair. */
struct place {
    int pair[2];
    bool is_open;
    unsigned char written;
    unsigned char seen;
    struct task *reader;
    int other; /* a duplicate of pair[0], or -1 */
};

static struct place places[STORM_PAIRS];

static int reads_on(void *arg)
{
    struct place *place = arg;
    unsigned char bytes[8];
    ssize_t n = task_read(place->pair[0], bytes, sizeof bytes);

    for (ssize_t i = 0; i < n; i++)
        CHECK_STATUS(bytes[i], place->seen++);
    return (int)n;
}

/* Connections that end leave their ports free: there are more of them here than
 * the system has ports. What is no connection takes no notice. */
static void leave_no_trace(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static void open_place(struct place *place, size_t kind)
{
    if (place->is_open)
        return;
    OPENINGS[kind % N_OPENINGS](place->pair);
    leave_no_trace(place->pair[0]);
    leave_no_trace(place->pair[1]);
    if (kind % 2) {
        unblock(place->pair[0]);
        unblock(place->pair[1]);
    }
    place->is_open = true;
    place->written = place->seen = 0;
}

/* Nobody reads from it any more. */
static void stop_reader(struct place *place)
{
    int status;

    if (!place->reader)
        return;
    status = task_cancel_await(place->reader);
    CHECK(status >= 0 || status == -ECANCELED || status == -EBADF);
    place->reader = NULL;
}

static void close_place(struct place *place, bool secretly)
{
    if (!place->is_open)
        return;
    if (secretly)
        stop_reader(place);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(
            secretly ? close(place->pair[i]) : task_close(place->pair[i]), 0);
    if (place->reader) {
        int status = task_await(place->reader);

        CHECK(status >= 0 || status == -EBADF);
        place->reader = NULL;
    }
    place->is_open = false;
}

static void duplicate(struct place *place)
{
    if (place->other >= 0)
        CHECK_STATUS(close(place->other), 0);
    place->other = place->is_open ? dup(place->pair[0]) : -1;
}

static void write_to(struct place *place)
{
    unsigned char bytes[3];

    if (!place->is_open || (unsigned char)(place->written - place->seen) > 200)
        return;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = place->written++;
    CHECK_STATUS(task_write(place->pair[1], bytes, sizeof bytes), sizeof bytes);
}

static void start_reader(struct place *place)
{
    if (place->reader && task_done(place->reader)) {
        task_await(place->reader);
        place->reader = NULL;
    }
    if (place->is_open && !place->reader)
        place->reader = start(reads_on, place);
}

/* Nothing is left over: what was written is read. */
static void read_the_rest(struct place *place)
{
    while (place->is_open && place->seen != place->written) {
        start_reader(place);
        CHECK(task_await(place->reader) > 0);
        place->reader = NULL;
        if (checks_failed())
            return;
    }
}

static void do_something(struct random *random)
{
    struct place *place = &places[random_below(random, STORM_PAIRS)];
    size_t kind = random_below(random, 6);

    switch (random_below(random, 12)) {
    case 0:
        close_place(place, false);
        open_place(place, kind);
        break;
    case 1:
        close_place(place, true);
        open_place(place, kind);
        break;
    case 2:
        close_place(place, kind % 2);
        break;
    case 3:
        open_place(place, kind);
        break;
    case 4:
        duplicate(place);
        break;
    case 5:
        stop_reader(place);
        break;
    case 6:
        CHECK_STATUS(task_yield(), 0);
        break;
    case 7:
        if (!random_below(random, 20))
            read_the_rest(place);
        break;
    case 8:
    case 9:
        start_reader(place);
        break;
    default:
        write_to(place);
    }
}

static int storm(void *arg)
{
    struct random random = {test_seed(0) + 77 * is_real() + 7 * is_epoll()};
    unsigned n = test_rounds(ROUNDS);

    (void)arg;
    for (int i = 0; i < STORM_PAIRS; i++)
        places[i] = (struct place){.other = -1};
    for (unsigned i = 0; i < n && !checks_failed(); i++)
        do_something(&random);
    for (int i = 0; i < STORM_PAIRS; i++) {
        read_the_rest(&places[i]);
        close_place(&places[i], i % 2);
        duplicate(&places[i]);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(only_what_is_open_gets_an_entry),
        behaviour(entries_stay_where_they_are),
        behaviour(without_memory_there_is_no_entry),
        behaviour(kinds_are_found_out),
        behaviour(observers_are_told_what_is_theirs),
        behaviour(only_who_is_sure_is_refuted),
        behaviour(events_tell_what_is_drained),
        everywhere(each_kind_may_follow_each),
        everywhere(a_file_or_counter_may_follow_each),
        everywhere(a_file_that_follows_is_not_waited_for),
        everywhere(nothing_that_follows_a_file_is_missed),
        everywhere(datagrams_may_follow_a_stream),
        everywhere(a_duplicate_wakes_nobody_twice),
        everywhere(a_closed_duplicate_wakes_nobody),
        everywhere(many_events_of_a_duplicate_are_got_rid_of),
        everywhere(a_reader_of_what_is_closed_is_told),
        everywhere(a_reader_of_the_former_file_gives_way),
        everywhere(a_reader_of_the_former_file_takes_nothing),
        everywhere(a_stream_may_follow_what_is_waited_for),
        everywhere(a_server_may_follow_what_is_waited_for),
        everywhere(many_are_waited_for),
        everywhere(storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
