/*
 * tcp_proxy: pass connections on to another server.
 *
 * Each connection is two tasks in a group, one a direction. What one side ends
 * is ended towards the other, and the other direction goes on; if one fails,
 * the group cancels the other, and both sides see a reset: so what was cut off
 * does not look complete. A target that does not answer is given up after five
 * seconds; until then a client that has left is not missed.
 *
 * usage: tcp_proxy <port> <target host> <target port>
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <task.h>

struct target {
    const char *port; /* where we listen */
    const char *host;
    const char *service;
};

struct side {
    struct task_stream *stream;
    const struct target *target; /* NULL: the client */
};

struct direction {
    const struct side *from, *to;
};

/* Of the side that it comes from; passes a status on. */
static int complain(const struct target *target, int status)
{
    if (status == 0 || status == -ECANCELED)
        return status;
    if (target)
        fprintf(stderr, "%s %s: %s\n", target->host, target->service,
                task_strerror(status));
    else
        fprintf(stderr, "client: %s\n", task_strerror(status));
    return status;
}

static int copy(void *arg)
{
    const struct direction *direction = arg;
    const struct side *from = direction->from, *to = direction->to;
    char buf[16384];
    ssize_t n;
    int status = 0;

    while (!status && (n = task_stream_read(from->stream, buf, sizeof buf)) > 0)
        status = task_stream_write(to->stream, buf, (size_t)n);
    if (!status && n < 0)
        return complain(from->target, (int)n);
    if (!status)
        status = task_stream_write_eof(to->stream);
    return complain(to->target, status);
}

static int join(const struct side *client, const struct side *server)
{
    struct direction up = {client, server};
    struct direction down = {server, client};
    struct task_group group;
    int status;

    task_group_begin(&group);
    status = task_group_start(&group, copy, &up);
    if (!status)
        status = task_group_start(&group, copy, &down);
    return task_group_end(&group, status);
}

static int reach(struct task_stream **server, const struct target *target)
{
    struct task_timeout timeout;

    task_timeout_begin(&timeout, 5 * TASK_SECOND);
    return task_timeout_end(
        &timeout, task_open_connection(server, target->host, target->service));
}

static void reset(struct task_stream *stream)
{
    const struct linger none = {.l_onoff = 1};

    setsockopt(task_stream_fd(stream), SOL_SOCKET, SO_LINGER, &none,
               sizeof none);
    task_stream_abort(stream);
}

/* What goes wrong with one connection is told, and ends that one only. */
static int pass_on(struct task_stream *stream, void *arg)
{
    struct side client = {.stream = stream};
    struct side server = {.target = arg};
    int status = complain(server.target, reach(&server.stream, server.target));

    if (!status) {
        status = join(&client, &server);
        if (status < 0)
            reset(server.stream);
        else
            status = complain(server.target, task_stream_close(server.stream));
    }
    if (status < 0)
        reset(client.stream);
    return status == -ECANCELED ? status : 0;
}

static int serve(void *arg)
{
    struct target *target = arg;
    struct task_server *server;
    int status =
        task_start_server(&server, NULL, target->port, pass_on, target);

    if (status < 0)
        return status;
    printf("listening on port %d\n", task_server_port(server));
    fflush(stdout);
    status = task_server_serve_forever(server);
    task_server_free(server);
    return status;
}

int main(int argc, char *argv[])
{
    struct target target;
    int status;

    if (argc != 4) {
        fprintf(stderr, "usage: %s <port> <target host> <target port>\n",
                argv[0]);
        return 2;
    }
    target = (struct target){argv[1], argv[2], argv[3]};
    status = loop_run(serve, &target);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
