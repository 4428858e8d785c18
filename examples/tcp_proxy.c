/*
 * tcp_proxy: pass connections on to another server.
 *
 * Each connection is two tasks in a group, one a direction. What one side ends
 * is ended towards the other, and the other direction goes on; if one fails,
 * the group cancels the other.
 *
 * usage: tcp_proxy <port> <target host> <target port>
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <task.h>

struct target {
    const char *port; /* where we listen */
    const char *host;
    const char *service;
};

struct direction {
    struct task_stream *from;
    struct task_stream *to;
};

static int copy(void *arg)
{
    const struct direction *direction = arg;
    char buf[16384];
    ssize_t n;

    while ((n = task_stream_read(direction->from, buf, sizeof buf)) > 0) {
        int status = task_stream_write(direction->to, buf, (size_t)n);

        if (status < 0)
            return status;
    }
    return n < 0 ? (int)n : task_stream_write_eof(direction->to);
}

static int join(struct task_stream *client, struct task_stream *server)
{
    struct direction up = {client, server};
    struct direction down = {server, client};
    struct task_group group;

    task_group_begin(&group);
    task_group_start(&group, copy, &up);
    task_group_start(&group, copy, &down);
    return task_group_end(&group, 0);
}

/* What goes wrong with one connection is told, and ends that one only. */
static int pass_on(struct task_stream *client, void *arg)
{
    const struct target *target = arg;
    struct task_stream *server;
    int status = task_open_connection(&server, target->host, target->service);

    if (!status) {
        status = join(client, server);
        if (status < 0)
            task_stream_abort(server);
        else
            task_stream_close(server);
    }
    if (status < 0 && status != -ECANCELED)
        fprintf(stderr, "%s %s: %s\n", target->host, target->service,
                task_strerror(status));
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
