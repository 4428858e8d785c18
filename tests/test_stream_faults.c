/*
 * Streams whose system calls fail, or do little.
 *
 * Each system call of a stream comes through here. A sweep runs an exchange of
 * bytes over and over, and each time another call fails: the first, the second
 * ..., until there are no more. Whatever fails, what is read is the beginning of
 * what was written, both ends hear of it, and nothing is left open.
 */

/* The linker wraps: recv send recvmsg sendmsg preadv2 pwritev2 shutdown */
/* The linker wraps: fstat setsockopt getsockopt epoll_ctl poll close */

#include "streams.h"

#include "random.h"
#include "stream.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Faults. */

enum group { TRANSFERS, OTHERS };

static struct {
    bool is_on;
    enum group group; /* of these calls */
    size_t fail_at;   /* the call that fails, the first being 1; 0: none */
    int error;        /* with that */
    size_t n;         /* calls so far */
    size_t n_failed;
    size_t most; /* bytes that are moved at once; 0: as many as there are */
    struct random random; /* if it is not 0: one of four fails */
} faults;

static bool fails(enum group group)
{
    if (!faults.is_on || group != faults.group)
        return false;
    faults.n++;
    if (faults.n != faults.fail_at &&
        !(faults.random.state && random_below(&faults.random, 4) == 0))
        return false;
    faults.n_failed++;
    errno = faults.error;
    return true;
}

static size_t limited(size_t n)
{
    return faults.is_on && faults.most && n > faults.most ? faults.most : n;
}

/* Transfers of one part, and of several: only the first is moved then. */

ssize_t __real_recv(int fd, void *buf, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t n, int flags)
{
    return fails(TRANSFERS) ? -1 : __real_recv(fd, buf, limited(n), flags);
}

ssize_t __real_send(int fd, const void *buf, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t n, int flags)
{
    return fails(TRANSFERS) ? -1 : __real_send(fd, buf, limited(n), flags);
}

#define WRAP_MESSAGE(name, type)                                               \
    ssize_t __real_##name(int fd, type *message, int flags);                   \
    ssize_t __wrap_##name(int fd, type *message, int flags);                   \
    ssize_t __wrap_##name(int fd, type *message, int flags)                    \
    {                                                                          \
        struct msghdr first = *message;                                        \
        struct iovec part = *message->msg_iov;                                 \
                                                                               \
        if (fails(TRANSFERS))                                                  \
            return -1;                                                         \
        if (!faults.is_on || !faults.most)                                     \
            return __real_##name(fd, message, flags);                          \
        part.iov_len = limited(part.iov_len);                                  \
        first.msg_iov = &part;                                                 \
        first.msg_iovlen = 1;                                                  \
        return __real_##name(fd, &first, flags);                               \
    }

WRAP_MESSAGE(recvmsg, struct msghdr)
WRAP_MESSAGE(sendmsg, const struct msghdr)

#define WRAP_PARTS(name)                                                       \
    ssize_t __real_##name(int fd, const struct iovec *parts, int n,            \
                          off_t offset, int flags);                            \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int n,            \
                          off_t offset, int flags);                            \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int n,            \
                          off_t offset, int flags)                             \
    {                                                                          \
        struct iovec part = *parts;                                            \
                                                                               \
        if (fails(TRANSFERS))                                                  \
            return -1;                                                         \
        if (!faults.is_on || !faults.most)                                     \
            return __real_##name(fd, parts, n, offset, flags);                 \
        part.iov_len = limited(part.iov_len);                                  \
        return __real_##name(fd, &part, 1, offset, flags);                     \
    }

WRAP_PARTS(preadv2)
WRAP_PARTS(pwritev2)

#define WRAP(name, parameters, arguments)                                      \
    int __real_##name parameters;                                              \
    int __wrap_##name parameters;                                              \
    int __wrap_##name parameters                                               \
    {                                                                          \
        return fails(OTHERS) ? -1 : __real_##name arguments;                   \
    }

WRAP(shutdown, (int fd, int how), (fd, how))
WRAP(fstat, (int fd, struct stat *stat), (fd, stat))
WRAP(setsockopt,
     (int fd, int level, int option, const void *value, socklen_t size),
     (fd, level, option, value, size))
WRAP(getsockopt, (int fd, int level, int option, void *value, socklen_t *size),
     (fd, level, option, value, size))
WRAP(epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
     (epoll, operation, fd, event))
WRAP(poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))

/* A descriptor is closed whatever is said of it. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd);

    return fails(OTHERS) ? -1 : result;
}

/* What is exchanged. */

enum { ALL = 30000, MUCH = 400000 };

enum link { UNIX_SOCKETS, TCP_SOCKETS, PIPE, N_LINKS };

struct exchange {
    enum link link;
    size_t size;
    struct pair pair; /* b writes to a */
    int status[2];    /* of reading, and of writing */
    size_t got;
};

static int reads_all(void *arg)
{
    struct exchange *exchange = arg;
    struct task_stream *s = exchange->pair.a;
    static char buf[50000];
    size_t sizes[] = {1, 100, 5000, 50000};
    ssize_t n = 1;

    for (size_t i = 0; n > 0; i++) {
        n = task_stream_read(s, buf, sizes[i % 4]);
        if (n == -ENOMEM)
            n = task_stream_read(s, buf, sizes[i % 4]);
        if (n <= 0)
            break;
        CHECK(are_bytes(buf, (size_t)n, exchange->got));
        exchange->got += (size_t)n;
    }
    if (n < 0 && faults.group == TRANSFERS) /* others may go well again */
        CHECK_STATUS(task_stream_read(s, buf, 1), n);
    CHECK(n < 0 || task_stream_at_eof(s));
    exchange->status[0] = (int)n;
    task_stream_abort(s);
    return 0;
}

static int write_all(struct exchange *exchange)
{
    struct task_stream *s = exchange->pair.b;
    size_t sent = 0;
    int status = 0;

    for (size_t n = 7; sent < exchange->size && !status; sent += n) {
        n = n * 5 % 90001 + 1;
        n = n > exchange->size - sent ? exchange->size - sent : n;
        status = write_row(s, sent, n);
        if (status == -ENOMEM && !s->write_error) /* nothing was taken */
            status = write_row(s, sent, n);
        if (!status && n % 3 == 0)
            status = task_stream_drain(s);
    }
    if (!status)
        status = task_stream_write_eof(s);
    if (!status)
        status = task_stream_flush(s);
    return status;
}

static int writes_all(void *arg)
{
    struct exchange *exchange = arg;
    int status = write_all(exchange);
    int closed = task_stream_close(exchange->pair.b);

    exchange->status[1] = status ? status : closed;
    return 0;
}

static int connect_both(enum link link, int fds[2])
{
    if (link == PIPE)
        return pipe(fds);
    if (link == UNIX_SOCKETS)
        return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    connect_tcp(fds);
    return 0;
}

/* False: one could not be opened, and both are closed. */
static bool open_both(struct exchange *exchange)
{
    int fds[2];

    CHECK_STATUS(connect_both(exchange->link, fds), 0);
    faults.is_on = true;
    exchange->pair.a = task_stream_open(fds[0]);
    exchange->pair.b = task_stream_open(fds[1]);
    if (exchange->pair.a && exchange->pair.b)
        return true;
    for (int i = 0; i < 2; i++) {
        struct task_stream *s = i ? exchange->pair.b : exchange->pair.a;

        task_stream_abort(s);
        if (!s)
            CHECK_STATUS(__real_close(fds[i]), 0);
    }
    return false;
}

static int exchanges(void *arg)
{
    struct exchange *exchange = arg;
    struct task *tasks[2];

    if (open_both(exchange)) {
        tasks[0] = task_create(reads_all, exchange);
        tasks[1] = task_create(writes_all, exchange);
        CHECK_STATUS(task_gather(tasks, 2, NULL), 0);
    }
    faults.is_on = false;
    return 0;
}

static struct exchange run_exchange(enum link link, size_t size)
{
    struct exchange exchange = {.link = link, .size = size};

    faults.n = 0;
    faults.n_failed = 0;
    assert_int_equal(run_virtual(exchanges, &exchange), 0);
    faults.is_on = false;
    return exchange;
}

static void no_faults(void)
{
    memset(&faults, 0, sizeof faults);
}

/* All has come, and nobody has noticed anything. */
static void assert_complete(const struct exchange *exchange)
{
    assert_int_equal(exchange->status[0], 0);
    assert_int_equal(exchange->status[1], 0);
    assert_int_equal(exchange->got, exchange->size);
}

/* Sweeps. */

/* Each in turn; some of them, where all takes long. */
static void fail_the_next(void)
{
    faults.fail_at += faults.fail_at && test_rounds(100) < 100 ? 5 : 1;
}

static void each_transfer_may_be_interrupted(void **state)
{
    const int errors[] = {EINTR, EAGAIN};

    (void)state;
    for (int link = 0; link < N_LINKS; link++) {
        for (int i = 0; i < 2; i++) {
            no_faults();
            faults.error = errors[i];
            do {
                fail_the_next();
                struct exchange exchange = run_exchange((enum link)link, MUCH);

                assert_complete(&exchange);
            } while (faults.n_failed);
            assert_true(faults.fail_at > 10);
        }
    }
    no_faults();
}

static void transfers_may_be_interrupted_at_random(void **state)
{
    const int errors[] = {EINTR, EAGAIN};

    (void)state;
    for (unsigned i = 0; i < test_rounds(60); i++) {
        no_faults();
        faults.error = errors[i % 2];
        faults.random.state = test_seed(i);
        faults.most = i % 3 == 1 ? 1 + (i - 1) * 50 : 0;
        struct exchange exchange =
            run_exchange((enum link)(i / 2 % N_LINKS), MUCH);

        assert_complete(&exchange);
    }
    no_faults();
}

static void each_byte_may_come_alone(void **state)
{
    (void)state;
    for (int link = 0; link < N_LINKS; link++) {
        no_faults();
        faults.most = 1;
        struct exchange exchange = run_exchange((enum link)link, ALL);

        assert_complete(&exchange);
        assert_true(faults.n >= ALL);
    }
    no_faults();
}

/* For want of memory a call has done nothing, and may be made again; or it had
 * sent something, and then nothing more is. */
static void each_transfer_may_lack_memory(void **state)
{
    (void)state;
    for (int link = 0; link < N_LINKS; link++) {
        no_faults();
        faults.error = ENOMEM;
        do {
            fail_the_next();
            struct exchange exchange = run_exchange((enum link)link, MUCH);

            assert_int_equal(exchange.status[0], 0);
            if (!exchange.status[1])
                assert_int_equal(exchange.got, MUCH);
            else
                assert_int_equal(exchange.status[1], -ENOMEM);
        } while (faults.n_failed);
    }
    no_faults();
}

static void each_transfer_may_fail(void **state)
{
    const int errors[] = {EIO, ECONNRESET, ETIMEDOUT};

    (void)state;
    for (int link = 0; link < N_LINKS; link++) {
        for (int i = 0; i < 3; i++) {
            no_faults();
            faults.error = errors[i];
            do {
                fail_the_next();
                struct exchange exchange = run_exchange((enum link)link, MUCH);
                bool has_read = exchange.status[0] == -errors[i];
                bool has_written = exchange.status[1] == -errors[i];

                assert_int_equal(has_read || has_written, faults.n_failed);
                if (!faults.n_failed)
                    assert_complete(&exchange);
            } while (faults.n_failed);
        }
    }
    no_faults();
}

/* Whatever else fails: what comes is the beginning of what was written, and who
 * reads to the end without an error knows what who wrote knows. */
static void each_other_call_may_fail(void **state)
{
    const int errors[] = {EIO, ENOMEM, ENOSPC, EINTR, ENOTCONN};

    (void)state;
    for (int link = 0; link < N_LINKS; link++) {
        for (int i = 0; i < 5; i++) {
            no_faults();
            faults.group = OTHERS;
            faults.error = errors[i];
            do {
                fail_the_next();
                struct exchange exchange = run_exchange((enum link)link, MUCH);

                assert_true(exchange.got <= MUCH);
                if (!exchange.status[0] && !exchange.status[1] && exchange.got)
                    assert_int_equal(exchange.got, MUCH);
                if (!faults.n_failed)
                    assert_complete(&exchange);
            } while (faults.n_failed);
            assert_true(faults.fail_at > 3);
        }
    }
    no_faults();
}

/* Memory. */

static void each_allocation_may_fail(void **state)
{
    struct memory_count count = {0};
    size_t before = 0;

    (void)state;
    for (int link = 0; link < N_LINKS; link++) {
        for (size_t fail_at = 1;; fail_at++) {
            struct exchange exchange = {.link = (enum link)link, .size = MUCH};
            struct loop_options options = test_options(&count);
            struct loop *loop = loop_new(&options);

            no_faults();
            before = count.allocations;
            count.fail_at = fail_at;
            (void)loop_run_main(loop, exchanges, &exchange);
            if (count.fail_at) {
                count.fail_at = 0;
                assert_complete(&exchange);
                test_loop_free(loop, &count);
                break;
            }
            test_loop_free(loop, &count);
            if (!exchange.status[0] && !exchange.status[1] && exchange.got)
                assert_int_equal(exchange.got, MUCH);
        }
        assert_true(count.allocations > before);
    }
}

/* Closing. */

static int is_told_why_closing_fails(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_write(half.s, "last", 4), 0);
    faults.is_on = true;
    faults.group = OTHERS;
    faults.fail_at = faults.n + 1;
    faults.error = EIO;
    CHECK_STATUS(task_stream_close(half.s), -EIO);
    no_faults();
    CHECK_STATUS(drain_raw(half.fd), 4);
    CHECK_STATUS(read(half.fd, &(char){0}, 1), 0);
    close(half.fd);
    return 0;
}

static int an_interrupted_close_has_closed(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    faults.is_on = true;
    faults.group = OTHERS;
    faults.fail_at = faults.n + 1;
    faults.error = EINTR;
    CHECK_STATUS(task_stream_close(half.s), 0);
    no_faults();
    CHECK_STATUS(read(half.fd, &(char){0}, 1), 0);
    close(half.fd);
    return 0;
}

static int an_end_that_cannot_be_told_is_an_error(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    faults.is_on = true;
    faults.group = OTHERS;
    faults.fail_at = faults.n + 1;
    faults.error = ENOTCONN;
    CHECK_STATUS(task_stream_write_eof(half.s), -ENOTCONN);
    CHECK_STATUS(task_stream_write_eof(half.s), -ENOTCONN);
    CHECK_STATUS(task_stream_flush(half.s), -ENOTCONN);
    no_faults();
    CHECK_STATUS(task_stream_close(half.s), -ENOTCONN);
    close(half.fd);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour_of_streams(each_transfer_may_be_interrupted),
        behaviour_of_streams(transfers_may_be_interrupted_at_random),
        behaviour_of_streams(each_byte_may_come_alone),
        behaviour_of_streams(each_transfer_may_lack_memory),
        behaviour_of_streams(each_transfer_may_fail),
        behaviour_of_streams(each_other_call_may_fail),
        behaviour_of_streams(each_allocation_may_fail),
        in_streams(is_told_why_closing_fails),
        in_streams(an_interrupted_close_has_closed),
        in_streams(an_end_that_cannot_be_told_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
