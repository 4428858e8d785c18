/*
 * Descriptors whose system calls fail, or do little.
 *
 * Each system call for descriptors comes through here. A sweep plays a scene over
 * and over, and each time another call of a kind fails: the first, the second ...,
 * until there are no more. Of an interruption, or of nothing being there yet,
 * nobody hears; of another error somebody does at most, once, and does again what
 * was to be done. So in the end all has come through, and nothing is left open.
 */

/* The linker wraps: recv send recvmsg sendmsg preadv2 pwritev2 preadv */
/* The linker wraps: pwritev readv writev sendfile accept4 connect getsockopt */
/* The linker wraps: fstat poll epoll_ctl epoll_create1 timerfd_create */
/* The linker wraps: epoll_wait syscall fcntl close */

#include "everywhere.h"

#include "descriptors.h"
#include "random.h"
#include "streams.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* Faults. */

enum call {
    RECEIVE,
    SEND,
    READ, /* what is no socket: without waiting */
    WRITE,
    WORK, /* by threads, or after a look */
    SEND_FILE,
    ACCEPT,
    CONNECT,
    OPTION,
    STAT,
    FLAGS,
    POLL,
    CONTROL, /* what epoll watches */
    OPEN,    /* the poller's own */
    WAIT,
    CLOSE,
    N_CALLS
};

enum { ERRORS = 7 };

/* What each may fail with. */
static const int errors[N_CALLS][ERRORS] = {
    [RECEIVE] = {EINTR, EAGAIN, ENOMEM, ECONNRESET, ETIMEDOUT},
    [SEND] = {EINTR, EAGAIN, ENOMEM, ENOBUFS, ECONNRESET},
    [READ] = {EINTR, EAGAIN, EOPNOTSUPP, EIO},
    [WRITE] = {EINTR, EAGAIN, EOPNOTSUPP, ENOSPC},
    [WORK] = {EINTR, EIO, ENOSPC},
    [SEND_FILE] = {EINTR, EAGAIN, EINVAL, EIO, ENOMEM},
    [ACCEPT] = {EINTR, EAGAIN, ECONNABORTED, EPROTO, EMFILE, ENFILE},
    [CONNECT] = {ENETUNREACH, EADDRNOTAVAIL, ENOMEM},
    [OPTION] = {ENOBUFS, ENOMEM},
    [STAT] = {ENOMEM, EOVERFLOW},
    [FLAGS] = {EBADF},
    [POLL] = {EINTR, ENOMEM},
    [CONTROL] = {ENOSPC, ENOMEM},
    [OPEN] = {EMFILE, ENFILE, ENOMEM},
    [WAIT] = {EINTR},
    [CLOSE] = {EINTR, EIO},
};

static struct {
    bool is_on;
    enum call call;
    unsigned at; /* which of these fails, the first being 1; 0: none */
    int error;   /* with that */
    unsigned n;  /* so far, by threads too */
    bool has_failed;
    unsigned n_heard;
    size_t most;          /* bytes that are moved at once; 0: all */
    struct random random; /* if it is not 0: one of four fails */
} faults;

static bool is_refused(enum call call)
{
    bool is_the_one;

    if (!faults.is_on || call != faults.call)
        return false;
    is_the_one =
        __atomic_add_fetch(&faults.n, 1, __ATOMIC_RELAXED) == faults.at;
    if (!is_the_one &&
        !(faults.random.state && random_below(&faults.random, 4) == 0))
        return false;
    faults.has_failed = true;
    errno = faults.error;
    return true;
}

static size_t limited(size_t n)
{
    return faults.is_on && faults.most && n > faults.most ? faults.most : n;
}

/* Of several parts only a piece of the first is moved then. */
static int cut(const struct iovec **parts, int n, struct iovec *piece)
{
    if (limited(SIZE_MAX) == SIZE_MAX)
        return n;
    *piece = (struct iovec){(*parts)->iov_base, limited((*parts)->iov_len)};
    *parts = piece;
    return 1;
}

#define WRAP(type, name, call, parameters, arguments)                          \
    type __real_##name parameters;                                             \
    type __wrap_##name parameters;                                             \
    type __wrap_##name parameters                                              \
    {                                                                          \
        return is_refused(call) ? -1 : __real_##name arguments;                \
    }

#define WRAP_PARTS(name, call, parameters, arguments)                          \
    ssize_t __real_##name parameters;                                          \
    ssize_t __wrap_##name parameters;                                          \
    ssize_t __wrap_##name parameters                                           \
    {                                                                          \
        struct iovec piece;                                                    \
                                                                               \
        n = cut(&parts, n, &piece);                                            \
        return is_refused(call) ? -1 : __real_##name arguments;                \
    }

#define WRAP_MESSAGE(name, call, type)                                         \
    ssize_t __real_##name(int fd, type *message, int flags);                   \
    ssize_t __wrap_##name(int fd, type *message, int flags);                   \
    ssize_t __wrap_##name(int fd, type *message, int flags)                    \
    {                                                                          \
        struct msghdr first = *message;                                        \
        const struct iovec *parts = first.msg_iov;                             \
        struct iovec piece;                                                    \
                                                                               \
        if (is_refused(call))                                                  \
            return -1;                                                         \
        if (limited(SIZE_MAX) == SIZE_MAX)                                     \
            return __real_##name(fd, message, flags);                          \
        cut(&parts, 1, &piece);                                                \
        first.msg_iov = &piece;                                                \
        first.msg_iovlen = 1;                                                  \
        return __real_##name(fd, &first, flags);                               \
    }

WRAP(ssize_t, recv, RECEIVE, (int fd, void *buf, size_t n, int flags),
     (fd, buf, limited(n), flags))
WRAP(ssize_t, send, SEND, (int fd, const void *buf, size_t n, int flags),
     (fd, buf, limited(n), flags))
WRAP_MESSAGE(recvmsg, RECEIVE, struct msghdr)
WRAP_MESSAGE(sendmsg, SEND, const struct msghdr)
WRAP_PARTS(preadv2, READ,
           (int fd, const struct iovec *parts, int n, off_t offset, int flags),
           (fd, parts, n, offset, flags))
WRAP_PARTS(pwritev2, WRITE,
           (int fd, const struct iovec *parts, int n, off_t offset, int flags),
           (fd, parts, n, offset, flags))
WRAP_PARTS(preadv, WORK,
           (int fd, const struct iovec *parts, int n, off_t offset),
           (fd, parts, n, offset))
WRAP_PARTS(pwritev, WORK,
           (int fd, const struct iovec *parts, int n, off_t offset),
           (fd, parts, n, offset))
WRAP_PARTS(readv, WORK, (int fd, const struct iovec *parts, int n),
           (fd, parts, n))
WRAP_PARTS(writev, WORK, (int fd, const struct iovec *parts, int n),
           (fd, parts, n))
WRAP(ssize_t, sendfile, SEND_FILE, (int out, int in, off_t *offset, size_t n),
     (out, in, offset, limited(n)))
WRAP(int, accept4, ACCEPT,
     (int fd, struct sockaddr *addr, socklen_t *len, int flags),
     (fd, addr, len, flags))
WRAP(int, connect, CONNECT,
     (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
WRAP(int, getsockopt, OPTION,
     (int fd, int level, int option, void *value, socklen_t *size),
     (fd, level, option, value, size))
WRAP(int, fstat, STAT, (int fd, struct stat *stat), (fd, stat))
WRAP(int, poll, POLL, (struct pollfd * fds, nfds_t n, int timeout),
     (fds, n, timeout))
WRAP(int, epoll_ctl, CONTROL,
     (int epoll, int operation, int fd, struct epoll_event *event),
     (epoll, operation, fd, event))
WRAP(int, epoll_create1, OPEN, (int flags), (flags))
WRAP(int, timerfd_create, OPEN, (int clock, int flags), (clock, flags))
WRAP(int, epoll_wait, WAIT,
     (int epoll, struct epoll_event *events, int n, int timeout),
     (epoll, events, n, timeout))

long __real_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    return number == SYS_epoll_pwait2 && is_refused(WAIT)
               ? -1
               : __real_syscall(number, a, b, c, d, e, f);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list more;
    long argument;

    va_start(more, command);
    argument = va_arg(more, long);
    va_end(more);
    return is_refused(FLAGS) ? -1 : __real_fcntl(fd, command, argument);
}

/* A descriptor is closed whatever is said of it. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd);

    return is_refused(CLOSE) ? -1 : result;
}

/* Whether what a call came to is the fault: then it is made again. */
static bool is_fault(ssize_t result)
{
    if (result >= 0)
        return false;
    CHECK_STATUS(result, -faults.error);
    CHECK(faults.error != EINTR && faults.error != EAGAIN);
    CHECK_STATUS(++faults.n_heard, 1);
    return !checks_failed();
}

/* Close it, all the same. */
static void close_it(int fd)
{
    (void)is_fault(task_close(fd));
    CHECK_STATUS(__real_fcntl(fd, F_GETFD), -1);
}

/* Scenes. What is moved is the beginning of this row. */

static char row[300000];

struct flow {
    int fd;
    size_t n;
};

/* Write a row of bytes in pieces, in all ways, and close. */
static int pours(void *arg)
{
    const struct flow *flow = arg;
    size_t done = 0;

    for (unsigned i = 0; done < flow->n; i++) {
        size_t left = flow->n - done;
        size_t n = left > 30000 ? 30000 : left;
        struct iovec parts[] = {{row + done, n / 3},
                                {row + done + n / 3, n - n / 3}};
        ssize_t result = i % 3 == 0   ? task_write(flow->fd, row + done, n)
                         : i % 3 == 1 ? task_writev(flow->fd, parts, 2)
                                      : task_write_all(flow->fd, row + done, n);

        if (result > 0)
            done += (size_t)result;
        else if (!is_fault(result))
            break;
    }
    CHECK_STATUS(done, flow->n);
    close_it(flow->fd);
    return 0;
}

/* Read all of it in the same way. */
static void drink(int fd, size_t n)
{
    static char got[sizeof row + 50000];
    size_t done = 0;

    for (unsigned i = 0;; i++) {
        size_t room = i % 2 ? 50000 : 9000;
        struct iovec parts[] = {{got + done, room / 3},
                                {got + done + room / 3, room - room / 3}};
        ssize_t result = i % 3 == 0   ? task_read(fd, got + done, room)
                         : i % 3 == 1 ? task_readv(fd, parts, 2)
                                      : task_read_full(fd, got + done, room);

        if (result > 0)
            done += (size_t)result;
        else if (!is_fault(result))
            break;
        if (done > n)
            break;
    }
    CHECK_STATUS(done, n);
    CHECK(!memcmp(got, row, done < n ? done : n));
}

static int let_flow(void (*open)(int pair[2]))
{
    int pair[2];
    struct flow flow = {.n = faults.most ? 500 : 70000};
    struct task *task;

    open(pair);
    flow.fd = pair[1];
    faults.is_on = true;
    task = task_create(pours, &flow);
    drink(pair[0], flow.n);
    close_it(pair[0]);
    return task_await(task);
}

static int bytes_by_a_local_socket(void *arg)
{
    (void)arg;
    return let_flow(make_local);
}

static int bytes_by_tcp(void *arg)
{
    (void)arg;
    return let_flow(make_tcp);
}

static int bytes_by_a_pipe(void *arg)
{
    (void)arg;
    return let_flow(make_pipe);
}

/* Messages come whole, and in order. */
static int sends_messages(void *arg)
{
    for (int i = 0; i < 5;) {
        ssize_t result = task_sendto(*(int *)arg, &i, sizeof i, 0, NULL, 0);

        if (!is_fault(result)) {
            CHECK_STATUS(result, sizeof i);
            i++;
        }
    }
    return 0;
}

static int messages(void *arg)
{
    int pair[2];
    struct task *task;
    int got;

    (void)arg;
    make_udp(pair);
    faults.is_on = true;
    task = task_create(sends_messages, &pair[1]);
    for (int i = 0; i < 5;) {
        ssize_t result = task_recvfrom(pair[0], &got, sizeof got, 0, NULL, 0);

        if (!is_fault(result)) {
            CHECK_STATUS(result, sizeof got);
            CHECK_STATUS(got, i++);
        }
    }
    CHECK_STATUS(task_await(task), 0);
    close_it(pair[0]);
    close_it(pair[1]);
    return 0;
}

/* A descriptor that goes with a message, once. */
static int a_descriptor_by_message(void *arg)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    char byte = 'a';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    int pair[2];
    int pipe[2];
    int fd;

    (void)arg;
    make_local(pair);
    make_pipe(pipe);
    memcpy(CMSG_DATA(&control.header), &pipe[0], sizeof fd);
    faults.is_on = true;
    while (is_fault(task_sendmsg(pair[1], &message, 0)))
        continue;
    while (is_fault(task_recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC)))
        continue;
    memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    while (is_fault(task_write(pipe[1], "b", 1)))
        continue;
    while (is_fault(task_read(fd, &byte, 1)))
        continue;
    CHECK(byte == 'b');
    close_it(fd);
    for (int i = 0; i < 2; i++) {
        close_it(pair[i]);
        close_it(pipe[i]);
    }
    return 0;
}

static int connects(void *arg)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    struct flow flow = {.n = 10};

    CHECK_STATUS(getsockname(*(int *)arg, (struct sockaddr *)&addr, &len), 0);
    flow.fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (is_fault(task_connect(flow.fd, (struct sockaddr *)&addr, len)))
        continue;
    return pours(&flow);
}

static int let_connect(int listener)
{
    struct task *task;
    int fd;

    CHECK(listener >= 0);
    faults.is_on = true;
    task = task_create(connects, &listener);
    do
        fd = task_accept(listener, NULL, NULL);
    while (is_fault(fd));
    drink(fd, 10);
    close_it(fd);
    close_it(listener);
    return task_await(task);
}

static int connections_by_tcp(void *arg)
{
    (void)arg;
    return let_connect(task_tcp_listen("127.0.0.1", "0", 1));
}

static int connections_by_local_sockets(void *arg)
{
    char name[40];

    (void)arg;
    snprintf(name, sizeof name, "@task-io-faults-%d", (int)getpid());
    return let_connect(task_unix_listen(name, 1));
}

/* The same row at places, and where the file is. */
static int files(void *arg)
{
    enum { N = 2000 };
    char got[N];
    int fd = make_file("");
    ssize_t done = 0;

    (void)arg;
    faults.is_on = true;
    while (done < N) {
        ssize_t n = task_pwrite(fd, row + done, (size_t)(N - done), done);

        if (!is_fault(n))
            done += n;
        if (checks_failed())
            return 0;
    }
    for (done = 0; done < N;) {
        ssize_t n = task_pread(fd, got + done, (size_t)(N - done), done);

        if (!is_fault(n))
            done += n;
        if (checks_failed())
            return 0;
    }
    CHECK(!memcmp(got, row, N));
    drink(fd, N);
    return pours(&(struct flow){fd, N});
}

/* A file that is sent to what the flow is poured into. */
struct sending {
    int file;
    int out;
    off_t n;
};

static int sends_a_file(void *arg)
{
    const struct sending *sending = arg;
    off_t offset = 0;

    while (offset < sending->n) {
        off_t before = offset;
        ssize_t n =
            task_sendfile(sending->out, sending->file, &offset, 1 << 20);

        CHECK_STATUS(offset - before, n > 0 ? n : 0);
        if (n <= 0 && !is_fault(n))
            break;
    }
    CHECK_STATUS(offset, sending->n);
    close_it(sending->out);
    return 0;
}

static int send_a_file(void (*open)(int pair[2]), off_t n)
{
    struct sending sending = {make_file(""), -1, faults.most ? 300 : n};
    int pair[2];
    struct task *task;

    CHECK_STATUS(pwrite(sending.file, row, (size_t)sending.n, 0), sending.n);
    open(pair);
    sending.out = pair[1];
    faults.is_on = true;
    task = task_create(sends_a_file, &sending);
    drink(pair[0], (size_t)sending.n);
    CHECK_STATUS(task_await(task), 0);
    close_it(pair[0]);
    close_it(sending.file);
    return 0;
}

static void make_free_tcp(int pair[2])
{
    make_tcp(pair);
    unblock(pair[1]);
}

static int a_file_by_tcp(void *arg)
{
    (void)arg;
    return send_a_file(make_free_tcp, sizeof row);
}

static int a_file_by_a_pipe(void *arg)
{
    (void)arg;
    return send_a_file(make_pipe, 70000);
}

/* Who waits hears of what comes: tasks, choices, callbacks. */

static int waits(void *arg)
{
    int result;

    do
        result = task_wait_fd(*(int *)arg, POLLIN);
    while (is_fault(result));
    CHECK_STATUS(result, POLLIN);
    return 0;
}

static int chooses(void *arg)
{
    struct task_select_case cases[] = {TASK_SELECT_FD(*(int *)arg, POLLIN)};
    int result;

    do
        result = task_select(cases, 1, TASK_FOREVER);
    while (is_fault(result));
    CHECK_STATUS(result, 0);
    return 0;
}

struct called {
    struct task_event event;
    int fd;
    unsigned n;
};

static void be_called(void *arg)
{
    struct called *called = arg;
    char byte;

    /* One call may be in vain, as an error has to be looked for. */
    if (__real_recv(called->fd, &byte, 1, MSG_DONTWAIT) != 1)
        CHECK(++called->n == 1);
    else
        task_event_set(&called->event);
}

static int readiness(void *arg)
{
    task_fn *const bodies[] = {waits, chooses};
    struct called called = {.n = 0};
    int pair[2];

    (void)arg;
    make_local(pair);
    for (int i = 0; i < 2; i++) {
        struct task *task;
        char byte;

        faults.is_on = true;
        task = test_start(bodies[i], &pair[0], NULL);
        faults.is_on = false;
        put(pair[1], "a");
        faults.is_on = true;
        CHECK_STATUS(task_await(task), 0);
        while (is_fault(task_read(pair[0], &byte, 1)))
            continue;
    }
    called.fd = pair[0];
    while (is_fault(loop_add_reader(pair[0], be_called, &called)))
        continue;
    faults.is_on = false;
    put(pair[1], "a");
    faults.is_on = true;
    CHECK_STATUS(task_event_wait(&called.event), 0);
    CHECK_STATUS(loop_remove_reader(pair[0]), 0);
    close_it(pair[0]);
    close_it(pair[1]);
    return 0;
}

/* A callback beside a task: what is watched changes, and changes again. */
static int a_callback_beside_a_task(void *arg)
{
    struct called called = {.n = 0};
    struct task *task;
    int pair[2];

    (void)arg;
    make_local(pair);
    fill(pair[1]);
    faults.is_on = true;
    task = test_start(writes, &pair[1], NULL);
    while (is_fault(loop_add_reader(pair[1], be_called, &called)))
        continue;
    CHECK_STATUS(loop_remove_reader(pair[1]), 0);
    faults.is_on = false;
    while (task_read(pair[0], (char[4096]){0}, 4096) == 4096)
        continue;
    faults.is_on = true;
    if (is_fault(task_await(task)))
        CHECK_STATUS(writes(&pair[1]), 1);
    record_clear();
    close_it(pair[0]);
    close_it(pair[1]);
    return 0;
}

struct scene {
    const char *name;
    task_fn *play;
    bool in_bytes; /* it may be played byte by byte */
};

#define SCENE(play, in_bytes)                                                  \
    {                                                                          \
#play, play, in_bytes                                                  \
    }

static const struct scene scenes[] = {
    SCENE(bytes_by_a_local_socket, true),
    SCENE(bytes_by_tcp, true),
    SCENE(bytes_by_a_pipe, true),
    SCENE(messages, false),
    SCENE(a_descriptor_by_message, false),
    SCENE(connections_by_tcp, true),
    SCENE(connections_by_local_sockets, true),
    SCENE(files, true),
    SCENE(a_file_by_tcp, true),
    SCENE(a_file_by_a_pipe, true),
    SCENE(readiness, false),
    SCENE(a_callback_beside_a_task, false),
};

enum { N_SCENES = sizeof scenes / sizeof *scenes };

static void play(const struct scene *scene, bool by_poll)
{
    struct loop_options options = test_options(NULL);
    size_t n_open = descriptors_open();
    int status;

    if (options.backend == LOOP_BACKEND_DEFAULT && by_poll)
        options.backend = LOOP_BACKEND_POLL;
    faults.n = faults.n_heard = 0;
    faults.has_failed = false;
    status = run_with(options, scene->play, NULL);
    faults.is_on = false;
    if (status || checks_failed())
        print_error("%s by %s: call %u of kind %d, errno %d\n", scene->name,
                    by_poll ? "poll" : "epoll", faults.at, (int)faults.call,
                    faults.error);
    assert_int_equal(status, 0);
    assert_checks();
    assert_int_equal(descriptors_open(), n_open);
}

static void no_faults(void)
{
    memset(&faults, 0, sizeof faults);
}

/* Have each call of a kind fail in turn; whether there are any. */
static bool sweep(const struct scene *scene, bool by_poll, enum call call,
                  int error)
{
    no_faults();
    faults.call = call;
    faults.error = error;
    do {
        faults.at++;
        play(scene, by_poll);
    } while (faults.has_failed);
    return faults.at > 1;
}

static void each_call_may_fail(void **state)
{
    bool is_short = test_rounds(50) == 1;
    unsigned n_errors = is_short ? 1 : ERRORS;

    (void)state;
    for (int i = 0; i < 2 * N_SCENES; i += is_short ? 3 : 1)
        for (int call = 0; call < N_CALLS; call++)
            for (unsigned j = 0; j < n_errors && errors[call][j]; j++)
                if (!sweep(&scenes[i / 2], i % 2, (enum call)call,
                           errors[call][j]))
                    break;
    no_faults();
}

static void calls_may_be_in_vain_at_random(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * N_SCENES * test_rounds(3); i++)
        for (int call = 0; call < N_CALLS; call++) {
            no_faults();
            faults.call = (enum call)call;
            faults.error = errors[call][i / 2 / N_SCENES % 2];
            faults.random.state = test_seed(i);
            if (faults.error == EINTR || faults.error == EAGAIN)
                play(&scenes[i / 2 % N_SCENES], i % 2);
        }
    no_faults();
}

static void each_byte_may_come_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * N_SCENES; i++) {
        no_faults();
        faults.call = N_CALLS;
        faults.most = 1;
        if (scenes[i / 2].in_bytes)
            play(&scenes[i / 2], i % 2);
    }
    no_faults();
}

/* Without an event to come what was drained may be there again. */
static int what_is_there_is_read_though_it_cannot_be_watched(void *arg)
{
    int pair[2];
    int fd;

    (void)arg;
    make_local(pair);
    fd = pair[0];
    no_faults();
    faults.call = CONTROL;
    faults.error = ENOSPC;
    for (int i = 0; i < 3 && is_epoll(); i++) {
        faults.at = faults.n + 1;
        faults.is_on = i > 0;
        if (i)
            CHECK_STATUS(reads(&fd), -ENOSPC);
        faults.at = faults.n + 1;
        put(pair[1], "ab");
        CHECK_STATUS(reads(&fd), 2);
    }
    faults.is_on = false;
    record_clear();
    close_both(pair);
    return 0;
}

/* What a number stands for is asked when it is first waited for, unless we have
 * made it. */

static int answers(void *arg)
{
    int fd = task_accept(*(int *)arg, NULL, NULL);
    char byte;

    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_write(fd, "a", 1), 1);
    CHECK_STATUS(task_read(fd, &byte, 1), 0);
    return task_close(fd);
}

static int whoever_connects_knows_to_what(void *arg)
{
    int listener = task_tcp_listen("127.0.0.1", "0", 1);
    struct task *task;
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    char port[8];
    char byte;
    int fd;

    (void)arg;
    CHECK_STATUS(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    snprintf(port, sizeof port, "%d", ntohs(addr.sin_port));
    no_faults();
    faults.call = OPTION;
    faults.is_on = true;
    fd = task_tcp_connect("127.0.0.1", port);
    task = task_create(answers, &listener);
    CHECK_STATUS(task_read(fd, &byte, 1), 1);
    faults.is_on = false;
    CHECK_STATUS(faults.n, 1); /* whether it is connected */
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(task_close(listener), 0);
    return task_await(task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(each_call_may_fail),
        behaviour(calls_may_be_in_vain_at_random),
        behaviour(each_byte_may_come_alone),
        everywhere(what_is_there_is_read_though_it_cannot_be_watched),
        everywhere(whoever_connects_knows_to_what),
    };

    fill_bytes(row, sizeof row, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
