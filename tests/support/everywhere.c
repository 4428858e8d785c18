#include "everywhere.h"

#include "descriptors.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop_options now;

bool is_epoll(void)
{
    return now.backend != LOOP_BACKEND_POLL;
}

bool is_real(void)
{
    return now.clock == LOOP_CLOCK_REAL;
}

static int run_one(void *arg)
{
    task_fn **fn = arg;
    struct loop_stats stats;
    int status = (*fn)(NULL);

    loop_get_stats(loop_current(), &stats);
    CHECK_STATUS(stats.watched_fds, 0);
    return status;
}

void run_everywhere(void **state)
{
    struct loop_options options = test_options(NULL);
    bool has_backend = options.backend != LOOP_BACKEND_DEFAULT;

    for (int i = 0; i < 4; i++) {
        size_t n_open = descriptors_open();
        int status;

        if (i >= 2 && has_backend)
            break;
        now = options;
        if (!has_backend)
            now.backend = i < 2 ? LOOP_BACKEND_DEFAULT : LOOP_BACKEND_POLL;
        now.clock = i % 2 ? LOOP_CLOCK_REAL : LOOP_CLOCK_VIRTUAL;
        status = run_with(now, run_one, *state);
        if (status || checks_failed() || n_open != descriptors_open())
            print_error("%s, %s clock: status %d\n",
                        is_epoll() ? "epoll" : "poll",
                        is_real() ? "real" : "virtual", status);
        assert_int_equal(status, 0);
        assert_record("");
        assert_checks();
        assert_int_equal(n_open, descriptors_open());
    }
}

void make_local(int pair[2])
{
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

/* With room for little, so that it is soon full. */
static int small_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    int size = 1 << 16;

    CHECK_STATUS(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    CHECK_STATUS(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    return fd;
}

static int socket_at_loopback(int type, struct sockaddr_in *addr)
{
    int fd = small_socket(type);
    socklen_t len = sizeof *addr;

    *addr = (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_STATUS(bind(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    CHECK_STATUS(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

void make_tcp(int pair[2])
{
    struct sockaddr_in addr;
    int listener = socket_at_loopback(SOCK_STREAM, &addr);

    CHECK_STATUS(listen(listener, 1), 0);
    pair[0] = small_socket(SOCK_STREAM);
    CHECK_STATUS(connect(pair[0], (struct sockaddr *)&addr, sizeof addr), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(pair[1] >= 0);
    close(listener);
}

void make_udp(int pair[2])
{
    struct sockaddr_in addr[2];

    for (int i = 0; i < 2; i++)
        pair[i] = socket_at_loopback(SOCK_DGRAM, &addr[i]);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(
            connect(pair[i], (struct sockaddr *)&addr[!i], sizeof addr[!i]), 0);
}

void make_local_at(int number, int pair[2])
{
    make_local(pair);
    if (pair[0] == number)
        return;
    if (pair[1] == number)
        pair[1] = dup(number);
    CHECK_STATUS(dup2(pair[0], number), number);
    CHECK_STATUS(close(pair[0]), 0);
    pair[0] = number;
}

void make_pipe(int pair[2])
{
    CHECK_STATUS(pipe2(pair, O_CLOEXEC), 0);
}

void close_both(const int pair[2])
{
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
}

int make_file(const char *contents)
{
    char name[] = "/tmp/task-test-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);

    CHECK(fd >= 0);
    unlink(name);
    put(fd, contents);
    CHECK_STATUS(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

void put(int fd, const char *bytes)
{
    CHECK_STATUS(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
}

void take(int fd, const char *bytes)
{
    char buf[256] = "";
    size_t n = 0;

    while (n < strlen(bytes)) {
        ssize_t some = read(fd, buf + n, strlen(bytes) - n);

        if (some <= 0)
            break;
        n += (size_t)some;
    }
    CHECK_STATUS(n, strlen(bytes));
    CHECK(!memcmp(buf, bytes, strlen(bytes)));
}

void unblock(int fd)
{
    CHECK_STATUS(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

int reads(void *arg)
{
    char buf[32] = "";
    ssize_t n = task_read(*(int *)arg, buf, sizeof buf - 1);

    record("read %d %s", (int)n, buf);
    return (int)n;
}

int writes(void *arg)
{
    ssize_t n = task_write(*(int *)arg, "x", 1);

    record("wrote %d", (int)n);
    return (int)n;
}

size_t fill(int fd)
{
    static char block[1 << 16];
    int flags = fcntl(fd, F_GETFL);
    size_t size = 0;
    ssize_t n;

    CHECK_STATUS(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while ((n = write(fd, block, sizeof block)) > 0)
        size += (size_t)n;
    while ((n = write(fd, block, 1)) > 0)
        size += (size_t)n;
    CHECK_STATUS(errno, EAGAIN);
    CHECK_STATUS(fcntl(fd, F_SETFL, flags), 0);
    return size;
}
