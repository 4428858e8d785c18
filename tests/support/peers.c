#include "peers.h"

#include "record.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int port_of_fd(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    socklen_t size = sizeof name;

    CHECK_STATUS(getsockname(fd, &name.any, &size), 0);
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port
                                                : name.v4.sin_port);
}

static int connect_to(int port)
{
    char service[16];

    snprintf(service, sizeof service, "%d", port);
    return task_tcp_connect("127.0.0.1", service);
}

int dial(int port)
{
    int fd = connect_to(port);

    if (fd < 0)
        CHECK_STATUS(fd, 0);
    return fd;
}

int dial_at_once(int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons((in_port_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_STATUS(connect(fd, (const void *)&name, sizeof name), 0);
    return fd;
}

int try_port(int port)
{
    int fd = connect_to(port);

    if (fd < 0)
        return fd;
    task_close(fd);
    return 0;
}

void send_text(int fd, const char *text)
{
    CHECK_STATUS(task_write_all(fd, text, strlen(text)), strlen(text));
}

void expect_text(int fd, const char *text)
{
    char buf[256] = "";

    CHECK_STATUS(task_read_full(fd, buf, strlen(text)), strlen(text));
    CHECK(!strcmp(buf, text));
}

void expect_end(int fd, int status)
{
    char byte;

    CHECK_STATUS(task_read(fd, &byte, 1), status);
    CHECK_STATUS(task_close(fd), 0);
}

void reset(int fd)
{
    struct linger now = {.l_onoff = 1};

    CHECK_STATUS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    CHECK_STATUS(task_close(fd), 0);
}

void expect_echo(int fd)
{
    send_text(fd, "hello\n");
    expect_text(fd, "hello\n");
    CHECK_STATUS(task_close(fd), 0);
}

static void do_nothing(void *arg)
{
    (void)arg;
}

void open_poller(void)
{
    int pair[2];

    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_STATUS(loop_add_reader(pair[0], do_nothing, NULL), 0);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
}

int echoes(struct task_stream *stream, void *arg)
{
    const char *line;
    ssize_t n;

    (void)arg;
    while ((n = task_stream_read_line(stream, &line)) > 0) {
        int status = task_stream_write(stream, line, (size_t)n);

        if (status)
            return status;
    }
    return (int)n;
}

int holds_on(struct task_stream *stream, void *arg)
{
    char byte;

    (void)arg;
    return (int)task_stream_read(stream, &byte, 1);
}
