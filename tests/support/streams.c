#include "streams.h"

#include "descriptors.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t n_before;

int streams_setup(void **state)
{
    n_before = descriptors_open();
    return record_setup(state);
}

int streams_teardown(void **state)
{
    CHECK_STATUS(descriptors_open(), n_before);
    return record_teardown(state);
}

void connect_tcp(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_STATUS(bind(listener, (void *)&address, size), 0);
    CHECK_STATUS(listen(listener, 1), 0);
    CHECK_STATUS(getsockname(listener, (void *)&address, &size), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_STATUS(connect(fds[0], (void *)&address, size), 0);
    fds[1] = accept(listener, NULL, NULL);
    CHECK(fds[1] >= 0);
    close(listener);
}

static struct pair open_pair(const int fds[2])
{
    struct pair pair = {task_stream_open(fds[0]), task_stream_open(fds[1])};

    CHECK(pair.a && pair.b);
    return pair;
}

static struct half open_half(int stream_fd, int fd)
{
    struct half half = {task_stream_open(stream_fd), fd};

    CHECK(half.s);
    CHECK_STATUS(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    return half;
}

struct pair socket_pair(void)
{
    int fds[2];

    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    return open_pair(fds);
}

struct pair tcp_pair(void)
{
    int fds[2];

    connect_tcp(fds);
    return open_pair(fds);
}

struct pair pipe_pair(void)
{
    int fds[2];

    CHECK_STATUS(pipe(fds), 0);
    return open_pair(fds);
}

struct half socket_half(void)
{
    int fds[2];

    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    return open_half(fds[0], fds[1]);
}

struct half tcp_half(void)
{
    int fds[2];

    connect_tcp(fds);
    return open_half(fds[0], fds[1]);
}

struct half pipe_reader_half(void)
{
    int fds[2];

    CHECK_STATUS(pipe(fds), 0);
    return open_half(fds[0], fds[1]);
}

struct half pipe_writer_half(void)
{
    int fds[2];

    CHECK_STATUS(pipe(fds), 0);
    return open_half(fds[1], fds[0]);
}

void close_pair(struct pair pair)
{
    CHECK_STATUS(task_stream_close(pair.a), 0);
    CHECK_STATUS(task_stream_close(pair.b), 0);
}

void close_half(struct half half)
{
    CHECK_STATUS(task_stream_close(half.s), 0);
    CHECK_STATUS(close(half.fd), 0);
}

void say(int fd, const char *text)
{
    CHECK_STATUS(write(fd, text, strlen(text)), strlen(text));
}

long hear(int fd, char *buf, size_t n)
{
    size_t got = 0;
    ssize_t result = 1;

    while (got < n && (result = read(fd, buf + got, n - got)) > 0)
        got += (size_t)result;
    if (!got && (!result || (result < 0 && errno != EAGAIN)))
        return -1;
    return (long)got;
}

size_t drain_raw(int fd)
{
    static char buf[65536];
    size_t all = 0;
    long n;

    while ((n = hear(fd, buf, sizeof buf)) > 0)
        all += (size_t)n;
    return all;
}

struct choked choked_half(void)
{
    static const char block[1024];
    struct half half = socket_half();
    struct choked choked = {half.s, half.fd, 0, 0};
    int fd = task_stream_fd(half.s);
    int small = 1;
    ssize_t n;

    CHECK_STATUS(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small),
                 0);
    while ((n = send(fd, block, sizeof block, MSG_DONTWAIT)) > 0)
        choked.junk += (size_t)n;
    return choked;
}

bool choked_read(struct choked *choked)
{
    static char buf[65536];
    long n = hear(choked->fd, buf, sizeof buf);
    size_t junk = n > 0 && (size_t)n < choked->junk ? (size_t)n : choked->junk;

    if (n <= 0)
        return false;
    choked->junk -= junk;
    CHECK(are_bytes(buf + junk, (size_t)n - junk, choked->got));
    choked->got += (size_t)n - junk;
    return true;
}

void choked_read_all(struct choked *choked)
{
    int n_silent = 0;

    while (n_silent < 3) {
        n_silent = choked_read(choked) ? 0 : n_silent + 1;
        CHECK_STATUS(task_sleep(1), 0);
    }
}

void close_choked(struct choked *choked)
{
    task_stream_abort(choked->s);
    CHECK_STATUS(close(choked->fd), 0);
}

int write_row(struct task_stream *s, size_t first, size_t n)
{
    char *data = malloc(n);
    int result;

    fill_bytes(data, n, first);
    result = task_stream_write(s, data, n);
    memset(data, 0, n);
    free(data);
    return result;
}

char byte_at(size_t i)
{
    return (char)(i % 251 + i / 251 % 256 + i / 64256);
}

void fill_bytes(char *buf, size_t n, size_t first)
{
    for (size_t i = 0; i < n; i++)
        buf[i] = byte_at(first + i);
}

bool are_bytes(const char *buf, size_t n, size_t first)
{
    size_t i = 0;

    while (i < n && buf[i] == byte_at(first + i))
        i++;
    return i == n;
}
