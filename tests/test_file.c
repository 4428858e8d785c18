/* Files through worker threads, and sending from them. */
#include "record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is in memory: as much of each attempt as this; -1: all. */
static ssize_t cached = -1;
static unsigned n_delegated;

ssize_t __real_preadv2(int fd, const struct iovec *parts, int n, off_t offset,
                       int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int n, off_t offset,
                       int flags);
ssize_t __real_preadv(int fd, const struct iovec *parts, int n, off_t offset);
ssize_t __wrap_preadv(int fd, const struct iovec *parts, int n, off_t offset);
ssize_t __real_sendfile(int out, int in, off_t *offset, size_t n);
ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t n);

ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int n, off_t offset,
                       int flags)
{
    struct iovec part = *parts;

    if (cached < 0 || offset < 0)
        return __real_preadv2(fd, parts, n, offset, flags);
    if (cached == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (part.iov_len > (size_t)cached)
        part.iov_len = (size_t)cached;
    cached -= (ssize_t)part.iov_len;
    return __real_preadv2(fd, &part, 1, offset, flags);
}

ssize_t __wrap_preadv(int fd, const struct iovec *parts, int n, off_t offset)
{
    n_delegated++;
    return __real_preadv(fd, parts, n, offset);
}

static bool has_sendfile = true;

ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t n)
{
    if (has_sendfile)
        return __real_sendfile(out, in, offset, n);
    errno = EINVAL;
    return -1;
}

enum { SIZE = 100000 };

static char content[SIZE];

static int make_file(void)
{
    char name[] = "/tmp/task-test-XXXXXX";
    int fd = mkstemp(name);

    unlink(name);
    for (int i = 0; i < SIZE; i++)
        content[i] = (char)(i * 7 % 251);
    CHECK_STATUS(task_write_all(fd, content, SIZE), SIZE);
    return fd;
}

static int what_is_in_memory_needs_no_thread(void *arg)
{
    static char buf[SIZE];
    int fd = make_file();

    (void)arg;
    n_delegated = 0;
    CHECK_STATUS(task_pread(fd, buf, SIZE, 0), SIZE);
    CHECK(!memcmp(buf, content, SIZE));
    CHECK_STATUS(task_pread(fd, buf, SIZE, 99990), 10);
    CHECK_STATUS(task_pread(fd, buf, SIZE, SIZE), 0);
    CHECK_STATUS(n_delegated, 0);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int what_is_not_in_memory_is_read_by_a_thread(void *arg)
{
    static char buf[SIZE];
    int fd = make_file();

    (void)arg;
    for (ssize_t part = 0; part < 3; part++) {
        memset(buf, 0, SIZE);
        cached = part * 5000;
        n_delegated = 0;
        CHECK_STATUS(task_pread(fd, buf, SIZE, 0), SIZE);
        CHECK(!memcmp(buf, content, SIZE));
        CHECK_STATUS(n_delegated, 1);
    }
    cached = 5;
    CHECK_STATUS(task_pread(fd, buf, SIZE, 99990), 10);
    cached = -1;
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int reads_and_writes_go_on_where_the_file_is(void *arg)
{
    static char buf[SIZE];
    int fd = make_file();

    (void)arg;
    CHECK_STATUS(lseek(fd, 10, SEEK_SET), 10);
    CHECK_STATUS(task_read(fd, buf, 20), 20);
    CHECK(!memcmp(buf, content + 10, 20));
    CHECK_STATUS(task_write(fd, "abc", 3), 3);
    CHECK_STATUS(task_pread(fd, buf, 4, 30), 4);
    CHECK(!memcmp(buf, "abc", 3) && buf[3] == content[33]);
    CHECK_STATUS(task_pwrite(fd, "z", 1, 0), 1);
    CHECK_STATUS(lseek(fd, 0, SEEK_CUR), 33);
    CHECK_STATUS(task_read_full(fd, buf, SIZE), SIZE - 33);
    CHECK_STATUS(task_read(fd, buf, SIZE), 0);
    CHECK_STATUS(task_pread(fd, buf, 1, -1), -EINVAL);
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(task_pread(fd, buf, 1, 0), -EBADF);
    return 0;
}

static int a_request_is_delivered_before_anything_is_read(void *arg)
{
    char byte;
    int fd = make_file();

    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_read(fd, &byte, 1), -ECANCELED);
    task_cancel(task_current());
    CHECK_STATUS(task_pread(fd, &byte, 1, 0), -ECANCELED);
    off_t offset = 0;
    task_cancel(task_current());
    CHECK_STATUS(task_sendfile(fd, fd, &offset, 1), -ECANCELED);
    CHECK_STATUS(offset, 0);
    task_uncancel(task_current());
    task_uncancel(task_current());
    task_uncancel(task_current());
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

struct receiver {
    int fd;
    size_t got;
    bool well;
};

static int receives_all(void *arg)
{
    struct receiver *receiver = arg;
    char buf[3000];
    ssize_t n;

    receiver->well = true;
    while ((n = task_read(receiver->fd, buf, sizeof buf)) > 0) {
        receiver->well =
            receiver->well && !memcmp(buf, content + receiver->got, (size_t)n);
        receiver->got += (size_t)n;
    }
    return (int)n;
}

static void send_all(int fd, bool by_sendfile)
{
    struct receiver receiver = {0};
    int pair[2];
    off_t offset = 0;
    ssize_t n;

    has_sendfile = by_sendfile;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    receiver.fd = pair[1];
    struct task *task = task_create(receives_all, &receiver);

    while ((n = task_sendfile(pair[0], fd, &offset, SIZE)) > 0)
        continue;
    CHECK_STATUS(n, 0);
    CHECK_STATUS(offset, SIZE);
    CHECK_STATUS(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(receiver.got, SIZE);
    CHECK(receiver.well);
    CHECK_STATUS(task_close(pair[1]), 0);
    has_sendfile = true;
}

static int a_file_is_sent_whole(void *arg)
{
    int fd = make_file();

    (void)arg;
    send_all(fd, true);
    send_all(fd, false);
    cached = 0;
    send_all(fd, true);
    cached = 0;
    send_all(fd, false);
    cached = -1;
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int parts_of_a_file_are_sent(void *arg)
{
    int fd = make_file();
    int pair[2];
    char buf[64];
    off_t offset = 100;

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 0), 0);
    CHECK_STATUS(task_write(pair[0], "head", 4), 4);
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), 10);
    CHECK_STATUS(task_write(pair[0], "tail", 4), 4);
    CHECK_STATUS(offset, 110);
    CHECK_STATUS(task_read_full(pair[1], buf, 18), 18);
    CHECK(!memcmp(buf, "head", 4) && !memcmp(buf + 4, content + 100, 10) &&
          !memcmp(buf + 14, "tail", 4));
    offset = SIZE - 5;
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), 5);
    CHECK_STATUS(offset, SIZE);
    CHECK_STATUS(task_sendfile(pair[0], fd, NULL, 10), -EINVAL);
    CHECK_STATUS(task_close(pair[1]), 0);
    offset = 0;
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), -EPIPE);
    CHECK_STATUS(offset, 0);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), -EBADF);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int sends_until_it_waits(void *arg)
{
    struct receiver *sender = arg;
    off_t offset = 0;
    ssize_t n;

    do {
        n = task_sendfile(sender->fd, (int)sender->got, &offset, SIZE);
        if (offset == SIZE)
            offset = 0;
    } while (n > 0);
    sender->well = n == -ECANCELED;
    return (int)n;
}

static int sending_may_be_cancelled_while_it_waits(void *arg)
{
    int fd = make_file();
    struct receiver sender = {.got = (size_t)fd};
    int pair[2];

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    sender.fd = pair[0];
    struct task *task = task_create(sends_until_it_waits, &sender);

    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK(sender.well);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(what_is_in_memory_needs_no_thread),
        in_main(what_is_not_in_memory_is_read_by_a_thread),
        in_main(reads_and_writes_go_on_where_the_file_is),
        in_main(a_request_is_delivered_before_anything_is_read),
        in_main(a_file_is_sent_whole),
        in_main(parts_of_a_file_are_sent),
        in_main(sending_may_be_cancelled_while_it_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
