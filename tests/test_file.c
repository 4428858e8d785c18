/* Files through worker threads, and sending from them. */

/* The linker wraps: preadv2 preadv readv sendfile pthread_create */
/* The linker wraps: task__workers_finish */

#include "everywhere.h"

#include "bodies.h"
#include "gate.h"
#include "loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What of files is in memory: as much of each attempt as this; -1: all. */
static ssize_t cached = -1;
static unsigned n_delegated;

/* What workers pass before they read; NULL: nothing. */
static struct gate *gate;

/* How much they read at once, where the file is; 0: all. */
static size_t most;

ssize_t __real_preadv2(int fd, const struct iovec *parts, int n, off_t offset,
                       int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int n, off_t offset,
                       int flags);
ssize_t __real_preadv(int fd, const struct iovec *parts, int n, off_t offset);
ssize_t __wrap_preadv(int fd, const struct iovec *parts, int n, off_t offset);
ssize_t __real_readv(int fd, const struct iovec *parts, int n);
ssize_t __wrap_readv(int fd, const struct iovec *parts, int n);
ssize_t __real_sendfile(int out, int in, off_t *offset, size_t n);
ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t n);

ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int n, off_t offset,
                       int flags)
{
    struct iovec part = *parts;

    if (cached < 0 || lseek(fd, 0, SEEK_CUR) < 0)
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

static void pass(void)
{
    __atomic_fetch_add(&n_delegated, 1, __ATOMIC_RELAXED);
    if (gate)
        gate_pass(gate);
}

ssize_t __wrap_preadv(int fd, const struct iovec *parts, int n, off_t offset)
{
    pass();
    return __real_preadv(fd, parts, n, offset);
}

/* It does little, if it is to. */
ssize_t __wrap_readv(int fd, const struct iovec *parts, int n)
{
    struct iovec part = *parts;
    ssize_t result;

    if (most && most < part.iov_len)
        part.iov_len = most;
    result = __real_readv(fd, most ? &part : parts, most ? 1 : n);
    pass();
    return result;
}

/* By worker threads only. */
static bool has_sendfile = true;
static unsigned n_sent;

ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t n)
{
    CHECK(!loop_current());
    __atomic_fetch_add(&n_sent, 1, __ATOMIC_RELAXED);
    if (gate)
        gate_pass(gate);
    if (has_sendfile)
        return __real_sendfile(out, in, offset, n);
    errno = EINVAL;
    return -1;
}

/* The library's threads cannot be had. */
static bool has_no_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *arg), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *arg), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *arg), void *arg)
{
    return has_no_threads ? EAGAIN
                          : __real_pthread_create(thread, attr, fn, arg);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

enum { SIZE = 100000 };

static char content[SIZE];

static int make_content(void)
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
    int fd = make_content();

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

/* Nothing is waited for, and yet others run: sooner if much is moved. */
static int whoever_never_waits_lets_others_run(void *arg)
{
    static char buf[SIZE];
    int fd = make_content();

    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct task *other = task_create(yields, NULL);
        size_t size = i % 2 ? SIZE : 1;
        int limit = i % 2 ? 12 : 64;
        int n = 0;

        while (!task_done(other) && n <= 2 * limit) {
            if (i / 2)
                CHECK_STATUS(task_pwrite(fd, content, size, 0), size);
            else
                CHECK_STATUS(task_pread(fd, buf, size, 0), size);
            n++;
        }
        CHECK(n <= 2 * limit); /* it yields once itself */
        CHECK_STATUS(task_await(other), 0);
    }
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int reads_until_closed(void *arg)
{
    char byte;
    ssize_t n;

    do
        n = task_pread(*(int *)arg, &byte, 1, 0);
    while (n == 1);
    return (int)n;
}

/* In such a moment. */
static int a_number_may_be_closed_while_others_run(void *arg)
{
    int fds[] = {make_content(), make_content()};
    struct task *task = start(reads_until_closed, &fds[0]);

    (void)arg;
    CHECK(!task_done(task));
    CHECK_STATUS(task_close(fds[0]), 0);
    CHECK_STATUS(dup2(fds[1], fds[0]), fds[0]);
    CHECK_STATUS(task_await(task), -EBADF);
    task = start(reads_until_closed, &fds[1]);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    close_both(fds);
    return 0;
}

/* To copy it would hold up the loop. */
static int much_is_moved_by_a_thread(void *arg)
{
    static char buf[(1 << 20) + 1];
    int fd = make_content();

    (void)arg;
    n_delegated = 0;
    CHECK_STATUS(task_pwrite(fd, buf, sizeof buf, SIZE), sizeof buf);
    CHECK_STATUS(task_pread(fd, buf, sizeof buf - 1, 0), sizeof buf - 1);
    CHECK(!memcmp(buf, content, SIZE));
    CHECK_STATUS(n_delegated, 0);
    CHECK_STATUS(task_pread(fd, buf, sizeof buf, 0), sizeof buf);
    CHECK(!memcmp(buf, content, SIZE));
    CHECK_STATUS(n_delegated, 1);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int what_is_not_in_memory_is_read_by_a_thread(void *arg)
{
    static char buf[SIZE];
    int fd = make_content();

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
    int fd = make_content();

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
    int fd = make_content();

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
    while ((n = task_read(receiver->fd, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            receiver->well &= buf[i] == content[receiver->got++ % SIZE];
    return (int)n;
}

/* The same again and again, until it is worth a thread. */
enum { MUCH = 6 * SIZE };

static int make_large_file(void)
{
    int fd = make_content();

    for (int i = SIZE; i < MUCH; i += SIZE)
        CHECK_STATUS(task_write_all(fd, content, SIZE), SIZE);
    return fd;
}

/* Send all of it; how often sendfile was called. */
static unsigned send_all(int fd, void (*open)(int pair[2]))
{
    struct receiver receiver = {0};
    int pair[2];
    int flags;
    off_t offset = 0;
    ssize_t n;

    open(pair);
    flags = fcntl(pair[1], F_GETFL);
    receiver.fd = pair[0];
    n_sent = 0;
    struct task *task = task_create(receives_all, &receiver);

    do {
        off_t before = offset;

        n = task_sendfile(pair[1], fd, &offset, MUCH);
        CHECK_STATUS(offset - before, n);
        CHECK_STATUS(fcntl(pair[1], F_GETFL), flags);
    } while (n > 0);
    CHECK_STATUS(n, 0);
    CHECK_STATUS(offset, MUCH);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(receiver.got, MUCH);
    CHECK(receiver.well);
    CHECK_STATUS(task_close(pair[0]), 0);
    return n_sent;
}

static void make_free_local(int pair[2])
{
    make_local(pair);
    unblock(pair[1]);
}

static void make_free_tcp(int pair[2])
{
    make_tcp(pair);
    unblock(pair[1]);
}

/* Nobody else may wait for what is sent to, and it may not make a thread wait. */
static int a_file_is_sent_whole(void *arg)
{
    int fd = make_large_file();

    (void)arg;
    for (int i = 0; i < 2; i++) {
        cached = i - 1;
        CHECK(send_all(fd, make_free_local) > 1);
        CHECK(send_all(fd, make_free_tcp) > 1);
        CHECK_STATUS(send_all(fd, make_local), 0);
        CHECK_STATUS(send_all(fd, make_tcp), 0);
        CHECK_STATUS(send_all(fd, make_pipe), 0);
    }
    has_sendfile = false;
    CHECK(send_all(fd, make_free_local) > 1);
    has_sendfile = true;
    cached = -1;
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

/* It is told, and can be tried again. */
static int without_threads_nothing_waits_for_them(void *arg)
{
    char name[] = "/tmp/task-test-XXXXXX";
    int fd = mkstemp(name); /* no thread has written it */
    off_t offset = 0;
    char chars[10];
    int pair[2];

    (void)arg;
    unlink(name);
    CHECK_STATUS(ftruncate(fd, MUCH), 0);
    make_free_local(pair);
    cached = 0;
    has_no_threads = true;
    CHECK_STATUS(task_sendfile(pair[1], fd, &offset, MUCH), -EAGAIN);
    CHECK_STATUS(task_pread(fd, chars, sizeof chars, 0), -EAGAIN);
    has_no_threads = false;
    CHECK_STATUS(task_pread(fd, chars, sizeof chars, 0), sizeof chars);
    CHECK(task_sendfile(pair[1], fd, &offset, MUCH) > 0);
    cached = -1;
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

/* By a thread: a disk would have the loop wait. */
static int a_file_is_sent_to_a_file(void *arg)
{
    static char buf[SIZE];
    int from = make_content();
    int to = make_content();
    off_t offset = 5;

    (void)arg;
    CHECK_STATUS(ftruncate(to, 0), 0);
    CHECK_STATUS(lseek(to, 0, SEEK_SET), 0);
    n_sent = 0;
    while (task_sendfile(to, from, &offset, SIZE) > 0)
        continue;
    CHECK_STATUS(offset, SIZE);
    CHECK_STATUS(n_sent, 0);
    CHECK_STATUS(task_pread(to, buf, SIZE, 0), SIZE - 5);
    CHECK(!memcmp(buf, content + 5, SIZE - 5));
    CHECK_STATUS(task_close(from), 0);
    CHECK_STATUS(task_close(to), 0);
    return 0;
}

static int parts_of_a_file_are_sent(void *arg)
{
    int fd = make_content();
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
    offset = -1;
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), -EINVAL);
    CHECK_STATUS(task_close(pair[1]), 0);
    offset = 0;
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), -EPIPE);
    CHECK_STATUS(offset, 0);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), -EBADF);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int without_an_offset_the_file_s_own_place_counts(void *arg)
{
    int fd = make_content();
    off_t offset = 10;
    int pair[2];
    int ends[2];
    char buf[64];

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_STATUS(pipe(ends), 0);
    CHECK_STATUS(lseek(fd, 50, SEEK_SET), 50);
    CHECK_STATUS(task_sendfile(pair[0], fd, NULL, 10), 10);
    CHECK_STATUS(lseek(fd, 0, SEEK_CUR), 60);
    CHECK_STATUS(task_sendfile(pair[0], fd, &offset, 10), 10);
    CHECK_STATUS(lseek(fd, 0, SEEK_CUR), 60);
    CHECK_STATUS(task_sendfile(pair[0], fd, NULL, 5), 5);
    CHECK_STATUS(task_read_full(pair[1], buf, 25), 25);
    CHECK(!memcmp(buf, content + 50, 10) &&
          !memcmp(buf + 10, content + 10, 10) &&
          !memcmp(buf + 20, content + 60, 5));
    CHECK_STATUS(lseek(fd, SIZE, SEEK_SET), SIZE);
    CHECK_STATUS(task_sendfile(pair[0], fd, NULL, 10), 0);
    CHECK_STATUS(task_sendfile(pair[0], ends[0], NULL, 10), -EINVAL);
    offset = 0;
    CHECK_STATUS(task_sendfile(pair[0], ends[0], &offset, 10), -ESPIPE);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(lseek(fd, 7, SEEK_SET), 7);
    CHECK_STATUS(task_sendfile(pair[0], fd, NULL, 10), -EPIPE);
    CHECK_STATUS(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(ends[0]), 0);
    CHECK_STATUS(task_close(ends[1]), 0);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int sends_from_its_place(void *arg)
{
    const int *ends = arg;

    return (int)task_sendfile(ends[0], ends[1], NULL, 10);
}

/* It has read from the file, and waits for room, when another one gets its number. */
static int the_place_of_another_file_is_left(void *arg)
{
    int pair[2];
    int ends[2];
    struct task *task;
    char buf[64];

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    while (write(pair[0], content, SIZE) > 0)
        continue;
    ends[0] = pair[0];
    ends[1] = make_content();
    CHECK_STATUS(lseek(ends[1], 20, SEEK_SET), 20);
    task = task_create(sends_from_its_place, ends);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK(!task_done(task));
    CHECK_STATUS(task_close(ends[1]), 0);
    CHECK_STATUS(make_content(), ends[1]);
    CHECK_STATUS(lseek(ends[1], 3, SEEK_SET), 3);
    while (!task_done(task))
        CHECK(task_read(pair[1], buf, sizeof buf) > 0);
    CHECK_STATUS(task_await(task), 10);
    CHECK_STATUS(lseek(ends[1], 0, SEEK_CUR), 3);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_close(ends[1]), 0);
    return 0;
}

struct sender {
    int out;
    int in;
    size_t n;
    off_t offset;
};

static int sends(void *arg)
{
    struct sender *sender = arg;

    return (int)task_sendfile(sender->out, sender->in, &sender->offset,
                              sender->n);
}

/* Until all wait, and for no thread. */
static void let_wait(void)
{
    do
        CHECK_STATUS(task_wait_all_blocked(), 0);
    while (stats().jobs);
}

/* Whether it copies, or a thread has found that it has to wait. */
static int sending_may_be_cancelled_while_it_waits(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct sender sender = {.in = make_large_file(), .n = i ? MUCH : 1};
        struct task *task;
        int pair[2];

        (i < 2 ? make_free_local : make_local)(pair);
        fill(pair[1]);
        sender.out = pair[1];
        task = start(sends, &sender);
        let_wait();
        CHECK_STATUS(task_cancel_await(task), -ECANCELED);
        CHECK_STATUS(sender.offset, 0);
        CHECK_STATUS(task_close(pair[0]), 0);
        CHECK_STATUS(task_close(pair[1]), 0);
        CHECK_STATUS(task_close(sender.in), 0);
    }
    return 0;
}

/* Read all that is there. */
static void drain(int fd)
{
    static char buf[1 << 16];

    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
        continue;
}

/* Either number may be another file's when it goes on. What is copied was read
 * before. */
static int sending_ends_when_either_is_closed(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct sender sender = {.in = make_large_file(), .n = MUCH};
        bool by_copy = i % 2;
        int *closed = i / 2 ? &sender.out : &sender.in;
        struct task *task;
        int pair[2];
        int other = make_content();
        int status;

        (by_copy ? make_local : make_free_local)(pair);
        fill(pair[1]);
        sender.out = pair[1];
        task = start(sends, &sender);
        let_wait();
        CHECK_STATUS(task_close(*closed), 0);
        CHECK_STATUS(dup2(other, *closed), *closed);
        n_sent = 0;
        drain(pair[0]);
        status = task_await(task);
        if (by_copy && closed == &sender.in)
            CHECK(status > 0);
        else
            CHECK_STATUS(status, -EBADF);
        CHECK_STATUS(n_sent, 0);
        CHECK_STATUS(sender.offset, status > 0 ? status : 0);
        close_both(pair);
        CHECK_STATUS(task_close(sender.in), 0);
        CHECK_STATUS(task_close(other), 0);
    }
    return 0;
}

/* The number of what is sent to becomes one that has to be waited for. */
struct reuse {
    struct sender sender;
    int other[2];
};

static void reuses_the_number(void *arg)
{
    struct reuse *reuse = arg;
    int out = reuse->sender.out;

    CHECK_STATUS(task_close(out), 0);
    CHECK_STATUS(dup2(reuse->other[1], out), out);
}

/* Whoever has the thread's answer goes on after the callback. */
static int sending_ends_when_it_is_closed_before_it_waits(void *arg)
{
    struct reuse reuse = {.sender = {.in = make_large_file(), .n = MUCH}};
    struct sender *sender = &reuse.sender;
    struct loop_remote *remote = loop_remote_open();
    const uintptr_t *posts = &loop_current()->inbox->word;
    struct gate held = GATE_INIT;
    struct task *task;
    uintptr_t posted;
    int pair[2];

    (void)arg;
    make_free_local(reuse.other);
    fill(reuse.other[1]);
    make_free_local(pair);
    fill(pair[1]);
    sender->out = pair[1];
    gate = &held;
    task = start(sends, sender);
    gate_await(&held, 1);
    CHECK_STATUS(loop_remote_call(remote, reuses_the_number, &reuse), 0);
    posted = __atomic_load_n(posts, __ATOMIC_RELAXED);
    gate_open(&held);
    while (__atomic_load_n(posts, __ATOMIC_RELAXED) == posted)
        usleep(100);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(task_done(task));
    CHECK_STATUS(task_cancel_await(task), -EBADF);
    gate = NULL;
    close_both(pair);
    close_both(reuse.other);
    CHECK_STATUS(task_close(sender->in), 0);
    loop_remote_close(remote);
    return 0;
}

static int sends_and_hears(void *arg)
{
    int n = sends(arg);

    CHECK(n > 0 && ((struct sender *)arg)->offset == n);
    record("then %d", task_yield());
    return 0;
}

/* Both numbers stay open as long as a thread sends; a request comes next. */
static int a_thread_that_sends_is_waited_for(void *arg)
{
    struct sender sender = {.in = make_large_file(), .n = MUCH};
    struct gate held = GATE_INIT;
    struct task *task;
    int pair[2];

    (void)arg;
    make_free_local(pair);
    sender.out = pair[1];
    gate = &held;
    task = start(sends_and_hears, &sender);
    gate_await(&held, 1);
    task_cancel(task);
    CHECK_STATUS(task_close(sender.in), 0);
    CHECK_STATUS(task_close(sender.out), 0);
    CHECK(is_open(sender.in) && is_open(sender.out));
    CHECK_STATUS(task_write(sender.out, "a", 1), -EBADF);
    CHECK_STATUS(task_wait_fd(sender.out, POLLOUT), -EBADF);
    gate_open(&held);
    CHECK_STATUS(task_await(task), 0);
    CHECK(!is_open(sender.in) && !is_open(sender.out));
    CHECK_RECORD("then -125");
    CHECK_STATUS(task_close(pair[0]), 0);
    gate = NULL;
    return 0;
}

/* A stream as well, whose handle is gone at once. */
static int a_stream_is_not_closed_under_a_thread_that_sends(void *arg)
{
    struct sender sender = {.in = make_large_file(), .n = MUCH};
    struct gate held = GATE_INIT;
    struct task_stream *s;
    struct task *task;
    int pair[2];

    (void)arg;
    make_free_local(pair);
    s = task_stream_open(pair[1]);
    sender.out = pair[1];
    gate = &held;
    task = start(sends, &sender);
    gate_await(&held, 1);
    task_stream_abort(s);
    CHECK(is_open(sender.out));
    gate_open(&held);
    CHECK(task_await(task) > 0);
    CHECK(!is_open(sender.out));
    CHECK_STATUS(task_close(sender.in), 0);
    CHECK_STATUS(task_close(pair[0]), 0);
    gate = NULL;
    return 0;
}

static int sends_from_a_small_stack(void *arg)
{
    const struct task_options options = {.stack_size = TASK_STACK_MIN};
    struct sender sender = {.in = make_large_file()};
    int pair[2];

    (void)arg;
    make_free_tcp(pair);
    sender.out = pair[1];
    for (int i = 0; i < 2; i++) {
        sender.n = i ? MUCH : 60000;
        cached = i - 1;
        CHECK(task_await(task_create_with(sends, &sender, &options)) > 0);
        drain(pair[0]);
    }
    cached = -1;
    close_both(pair);
    CHECK_STATUS(task_close(sender.in), 0);
    return 0;
}

/* The first time a number is seen, and for what is copied. */
static int sends_while_memory_fails(void *arg)
{
    struct memory_count *count = arg;
    int pair[2];
    struct sender sender = {.in = make_content(), .n = 10};
    int result;
    size_t i = 0;

    make_pipe(pair);
    sender.out = pair[1];
    do {
        count->fail_at = ++i;
        result = sends(&sender);
        count->fail_at = 0;
        CHECK_STATUS(result, sender.offset ? 10 : -ENOMEM);
    } while (result < 0 && i < 10);
    CHECK(i > 1);
    close_both(pair);
    CHECK_STATUS(task_close(sender.in), 0);
    return 0;
}

static void without_memory_nothing_is_sent(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, sends_while_memory_fails, &count), 0);
    test_loop_free(loop, &count);
}

/* Jobs: with one thread, one is at work, and the others have not been begun. */

struct reading {
    int fd;
    char bytes[8];
};

static int reads_from_it(void *arg)
{
    struct reading *reading = arg;

    return (int)task_pread(reading->fd, reading->bytes, 8, 0);
}

static int reads_all_from_it(void *arg)
{
    struct reading *reading = arg;

    return (int)task_read_full(reading->fd, reading->bytes, 8);
}

/* From now on nothing is in memory, and workers wait. */
static void hold(struct gate *now)
{
    *now = (struct gate)GATE_INIT;
    gate = now;
    cached = 0;
    n_delegated = 0;
}

static void let_go(void)
{
    gate_open(gate);
    cached = -1;
}

/* A task that a worker reads for. */
static struct task *start_at_work(struct gate *held, struct reading *reading)
{
    struct task *task = start(reads_from_it, reading);

    gate_await(held, 1);
    return task;
}

static int closing_ends_what_nobody_has_begun(void *arg)
{
    struct reading first = {make_content(), ""};
    struct reading second = {make_content(), ""};
    struct gate held;
    struct task *at_work;
    struct task *queued[2];

    (void)arg;
    hold(&held);
    at_work = start_at_work(&held, &first);
    for (int i = 0; i < 2; i++)
        queued[i] = start(reads_from_it, &second);
    CHECK_STATUS(task_close(second.fd), 0);
    CHECK(!is_open(second.fd));
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(task_await(queued[i]), -EBADF);
    CHECK_STATUS(stats().jobs, 1);
    let_go();
    CHECK_STATUS(task_await(at_work), 8);
    CHECK(!memcmp(first.bytes, content, 8));
    CHECK_STATUS(n_delegated, 1);
    CHECK_STATUS(task_close(first.fd), 0);
    gate = NULL;
    return 0;
}

/* A worker may not have come to the system call yet: the number stays open for
 * it, but for nobody else. */
static int closing_waits_for_what_is_at_work(void *arg)
{
    struct reading reading = {make_content(), ""};
    struct gate held;
    struct task *at_work;
    int other;

    (void)arg;
    hold(&held);
    at_work = start_at_work(&held, &reading);
    CHECK_STATUS(task_close(reading.fd), 0);
    CHECK_STATUS(task_close(reading.fd), -EBADF);
    CHECK_STATUS(reads_from_it(&reading), -EBADF);
    CHECK_STATUS(reads_all_from_it(&reading), -EBADF);
    CHECK_STATUS(task_read(reading.fd, reading.bytes, 0), -EBADF);
    CHECK_STATUS(task_write_all(reading.fd, reading.bytes, 0), -EBADF);
    other = dup(0);
    CHECK(other != reading.fd);
    let_go();
    CHECK_STATUS(task_await(at_work), 8);
    CHECK(!memcmp(reading.bytes, content, 8));
    CHECK(!is_open(reading.fd));
    CHECK_STATUS(task_close(reading.fd), -EBADF);
    CHECK_STATUS(task_close(other), 0);
    gate = NULL;
    return 0;
}

/* One that is done, and whose task has not run yet, uses the number no more. */
static int closing_does_not_wait_for_what_is_done(void *arg)
{
    struct reading reading = {make_content(), ""};
    struct gate held;
    struct task *at_work;

    (void)arg;
    hold(&held);
    at_work = start_at_work(&held, &reading);
    let_go();
    while (at_work->waiter)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_close(reading.fd), 0);
    CHECK(!is_open(reading.fd));
    CHECK_STATUS(task_await(at_work), 8);
    gate = NULL;
    return 0;
}

static int what_has_taken_the_place_is_left_alone(void *arg)
{
    struct reading reading = {make_content(), ""};
    struct gate held;
    struct task *at_work;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        int other = make_content();

        hold(&held);
        at_work = start_at_work(&held, &reading);
        CHECK_STATUS(task_close(reading.fd), 0);
        CHECK_STATUS(dup2(other, reading.fd), reading.fd);
        if (i) /* closed again, before the end of the job or after it */
            CHECK_STATUS(task_close(reading.fd), 0);
        let_go();
        CHECK_STATUS(task_await(at_work), 8);
        CHECK_STATUS(is_open(reading.fd), !i);
        CHECK_STATUS(task_close(other), 0);
    }
    gate = NULL;
    return 0;
}

/* A number that is another file's in the middle of a full read. */
static int what_was_read_before_it_was_closed_is_told(void *arg)
{
    struct reading reading = {make_content(), ""};
    struct gate held;
    struct task *at_work;
    int other = make_content();

    (void)arg;
    CHECK_STATUS(lseek(reading.fd, 0, SEEK_SET), 0);
    CHECK_STATUS(lseek(other, 0, SEEK_SET), 0);
    hold(&held);
    most = 5;
    at_work = start(reads_all_from_it, &reading);
    gate_await(&held, 1);
    CHECK_STATUS(task_close(reading.fd), 0);
    CHECK_STATUS(dup2(other, reading.fd), reading.fd);
    let_go();
    CHECK_STATUS(task_await(at_work), 5);
    CHECK_STATUS(n_delegated, 1);
    CHECK_STATUS(task_close(reading.fd), 0);
    CHECK_STATUS(task_close(other), 0);
    most = 0;
    gate = NULL;
    return 0;
}

/* Where the open file is, the system has the second of two calls wait: also one that
 * is told not to. */
static int whoever_reads_beside_a_thread_does_so_by_another(void *arg)
{
    struct reading first = {make_content(), ""};
    struct reading second = first;
    struct gate held;
    struct task *tasks[2];

    (void)arg;
    CHECK_STATUS(lseek(first.fd, 0, SEEK_SET), 0);
    hold(&held);
    tasks[0] = start(reads_all_from_it, &first);
    gate_await(&held, 1);
    cached = -1;
    tasks[1] = start(reads_all_from_it, &second);
    CHECK(!task_done(tasks[1]));
    gate_open(&held);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(task_await(tasks[i]), 8);
    CHECK(!memcmp(first.bytes, content, 8));
    CHECK(!memcmp(second.bytes, content + 8, 8));
    CHECK_STATUS(n_delegated, 2);
    CHECK_STATUS(task_close(first.fd), 0);
    gate = NULL;
    return 0;
}

/* Requests. What was in memory is told first. */

static int reads_and_hears(void *arg)
{
    record("read %d", reads_from_it(arg));
    record("then %d", task_yield());
    return 0;
}

static int reads_all_and_hears(void *arg)
{
    record("read %d", reads_all_from_it(arg));
    record("then %d", task_yield());
    return 0;
}

/* What comes while the rest is not begun, and while it is at work. */
static int a_request_behind_a_part_comes_next(void *arg)
{
    task_fn *const bodies[] = {reads_and_hears, reads_all_and_hears};

    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct reading first = {make_content(), ""};
        struct reading second = {make_content(), ""};
        bool is_queued = i % 2;
        struct gate held;
        struct task *at_work = NULL;
        struct task *task;

        CHECK_STATUS(lseek(second.fd, 0, SEEK_SET), 0);
        hold(&held);
        if (is_queued)
            at_work = start_at_work(&held, &first);
        cached = 3;
        task = start(bodies[i / 2], &second);
        gate_await(&held, 1);
        task_cancel(task);
        gate_open(&held);
        if (is_queued)
            CHECK_STATUS(task_await(at_work), 8);
        CHECK_STATUS(task_await(task), 0);
        CHECK(!memcmp(second.bytes, content, is_queued ? 3 : 8));
        CHECK_RECORD(is_queued ? "read 3, then -125" : "read 8, then -125");
        CHECK_STATUS(task_close(first.fd), 0);
        CHECK_STATUS(task_close(second.fd), 0);
    }
    cached = -1;
    gate = NULL;
    return 0;
}

/* The same with a time-out that is over as soon as it is waited. */
static int reads_in_time(void *arg)
{
    struct task_timeout timeout;
    int n;

    task_timeout_begin(&timeout, 0);
    n = reads_from_it(arg);
    record("read %d", n);
    record("scope %d", task_timeout_end(&timeout, n));
    CHECK(task_timeout_expired(&timeout));
    record("requests %u", requests());
    record("then %d", task_yield());
    return 0;
}

enum { NO_CANCEL, CANCEL_FIRST, CANCEL_LAST, ORDERS };

/* Of a time-out and a cancel, each before the other. */
static int a_time_out_behind_a_part_is_its_scopes(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * ORDERS; i++) {
        struct reading first = {make_content(), ""};
        struct reading second = {make_content(), ""};
        bool is_queued = i % 2;
        int order = i / 2;
        struct gate held;
        struct task *at_work = NULL;
        struct task *task;

        hold(&held);
        if (is_queued)
            at_work = start_at_work(&held, &first);
        cached = 3;
        task = task_create(reads_in_time, &second);
        CHECK_STATUS(task_yield(), 0); /* now it waits, and time is up next */
        gate_await(&held, 1);
        if (order == CANCEL_FIRST)
            task_cancel(task);
        CHECK_STATUS(task_yield(), 0);
        if (order == CANCEL_LAST)
            task_cancel(task);
        let_go();
        if (is_queued)
            CHECK_STATUS(task_await(at_work), 8);
        CHECK_STATUS(task_await(task), 0);
        record("end %d", order);
        CHECK_STATUS(task_close(first.fd), 0);
        CHECK_STATUS(task_close(second.fd), 0);
    }
    gate = NULL;
    CHECK_RECORD("read 8, scope 8, requests 0, then 0, end 0, "
                 "read 3, scope 3, requests 0, then 0, end 0, "
                 "read 8, scope 8, requests 1, then -125, end 1, "
                 "read 3, scope 3, requests 1, then -125, end 1, "
                 "read 8, scope 8, requests 1, then -125, end 2, "
                 "read 3, scope 3, requests 1, then -125, end 2");
    return 0;
}

/* A main with one worker thread. */
static void run_with_one_worker(void **state)
{
    struct loop_options options = test_options(NULL);
    task_fn **fn = *state;

    options.worker_threads = 1;
    assert_int_equal(run_with(options, *fn, NULL), 0);
    assert_record("");
    assert_checks();
}

#define with_one_worker(test)                                                  \
    {                                                                          \
#test, run_with_one_worker, record_setup, record_teardown,             \
            &(task_fn *)                                                       \
        {                                                                      \
            test                                                               \
        }                                                                      \
    }

static int reads_from_stream(void *arg)
{
    return (int)task_stream_read(arg, &(char){0}, 1);
}

static struct gate at_end;

void __real_task__workers_finish(struct loop *loop);
void __wrap_task__workers_finish(struct loop *loop);

/* By now the tasks that are left have been dropped. */
void __wrap_task__workers_finish(struct loop *loop)
{
    if (gate == &at_end)
        gate_open(gate);
    __real_task__workers_finish(loop);
}

/* A worker is at it, and the task that it works for does not live to see the
 * end. */
static void drop_at_work(task_fn *leaves_a_job)
{
    struct loop_options options = test_options(NULL);

    options.clock = LOOP_CLOCK_REAL; /* virtual time waits for jobs */
    options.shutdown_timeout = 1;
    assert_int_equal(run_with(options, leaves_a_job, NULL), 0);
    assert_record("shutdown(task-2, -110)");
    gate = NULL;
    cached = -1;
}

static int leaves_a_stream(void *arg)
{
    struct task_stream *s = task_stream_open(make_content());

    (void)arg;
    hold(&at_end);
    task_detach(start(reads_from_stream, s));
    gate_await(&at_end, 1);
    return 0;
}

static void a_stream_is_closed_after_a_job_of_a_dropped_task(void **state)
{
    (void)state;
    drop_at_work(leaves_a_stream);
}

static struct reading at_end_read;

static int leaves_a_number_that_is_being_closed(void *arg)
{
    (void)arg;
    at_end_read.fd = make_content();
    hold(&at_end);
    task_detach(start_at_work(&at_end, &at_end_read));
    return task_close(at_end_read.fd);
}

static void a_number_is_closed_after_a_job_of_a_dropped_task(void **state)
{
    (void)state;
    drop_at_work(leaves_a_number_that_is_being_closed);
    assert_false(is_open(at_end_read.fd));
}

static void never(void *arg)
{
    (void)arg;
    CHECK_NOT_REACHED();
}

static int serves_nobody(struct task_stream *s, void *arg)
{
    (void)s;
    never(arg);
    return 0;
}

/* Nor a stream, a server's socket or a callback's. */
static int a_number_that_is_being_closed_is_nobodys(void *arg)
{
    struct reading reading = {make_content(), ""};
    struct task_server *server = NULL;
    struct gate held;
    struct task *at_work;

    (void)arg;
    hold(&held);
    at_work = start_at_work(&held, &reading);
    CHECK_STATUS(task_close(reading.fd), 0);
    CHECK(!task_stream_open(reading.fd));
    CHECK_STATUS(loop_add_reader(reading.fd, never, NULL), -EBADF);
    CHECK_STATUS(
        task_start_server_with(
            &server, &(struct task_server_options){.handler = serves_nobody,
                                                   .fd = reading.fd}),
        -EBADF);
    let_go();
    CHECK_STATUS(task_await(at_work), 8);
    CHECK(!is_open(reading.fd));
    gate = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(what_is_in_memory_needs_no_thread),
        in_main(without_threads_nothing_waits_for_them),
        in_main(much_is_moved_by_a_thread),
        in_main(whoever_never_waits_lets_others_run),
        in_main(a_number_may_be_closed_while_others_run),
        in_main(what_is_not_in_memory_is_read_by_a_thread),
        in_main(reads_and_writes_go_on_where_the_file_is),
        in_main(a_request_is_delivered_before_anything_is_read),
        in_main(a_file_is_sent_whole),
        in_main(parts_of_a_file_are_sent),
        in_main(without_an_offset_the_file_s_own_place_counts),
        in_main(the_place_of_another_file_is_left),
        in_main(sending_may_be_cancelled_while_it_waits),
        in_main(sending_ends_when_either_is_closed),
        in_main(sending_ends_when_it_is_closed_before_it_waits),
        in_main(a_file_is_sent_to_a_file),
        in_main(a_thread_that_sends_is_waited_for),
        in_main(a_stream_is_not_closed_under_a_thread_that_sends),
        in_main(sends_from_a_small_stack),
        behaviour(without_memory_nothing_is_sent),
        with_one_worker(closing_ends_what_nobody_has_begun),
        with_one_worker(closing_waits_for_what_is_at_work),
        in_main(a_number_that_is_being_closed_is_nobodys),
        behaviour(a_stream_is_closed_after_a_job_of_a_dropped_task),
        behaviour(a_number_is_closed_after_a_job_of_a_dropped_task),
        with_one_worker(closing_does_not_wait_for_what_is_done),
        with_one_worker(what_has_taken_the_place_is_left_alone),
        with_one_worker(whoever_reads_beside_a_thread_does_so_by_another),
        with_one_worker(what_was_read_before_it_was_closed_is_told),
        with_one_worker(a_request_behind_a_part_comes_next),
        with_one_worker(a_time_out_behind_a_part_is_its_scopes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
