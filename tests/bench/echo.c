/*
 * A TCP echo server, to be driven by echo_load: a task a connection.
 *
 * usage: echo <port> read | stream
 *
 * read: by task_read and task_write; stream: by streams, in a server.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <task.h>
#include <unistd.h>

static int serve_by_read(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[4096];
    ssize_t n;

    while ((n = task_read(fd, buf, sizeof buf)) > 0)
        if (task_write_all(fd, buf, (size_t)n) != n)
            break;
    return task_close(fd);
}

static int serve_by_stream(struct task_stream *stream, void *arg)
{
    char buf[4096];
    ssize_t n;

    (void)arg;
    while ((n = task_stream_read(stream, buf, sizeof buf)) > 0)
        if (task_stream_write(stream, buf, (size_t)n))
            break;
    return 0;
}

static int run_by_stream(void *arg)
{
    struct task_server *server;
    int status =
        task_start_server(&server, "127.0.0.1", arg, serve_by_stream, NULL);

    return status ? status : task_server_serve_forever(server);
}

static int listen_at(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) ||
        listen(fd, 4096))
        return -1;
    return fd;
}

static int accept_by_read(void *arg)
{
    int listener = listen_at(*(int *)arg);
    int one = 1;

    if (listener < 0) {
        perror("echo");
        return 1;
    }
    for (;;) {
        int fd = task_accept(listener, NULL, NULL);

        if (fd < 0)
            return fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        task_detach(task_create(serve_by_read, (void *)(intptr_t)fd));
    }
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    bool by_stream = argc == 3 && !strcmp(argv[2], "stream");
    int status;

    if (argc != 3 || (!by_stream && strcmp(argv[2], "read") != 0)) {
        fprintf(stderr, "usage: %s <port> read | stream\n", argv[0]);
        return 2;
    }
    status = by_stream ? loop_run(run_by_stream, argv[1])
                       : loop_run(accept_by_read, &port);
    if (status < 0)
        fprintf(stderr, "echo: %s\n", task_strerror(status));
    return status != 0;
}
