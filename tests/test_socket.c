/* Messages, accepting and connecting. */

/* The linker wraps: fcntl */

#include "everywhere.h"

#include "bodies.h"
#include "cancel_points.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void let_run(void)
{
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(is_real() ? task_sleep(TASK_MILLISECOND) : task_yield(),
                     0);
}

static void let_it_be_woken(void)
{
    while (!stats().ready)
        CHECK_STATUS(task_yield(), 0);
}

/* Bytes. */

struct receiving {
    int fd;
    int flags;
    size_t n;
};

static int receives(void *arg)
{
    struct receiving *receiving = arg;
    char buf[64] = "";
    ssize_t n = task_recv(receiving->fd, buf, receiving->n, receiving->flags);

    record("got %d %s", (int)n, buf);
    return (int)n;
}

static int streams_are_received_and_sent(void *arg)
{
    int pair[2];
    struct receiving receiving = {.n = 8};
    struct task *task;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        (i ? make_tcp : make_local)(pair);
        receiving.fd = pair[0];
        task = start(receives, &receiving);
        CHECK_STATUS(task_send(pair[1], "ab", 2, 0), 2);
        CHECK_STATUS(task_await(task), 2);
        task = start(receives, &receiving);
        CHECK_STATUS(task_recv(pair[0], &i, 1, 0), -EBUSY);
        CHECK_STATUS(task_cancel_await(task), -ECANCELED);
        CHECK_STATUS(task_sendto(pair[1], "cd", 2, 0, NULL, 0), 2);
        CHECK_STATUS(receives(&receiving), 2);
        CHECK_STATUS(task_recv(pair[0], NULL, 0, 0), 0);
        CHECK_STATUS(task_close(pair[1]), 0);
        CHECK_STATUS(receives(&receiving), 0);
        CHECK_RECORD("got 2 ab, got -125 , got 2 cd, got 0 ");
        CHECK_STATUS(task_close(pair[0]), 0);
    }
    return 0;
}

static int flags_are_obeyed(void *arg)
{
    int pair[2];
    struct receiving peek = {.flags = MSG_PEEK, .n = 8};
    struct receiving once = {.flags = MSG_DONTWAIT, .n = 8};
    struct task *task;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        (i ? make_tcp : make_local)(pair);
        peek.fd = once.fd = pair[0];
        peek.flags |= i ? MSG_NOSIGNAL : 0; /* as some write who mean no harm */
        CHECK_STATUS(receives(&once), -EAGAIN);
        task = start(receives, &peek);
        put(pair[1], "ab");
        CHECK_STATUS(task_await(task), 2);
        CHECK_STATUS(receives(&peek), 2);
        CHECK_STATUS(receives(&once), 2);
        CHECK_STATUS(receives(&once), -EAGAIN);
        fill(pair[1]);
        CHECK_STATUS(task_send(pair[1], "x", 1, MSG_DONTWAIT), -EAGAIN);
        CHECK_RECORD("got -11 , got 2 ab, got 2 ab, got 2 ab, got -11 ");
        close_both(pair);
    }
    return 0;
}

/* One asks for what is not there, which says nothing about what is. */
static int urgent_data_that_is_not_there_hides_nothing(void *arg)
{
    int pair[2];
    struct receiving urgent = {.flags = MSG_OOB, .n = 1};
    struct receiving errors = {.flags = MSG_ERRQUEUE, .n = 1};
    struct receiving plain = {.n = 8};

    (void)arg;
    make_tcp(pair);
    urgent.fd = errors.fd = plain.fd = pair[0];
    CHECK_STATUS(receives(&urgent), -EINVAL);
    CHECK_STATUS(receives(&errors), -EAGAIN);
    put(pair[1], "ab");
    CHECK_STATUS(receives(&plain), 2);
    put(pair[1], "cd");
    let_run();
    CHECK_STATUS(receives(&urgent), -EINVAL);
    CHECK_STATUS(receives(&errors), -EAGAIN);
    CHECK_STATUS(receives(&plain), 2);
    CHECK_RECORD("got -22 , got -11 , got 2 ab, got -22 , got -11 , got 2 cd");
    close_both(pair);
    return 0;
}

static int all_is_waited_for(void *arg)
{
    int pair[2];
    struct receiving all = {.flags = MSG_WAITALL, .n = 6};
    struct sockaddr_storage addr;
    struct task *task;
    char buf[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        (i ? make_tcp : make_local)(pair);
        all.fd = pair[0];
        all.flags = MSG_WAITALL | (i ? MSG_NOSIGNAL : 0);
        task = start(receives, &all);
        put(pair[1], "abc");
        let_run();
        CHECK(!task_done(task));
        put(pair[1], "defg");
        CHECK_STATUS(task_await(task), 6);
        put(pair[1], "hi");
        for (int j = 0; j < 2;
             j++) { /* nobody has sent it, as far as is known */
            socklen_t len = sizeof addr;

            CHECK_STATUS(task_recvfrom(pair[0], buf, 1, j ? MSG_WAITALL : 0,
                                       (struct sockaddr *)&addr, &len),
                         1);
            CHECK_STATUS(len, 0);
        }
        task = start(receives, &all);
        let_run();
        CHECK_STATUS(task_close(pair[1]), 0);
        CHECK_STATUS(task_await(task), 1);
        CHECK_RECORD("got 6 abcdef, got 1 i");
        CHECK_STATUS(task_close(pair[0]), 0);
    }
    return 0;
}

static int a_low_mark_is_waited_for(void *arg)
{
    int pair[2];
    int mark = 4;
    struct task *task;

    (void)arg;
    make_tcp(pair);
    CHECK_STATUS(
        setsockopt(pair[0], SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark), 0);
    task = start(reads, &pair[0]);
    put(pair[1], "ab");
    let_run();
    CHECK(!task_done(task));
    put(pair[1], "cd");
    CHECK_STATUS(task_await(task), 4);
    CHECK_RECORD("read 4 abcd");
    close_both(pair);
    return 0;
}

/* Datagrams. */

static int datagrams_are_received_one_by_one(void *arg)
{
    int pair[2];
    struct receiving receiving = {.n = 8};
    struct receiving all = {.flags = MSG_WAITALL, .n = 8};
    struct task *task;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        if (i)
            CHECK_STATUS(socketpair(AF_UNIX,
                                    (i == 1 ? SOCK_DGRAM : SOCK_SEQPACKET) |
                                        SOCK_CLOEXEC,
                                    0, pair),
                         0);
        else
            make_udp(pair);
        receiving.fd = all.fd = pair[0];
        task = start(receives, &receiving);
        for (int j = 0; j < 4; j++)
            CHECK_STATUS(task_write(pair[1], "ab", 2), 2);
        CHECK_STATUS(task_await(task), 2);
        CHECK_STATUS(reads(&pair[0]), 2);
        CHECK_STATUS(receives(&all), 2);
        receiving.n = 1;
        CHECK_STATUS(receives(&receiving), 1);
        receiving.n = 8;
        CHECK_STATUS(task_send(pair[1], "", 0, 0), 0);
        CHECK_STATUS(task_send(pair[1], "ef", 2, 0), 2);
        CHECK_STATUS(receives(&receiving), 0);
        CHECK_STATUS(receives(&receiving), 2);
        CHECK_RECORD(
            "got 2 ab, read 2 ab, got 2 ab, got 1 a, got 0 , got 2 ef");
        close_both(pair);
    }
    return 0;
}

static int sends_nothing(void *arg)
{
    int fd = *(int *)arg;
    ssize_t status = task_send(fd, "", 0, 0);

    if (!status)
        status = task_sendto(fd, "", 0, 0, NULL, 0);
    if (!status)
        status = task_sendmsg(fd, &(struct msghdr){.msg_name = NULL}, 0);
    return (int)status;
}

/* While it is known that a stream has no room, also while another task waits
 * for that. */
static int nothing_is_sent_without_room(void *arg)
{
    int pair[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task *writer;
        struct task *task;

        (i ? make_tcp : make_local)(pair);
        fill(pair[1]);
        writer = start(writes, &pair[1]);
        let_run();
        CHECK(!task_done(writer));
        CHECK_STATUS(sends_nothing(&pair[1]), 0);
        CHECK_STATUS(task_cancel_await(writer), -ECANCELED);
        task = start(sends_nothing, &pair[1]);
        CHECK(task_done(task));
        CHECK_STATUS(task_cancel_await(task), 0);
        close_both(pair);
    }
    record_clear();
    return 0;
}

/* A reader of what never runs dry lets others run. */
static int a_flood_starves_nobody(void *arg)
{
    enum { N = 200 };

    int pair[2];
    char buf[8];
    struct task *other;
    int n = 0;

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
                 0);
    for (int i = 0; i < N; i++)
        put(pair[1], "ab");
    other = task_create(yields, NULL);
    while (!task_done(other) && n < N) {
        CHECK_STATUS(task_recv(pair[0], buf, sizeof buf, 0), 2);
        n++;
    }
    CHECK(n >= 64 && n < N);
    CHECK_STATUS(task_await(other), 0);
    close_both(pair);
    return 0;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = port,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_udp(struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *addr;

    *addr = loopback(0);
    CHECK_STATUS(bind(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    CHECK_STATUS(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

static int datagrams_tell_who_sent_them(void *arg)
{
    struct sockaddr_in addr[2];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    int fds[2] = {open_udp(&addr[0]), open_udp(&addr[1])};
    char buf[8];

    (void)arg;
    CHECK_STATUS(task_sendto(fds[1], "ab", 2, 0, (struct sockaddr *)&addr[0],
                             sizeof addr[0]),
                 2);
    CHECK_STATUS(
        task_recvfrom(fds[0], buf, 8, 0, (struct sockaddr *)&from, &len), 2);
    CHECK_STATUS(len, sizeof from);
    CHECK(from.sin_port == addr[1].sin_port);
    len = 1;
    CHECK_STATUS(task_recvfrom(fds[0], buf, 8, MSG_DONTWAIT,
                               (struct sockaddr *)&from, &len),
                 -EAGAIN);
    CHECK_STATUS(len, 1);
    close_both(fds);
    return 0;
}

/* A datagram to nobody comes back as an error of the next call, once. */
static int an_error_of_a_datagram_is_told_once(void *arg)
{
    struct sockaddr_in addr;
    int pair[2];
    struct task *task;

    (void)arg;
    make_udp(pair);
    CHECK_STATUS(close(pair[1]), 0);
    task = start(reads, &pair[0]);
    CHECK_STATUS(task_write(pair[0], "a", 1), 1);
    CHECK_STATUS(task_await(task), -ECONNREFUSED);
    pair[1] = open_udp(&addr);
    CHECK_STATUS(connect(pair[0], (struct sockaddr *)&addr, sizeof addr), 0);
    task = start(reads, &pair[0]);
    let_run();
    CHECK(!task_done(task));
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_RECORD("read -111 , read -125 ");
    close_both(pair);
    return 0;
}

static struct sockaddr_un at_path(const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    snprintf(addr.sun_path, sizeof addr.sun_path, "/tmp/task-test-%d-%s",
             (int)getpid(), name);
    unlink(addr.sun_path);
    return addr;
}

static int open_local(int type, const char *name, struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    *addr = at_path(name);
    CHECK_STATUS(bind(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    return fd;
}

struct sending {
    int fd;
    struct sockaddr_un *addr;
};

static int sends_to(void *arg)
{
    struct sending *sending = arg;

    return (int)task_sendto(sending->fd, "x", 1, 0,
                            (struct sockaddr *)sending->addr,
                            sizeof *sending->addr);
}

/* The sender is ready all the time; it is the receiver that is full, of which no
 * event tells. */
static int a_full_receiver_of_datagrams_is_waited_for(void *arg)
{
    struct sockaddr_un addr;
    int receiver = open_local(SOCK_DGRAM, "datagrams", &addr);
    int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sending sending = {sender, &addr};
    struct task *task;
    uint64_t polls;
    char byte;

    (void)arg;
    do
        byte = sendto(sender, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&addr,
                      sizeof addr) == 1;
    while (byte);
    CHECK_STATUS(errno, EAGAIN);
    task = start(sends_to, &sending);
    polls = stats().polls;
    CHECK_STATUS(task_sleep(20 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - polls < 30);
    CHECK(!task_done(task));
    CHECK_STATUS(task_read(receiver, &byte, 1), 1);
    CHECK_STATUS(task_await(task), 1);
    task = start(sends_to, &sending);
    CHECK(!task_done(task));
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    task = start(sends_to, &sending);
    CHECK_STATUS(task_close(sender), 0);
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_STATUS(task_close(receiver), 0);
    CHECK_STATUS(unlink(addr.sun_path), 0);
    return 0;
}

static int writes_a_datagram(void *arg)
{
    return (int)task_write(*(int *)arg, "x", 1);
}

static int a_connected_sender_of_datagrams_waits(void *arg)
{
    int pair[2];
    struct task *task;

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    fill(pair[1]);
    task = start(writes_a_datagram, &pair[1]);
    let_run();
    CHECK(!task_done(task));
    while (!task_done(task)) {
        char byte;

        CHECK_STATUS(task_read(pair[0], &byte, 1), 1);
        let_run();
    }
    CHECK_STATUS(task_await(task), 1);
    close_both(pair);
    return 0;
}

/* Whoever does not wait is answered -EAGAIN for ever, while it is ready to be
 * read from. */
static int datagrams_end_with_a_shutdown(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int pair[2];
        struct receiving receiving = {.n = 8};
        struct task *task;

        if (i)
            make_udp(pair);
        else
            CHECK_STATUS(
                socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
        receiving.fd = pair[0];
        task = start(receives, &receiving);
        let_run();
        put(pair[1], "ab");
        CHECK_STATUS(poll(&(struct pollfd){pair[0], POLLIN, 0}, 1, 1000), 1);
        CHECK_STATUS(shutdown(pair[0], SHUT_RD), 0);
        CHECK_STATUS(task_await(task), 2);
        task = start(receives, &receiving);
        let_run();
        CHECK(task_done(task));
        CHECK_STATUS(task_cancel_await(task), 0);
        task = start(reads, &pair[0]);
        let_run();
        CHECK_STATUS(task_cancel_await(task), 0);
        CHECK_STATUS(task_recv(pair[0], &(char){0}, 1, MSG_ERRQUEUE), -EAGAIN);
        CHECK_STATUS(task_recv(pair[0], &(char){0}, 1, MSG_DONTWAIT), -EAGAIN);
        CHECK_RECORD("got 2 ab, got 0 , read 0 ");
        close_both(pair);
    }
    return 0;
}

/* Messages. */

static union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(2 * sizeof(int))];
} control;

static struct msghdr message_of(struct iovec *part)
{
    return (struct msghdr){.msg_iov = part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
}

static void send_descriptors(int fd, const int sent[2])
{
    struct iovec part = {text("ab"), 2};
    struct msghdr message = message_of(&part);

    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(&control.header), sent, 2 * sizeof(int));
    CHECK_STATUS(task_sendmsg(fd, &message, 0), 2);
}

static int receives_descriptors(void *arg)
{
    int *fds = arg;
    char buf[8];
    struct iovec part = {buf, sizeof buf};
    struct msghdr message = message_of(&part);
    ssize_t n = task_recvmsg(fds[0], &message, MSG_CMSG_CLOEXEC);

    CHECK_STATUS(control.header.cmsg_type, SCM_RIGHTS);
    memcpy(&fds[1], CMSG_DATA(&control.header), 2 * sizeof(int));
    return (int)n;
}

static int descriptors_come_with_messages(void *arg)
{
    int pair[2];
    int sent[2];
    int fds[3];
    struct task *task;

    (void)arg;
    make_local(pair);
    make_pipe(sent);
    fds[0] = pair[0];
    task = start(receives_descriptors, fds);
    send_descriptors(pair[1], sent);
    CHECK_STATUS(task_await(task), 2);
    task = start(reads, &fds[1]);
    CHECK_STATUS(task_write(sent[1], "cd", 2), 2);
    CHECK_STATUS(task_await(task), 2);
    send_descriptors(pair[1], sent);
    put(pair[1], "ef");
    CHECK_STATUS(reads(&pair[0]), 2); /* without room for them */
    CHECK_STATUS(reads(&pair[0]), 2);
    CHECK_RECORD("read 2 cd, read 2 ab, read 2 ef");
    close_both(sent);
    close_both(&fds[1]);
    close_both(pair);
    return 0;
}

/* The numbers that they get have been others' before. */
static int descriptors_that_come_are_new(void *arg)
{
    int pair[2];
    int old[2];
    int sent[2];
    int fds[3];
    char buf[8];

    (void)arg;
    make_local(pair);
    make_pipe(sent);
    make_local(old);
    put(old[1], "ab");
    CHECK_STATUS(task_read(old[0], buf, sizeof buf), 2);
    CHECK_STATUS(task_cancel_await(start(reads, &old[0])), -ECANCELED);
    put(sent[1], "cd");
    send_descriptors(pair[1], sent);
    close(old[0]);
    close(old[1]);
    fds[0] = pair[0];
    CHECK_STATUS(receives_descriptors(fds), 2);
    CHECK(fds[1] == old[0] || fds[2] == old[0]);
    CHECK_STATUS(reads(&fds[1]), 2);
    CHECK_RECORD("read -125 , read 2 cd");
    close_both(sent);
    close_both(&fds[1]);
    close_both(pair);
    return 0;
}

static int what_is_no_socket_is_refused(void *arg)
{
    int pair[2];
    int file = make_file("abc");
    char byte = 0;

    (void)arg;
    make_pipe(pair);
    CHECK_STATUS(task_recv(pair[0], &byte, 1, 0), -ENOTSOCK);
    CHECK_STATUS(task_send(pair[1], &byte, 1, 0), -ENOTSOCK);
    CHECK_STATUS(task_recv(file, &byte, 1, 0), -ENOTSOCK);
    CHECK_STATUS(task_accept(file, NULL, NULL), -ENOTSOCK);
    CHECK_STATUS(task_accept(pair[0], NULL, NULL), -ENOTSOCK);
    CHECK_STATUS(task_connect(file,
                              (struct sockaddr *)&(struct sockaddr_in){
                                  .sin_family = AF_INET},
                              sizeof(struct sockaddr_in)),
                 -ENOTSOCK);
    CHECK_STATUS(task_recv(-1, &byte, 1, 0), -EBADF);
    CHECK_STATUS(task_accept(-1, NULL, NULL), -EBADF);
    CHECK_STATUS(task_connect(-1, NULL, 0), -EBADF);
    CHECK_STATUS(task_close(file), 0);
    close_both(pair);
    return 0;
}

/* Connections. */

static int open_listener(struct sockaddr_in *addr, int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    socklen_t len = sizeof *addr;

    *addr = loopback(0);
    CHECK_STATUS(bind(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    CHECK_STATUS(listen(fd, 16), 0);
    CHECK_STATUS(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

struct accepted {
    int fd;
    struct sockaddr_in addr;
    socklen_t len;
};

static int accepts(void *arg)
{
    struct accepted *accepted = arg;
    int fd = task_accept(accepted->fd, (struct sockaddr *)&accepted->addr,
                         &accepted->len);

    record("accepted %s", fd < 0 ? task_strerror(fd) : "one");
    return fd;
}

static int connects(struct sockaddr_in *addr, int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    CHECK_STATUS(task_connect(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    CHECK_STATUS(fcntl(fd, F_GETFL) & O_NONBLOCK, flags ? O_NONBLOCK : 0);
    return fd;
}

static int connections_are_accepted(void *arg)
{
    struct sockaddr_in addr;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        int flags = i ? SOCK_NONBLOCK : 0;
        struct accepted accepted = {.fd = open_listener(&addr, flags),
                                    .len = sizeof accepted.addr};
        struct task *task = start(accepts, &accepted);
        int ends[2];
        struct sockaddr_in own;
        socklen_t len = sizeof own;

        ends[0] = connects(&addr, flags);
        ends[1] = task_await(task);
        CHECK(ends[1] >= 0);
        CHECK(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(ends[1], F_GETFD) & FD_CLOEXEC);
        CHECK_STATUS(fcntl(accepted.fd, F_GETFL) & O_NONBLOCK,
                     flags ? O_NONBLOCK : 0);
        CHECK_STATUS(getsockname(ends[0], (struct sockaddr *)&own, &len), 0);
        CHECK(own.sin_port == accepted.addr.sin_port);
        CHECK_STATUS(task_write(ends[0], "ab", 2), 2);
        CHECK_STATUS(reads(&ends[1]), 2);
        CHECK_RECORD("accepted one, read 2 ab");
        close_both(ends);
        CHECK_STATUS(task_close(accepted.fd), 0);
    }
    return 0;
}

static int accepting_ends_with_a_shutdown(void *arg)
{
    struct sockaddr_un addr;
    struct accepted accepted = {.fd = open_local(SOCK_STREAM, "shut", &addr)};
    struct task *task;

    (void)arg;
    CHECK_STATUS(listen(accepted.fd, 1), 0);
    task = start(accepts, &accepted);
    let_run();
    CHECK(!task_done(task));
    CHECK_STATUS(shutdown(accepted.fd, SHUT_RD), 0);
    let_run();
    CHECK_STATUS(task_cancel_await(task), -EINVAL);
    CHECK_RECORD("accepted Invalid argument");
    CHECK_STATUS(task_close(accepted.fd), 0);
    CHECK_STATUS(unlink(addr.sun_path), 0);
    return 0;
}

static int a_second_accept_is_refused(void *arg)
{
    struct sockaddr_in addr;
    struct accepted accepted = {.fd = open_listener(&addr, 0),
                                .len = sizeof accepted.addr};
    struct task *task = start(accepts, &accepted);

    (void)arg;
    CHECK_STATUS(task_accept(accepted.fd, NULL, NULL), -EBUSY);
    CHECK_STATUS(task_close(accepted.fd), 0);
    CHECK_STATUS(task_await(task), -EBADF);
    record_clear();
    return 0;
}

static int connect_now(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_STATUS(connect(fd, (const struct sockaddr *)addr, sizeof *addr), 0);
    return fd;
}

static int a_cancelled_accept_leaves_the_connection(void *arg)
{
    struct sockaddr_in addr;
    struct accepted accepted = {.fd = open_listener(&addr, SOCK_NONBLOCK),
                                .len = sizeof accepted.addr};
    struct task *task = start(accepts, &accepted);
    int ends[2];

    (void)arg;
    task_cancel(task);
    ends[0] = connect_now(&addr);
    CHECK_STATUS(task_await(task), -ECANCELED);
    let_run();
    ends[1] = accepts(&accepted);
    CHECK(ends[1] >= 0);
    close_both(ends);
    CHECK_STATUS(stats().watched_fds, 0);
    CHECK_STATUS(task_close(accepted.fd), 0);
    CHECK_RECORD("accepted cancelled, accepted one");
    return 0;
}

/* Nothing will come by which to hear of it. */
static int what_was_read_empty_is_refused_at_once(void *arg)
{
    int pipe[2];
    int pair[2];
    struct receiving receiving = {.n = 1};
    struct accepted accepted = {.len = 0};

    (void)arg;
    make_pipe(pipe);
    make_local(pair);
    CHECK_STATUS(task_cancel_await(start(reads, &pipe[0])), -ECANCELED);
    receiving.fd = accepted.fd = pipe[0];
    CHECK_STATUS(task_await_for(start(receives, &receiving), TASK_SECOND),
                 -ENOTSOCK);
    CHECK_STATUS(task_await_for(start(accepts, &accepted), TASK_SECOND),
                 -ENOTSOCK);
    put(pair[1], "ab");
    CHECK_STATUS(reads(&pair[0]), 2);
    accepted.fd = pair[0];
    CHECK_STATUS(task_await_for(start(accepts, &accepted), TASK_SECOND),
                 -EINVAL);
    CHECK_RECORD("read -125 , got -88 , accepted Socket operation on "
                 "non-socket, read 2 ab, accepted Invalid argument");
    close_both(pipe);
    close_both(pair);
    return 0;
}

/* Two loops, of two threads, take connections from one blocking socket. While
 * the first has it non-blocking, the second has a moment to look at its flags;
 * if it does, it goes on when that is over. */

static struct {
    int fd; /* -1: they have met */
    sem_t is_changed;
    sem_t is_seen;
    sem_t is_back;
} meeting = {.fd = -1};

static _Thread_local bool is_second;

static void wait_a_moment(sem_t *semaphore)
{
    struct timespec limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += 50 * TASK_MILLISECOND;
    limit.tv_sec += limit.tv_nsec / TASK_SECOND;
    limit.tv_nsec %= TASK_SECOND;
    sem_timedwait(semaphore, &limit);
}

int __real_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value)
{
    bool is_one = fd == __atomic_load_n(&meeting.fd, __ATOMIC_ACQUIRE);
    bool sees = is_one && is_second && command == F_GETFL;
    bool changes = is_one && !is_second && command == F_SETFL;
    bool ends = changes && !(value & O_NONBLOCK);
    int result;

    if (ends)
        wait_a_moment(&meeting.is_seen);
    result = __real_fcntl(fd, command, value);
    if (changes && !ends)
        sem_post(&meeting.is_changed);
    if (ends) {
        __atomic_store_n(&meeting.fd, -1, __ATOMIC_RELEASE);
        sem_post(&meeting.is_back);
    }
    if (sees) {
        sem_post(&meeting.is_seen);
        sem_wait(&meeting.is_back);
    }
    return result;
}

static int takes_one(void *arg)
{
    return task_accept(*(int *)arg, NULL, NULL);
}

static int waits_for_one(void *arg)
{
    struct task *task = task_create(takes_one, arg);

    return task_await_for(task, 10 * TASK_MILLISECOND) == -ETIMEDOUT ? 0 : -1;
}

static void *accept_first(void *arg)
{
    return loop_run(waits_for_one, arg) ? arg : NULL;
}

static void *accept_second(void *arg)
{
    is_second = true;
    sem_wait(&meeting.is_changed);
    return accept_first(arg);
}

static void loops_of_two_threads_may_accept_from_one(void **state)
{
    struct sockaddr_in addr;
    struct timespec limit;
    pthread_t threads[2];
    void *failed[2];
    int error;
    int fd = open_listener(&addr, 0);

    (void)state;
    sem_init(&meeting.is_changed, 0, 0);
    sem_init(&meeting.is_seen, 0, 0);
    sem_init(&meeting.is_back, 0, 0);
    meeting.fd = fd;
    pthread_create(&threads[0], NULL, accept_first, &fd);
    pthread_create(&threads[1], NULL, accept_second, &fd);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 5;
    error = pthread_timedjoin_np(threads[1], &failed[1], &limit);
    if (error) { /* let it go */
        close(connect_now(&addr));
        pthread_join(threads[1], &failed[1]);
    }
    pthread_join(threads[0], &failed[0]);
    assert_int_equal(error, 0);
    assert_null(failed[0]);
    assert_null(failed[1]);
    assert_false(__real_fcntl(fd, F_GETFL, 0) & O_NONBLOCK);
    close(fd);
}

static int accepts_and_yields(void *arg)
{
    int fd = accepts(arg);

    record("then %d", task_yield());
    return fd;
}

static int a_connection_that_came_first_is_delivered(void *arg)
{
    struct sockaddr_in addr;
    struct accepted accepted = {.fd = open_listener(&addr, SOCK_NONBLOCK),
                                .len = sizeof accepted.addr};
    struct task *task = start(accepts_and_yields, &accepted);
    int ends[2];

    (void)arg;
    ends[0] = connect_now(&addr);
    let_it_be_woken();
    task_cancel(task);
    ends[1] = task_await(task);
    CHECK(ends[1] >= 0);
    close_both(ends);
    CHECK_STATUS(task_close(accepted.fd), 0);
    CHECK_RECORD("accepted one, then -125");
    return 0;
}

static int several_connections_are_accepted_at_one_event(void *arg)
{
    struct sockaddr_in addr;
    struct accepted accepted = {.fd = open_listener(&addr, SOCK_NONBLOCK),
                                .len = sizeof accepted.addr};
    struct task *task = start(accepts, &accepted);
    int ends[3][2];

    (void)arg;
    for (int i = 0; i < 3; i++)
        ends[i][0] = connect_now(&addr);
    ends[0][1] = task_await(task);
    ends[1][1] = accepts(&accepted);
    ends[2][1] = accepts(&accepted);
    for (int i = 0; i < 3; i++)
        close_both(ends[i]);
    task = start(accepts, &accepted);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(task_close(accepted.fd), 0);
    CHECK_RECORD("accepted one, accepted one, accepted one, "
                 "accepted cancelled");
    return 0;
}

static int nobody_listens(void *arg)
{
    struct sockaddr_in addr;
    int listener = open_listener(&addr, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arg;
    CHECK_STATUS(close(listener), 0);
    CHECK_STATUS(task_connect(fd, (struct sockaddr *)&addr, sizeof addr),
                 -ECONNREFUSED);
    CHECK_STATUS(stats().watched_fds, 0);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    CHECK_STATUS(task_close(fd), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_STATUS(task_connect(fd, (struct sockaddr *)&addr, 1), -EINVAL);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

/* A listener whose backlog is full: further ones have to go on trying. */
struct crowd {
    int listener;
    int fds[8];
    int n;
    struct sockaddr_in addr;
};

static void fill_backlog(struct crowd *crowd)
{
    crowd->listener = open_listener(&crowd->addr, SOCK_NONBLOCK);
    CHECK_STATUS(listen(crowd->listener, 0), 0);
    for (crowd->n = 0; crowd->n < 8; crowd->n++) {
        struct pollfd connected = {.events = POLLOUT};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        crowd->fds[crowd->n] = connected.fd = fd;
        connect(fd, (struct sockaddr *)&crowd->addr, sizeof crowd->addr);
        if (!poll(&connected, 1, 20))
            break;
    }
}

static void disperse(struct crowd *crowd)
{
    for (int i = 0; i <= crowd->n && i < 8; i++)
        CHECK_STATUS(task_close(crowd->fds[i]), 0);
    CHECK_STATUS(task_close(crowd->listener), 0);
}

struct connecting {
    int fd;
    struct sockaddr_in addr;
};

static int connects_one(void *arg)
{
    struct connecting *connecting = arg;

    return task_connect(connecting->fd, (struct sockaddr *)&connecting->addr,
                        sizeof connecting->addr);
}

static int who_was_refused_may_try_again(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in addr;
        int listener = open_listener(&addr, 0);
        int fd = socket(
            AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (i ? SOCK_NONBLOCK : 0), 0);
        int one = 1;

        CHECK_STATUS(close(listener), 0);
        for (int j = 0; j < 3; j++)
            CHECK_STATUS(
                task_connect(fd, (struct sockaddr *)&addr, sizeof addr),
                -ECONNREFUSED);
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_STATUS(
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one),
            0);
        CHECK_STATUS(bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
        CHECK_STATUS(listen(listener, 1), 0);
        CHECK_STATUS(task_connect(fd, (struct sockaddr *)&addr, sizeof addr),
                     0);
        CHECK_STATUS(task_close(fd), 0);
        CHECK_STATUS(task_close(listener), 0);
    }
    return 0;
}

/* As by the system call: that of nothing too. */
static int a_send_waits_for_the_connection(void *arg)
{
    struct crowd crowd;

    (void)arg;
    fill_backlog(&crowd);
    if (crowd.n == 8)
        return -ENOTSUP;
    for (int i = 0; i < 2; i++) {
        struct task *task = start(sends_nothing, &crowd.fds[crowd.n]);

        let_run();
        CHECK(!task_done(task));
        CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    }
    disperse(&crowd);
    return 0;
}

static int a_cancelled_connect_can_be_gone_on_with(void *arg)
{
    struct crowd crowd;
    struct connecting connecting;
    struct task *task;

    (void)arg;
    if (is_real())
        return 0; /* it takes a second until the system tries again */
    fill_backlog(&crowd);
    connecting.fd = crowd.fds[crowd.n];
    connecting.addr = crowd.addr;
    if (crowd.n == 8)
        return -ENOTSUP;
    task = start(connects_one, &connecting);
    CHECK(!task_done(task));
    CHECK_STATUS(stats().watched_fds, 1);
    CHECK_STATUS(task_connect(connecting.fd,
                              (struct sockaddr *)&connecting.addr,
                              sizeof connecting.addr),
                 -EBUSY);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(stats().watched_fds, 0);
    for (int i = 0; i < crowd.n; i++)
        CHECK_STATUS(task_close(task_accept(crowd.listener, NULL, NULL)), 0);
    CHECK_STATUS(connects_one(&connecting), 0);
    CHECK_STATUS(task_write(connecting.fd, "a", 1), 1);
    disperse(&crowd);
    return 0;
}

static int closing_ends_a_connect(void *arg)
{
    struct crowd crowd;
    struct connecting connecting;
    struct task *task;

    (void)arg;
    fill_backlog(&crowd);
    connecting.fd = crowd.fds[crowd.n];
    connecting.addr = crowd.addr;
    task = start(connects_one, &connecting);
    CHECK(!task_done(task));
    disperse(&crowd);
    CHECK_STATUS(task_await(task), -EBADF);
    return 0;
}

struct local_connecting {
    int fd;
    struct sockaddr_un addr;
};

static int connects_locally(void *arg)
{
    struct local_connecting *connecting = arg;

    return task_connect(connecting->fd, (struct sockaddr *)&connecting->addr,
                        sizeof connecting->addr);
}

/* Of which no event tells. */
static int a_full_local_listener_is_waited_for(void *arg)
{
    struct local_connecting connecting[3];
    struct sockaddr_un addr;
    int listener = open_local(SOCK_STREAM, "stream", &addr);
    struct task *task;
    uint64_t polls;

    (void)arg;
    CHECK_STATUS(listen(listener, 0), 0);
    for (int i = 0; i < 3; i++) {
        connecting[i].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        connecting[i].addr = addr;
    }
    CHECK_STATUS(connects_locally(&connecting[0]), 0);
    task = start(connects_locally, &connecting[1]);
    polls = stats().polls;
    CHECK_STATUS(task_sleep(20 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - polls < 30);
    CHECK(!task_done(task));
    CHECK_STATUS(task_close(task_accept(listener, NULL, NULL)), 0);
    CHECK_STATUS(task_await(task), 0);
    task = start(connects_locally, &connecting[2]);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    task = start(connects_locally, &connecting[2]);
    CHECK_STATUS(task_close(connecting[2].fd), 0);
    CHECK_STATUS(task_await(task), -EBADF);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(task_close(connecting[i].fd), 0);
    CHECK_STATUS(task_close(listener), 0);
    CHECK_STATUS(unlink(addr.sun_path), 0);
    return 0;
}

/* Many times, cancelled at random: what was opened is always told. */
static int accepts_at_random(void *arg)
{
    struct accepted *accepted = arg;
    int fd = task_accept(accepted->fd, NULL, NULL);

    return fd >= 0 ? task_close(fd) : fd;
}

static int cancelled_accepts_leak_nothing(void *arg)
{
    struct sockaddr_in addr;
    struct accepted accepted = {.fd = open_listener(&addr, SOCK_NONBLOCK)};
    unsigned n = test_rounds(500);

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        struct task *task = start(accepts_at_random, &accepted);
        int fd = connect_now(&addr);
        int status;

        for (unsigned j = 0; j < i % 3; j++)
            CHECK_STATUS(task_yield(), 0);
        status = task_cancel_await(task);
        CHECK(status == 0 || status == -ECANCELED);
        if (status == -ECANCELED)
            CHECK_STATUS(accepts_at_random(&accepted), 0);
        CHECK_STATUS(task_close(fd), 0);
    }
    CHECK_STATUS(task_close(accepted.fd), 0);
    return 0;
}

/* Cancelled everywhere. */

static int accepts_and_answers(void *arg)
{
    int fd = task_accept(*(int *)arg, NULL, NULL);
    char byte;

    if (fd < 0)
        return fd;
    if (task_recv(fd, &byte, 1, 0) == 1)
        task_send(fd, &byte, 1, 0);
    return task_close(fd);
}

static int connects_and_asks(void *arg)
{
    struct sockaddr_in addr;
    int listener = open_listener(&addr, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct task *server = task_create(accepts_and_answers, &listener);
    char byte = 'a';

    (void)arg;
    if (!task_connect(fd, (struct sockaddr *)&addr, sizeof addr) &&
        task_send(fd, &byte, 1, 0) == 1)
        task_recv(fd, &byte, 1, MSG_WAITALL);
    task_close(fd);
    task_cancel_await(server);
    CHECK_STATUS(task_close(listener), 0);
    return 0;
}

static void everything_may_be_cancelled_anywhere(void **state)
{
    (void)state;
    assert_true(cancel_at_every_point(connects_and_asks, NULL, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(streams_are_received_and_sent),
        everywhere(flags_are_obeyed),
        everywhere(urgent_data_that_is_not_there_hides_nothing),
        everywhere(all_is_waited_for),
        everywhere(a_low_mark_is_waited_for),
        everywhere(datagrams_are_received_one_by_one),
        everywhere(nothing_is_sent_without_room),
        everywhere(a_flood_starves_nobody),
        everywhere(datagrams_tell_who_sent_them),
        everywhere(an_error_of_a_datagram_is_told_once),
        everywhere(a_full_receiver_of_datagrams_is_waited_for),
        everywhere(a_connected_sender_of_datagrams_waits),
        everywhere(datagrams_end_with_a_shutdown),
        everywhere(descriptors_come_with_messages),
        everywhere(descriptors_that_come_are_new),
        everywhere(what_is_no_socket_is_refused),
        everywhere(connections_are_accepted),
        everywhere(accepting_ends_with_a_shutdown),
        everywhere(a_second_accept_is_refused),
        everywhere(a_cancelled_accept_leaves_the_connection),
        everywhere(what_was_read_empty_is_refused_at_once),
        behaviour(loops_of_two_threads_may_accept_from_one),
        everywhere(a_connection_that_came_first_is_delivered),
        everywhere(several_connections_are_accepted_at_one_event),
        everywhere(nobody_listens),
        everywhere(who_was_refused_may_try_again),
        everywhere(a_send_waits_for_the_connection),
        everywhere(a_cancelled_connect_can_be_gone_on_with),
        everywhere(closing_ends_a_connect),
        everywhere(a_full_local_listener_is_waited_for),
        everywhere(cancelled_accepts_leak_nothing),
        behaviour(everything_may_be_cancelled_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
