/*
 * Accepting connections, and serving each in a task of its own.
 */
#include "report.h"
#include "server.h"
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* How long a server pauses that is short of descriptors or memory. */
#define PAUSE (100 * TASK_MILLISECOND)

static bool is_full(const struct task_server *server)
{
    return server->n_connections >= server->max_connections;
}

/* Have it accept in the next turn. */
static void queue(struct listener *listener)
{
    if (listener->is_queued)
        return;
    listener->is_queued = true;
    listener->server->n_calls++;
    loop_queue(listener->server->loop, &listener->ready);
}

static void queue_all(struct task_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++)
        if (server->listeners[i].fd >= 0)
            queue(&server->listeners[i]);
}

static void hear(struct observer *observer, short events)
{
    struct listener *listener =
        container_of(observer, struct listener, observer);

    if (events & POLLNVAL) { /* the number is somebody else's */
        listener->server->loop->n_sources--;
        listener->is_observed = false;
        listener->fd = -1;
        listener->is_lost = true;
    }
    queue(listener);
}

static int observe(struct listener *listener)
{
    int error = 0;

    if (!listener->is_observed)
        error = task__fd_observe(listener->server->loop, listener->descriptor,
                                 INCOMING, &listener->observer);
    listener->is_observed |= !error;
    return error;
}

void task__server_observe_no_more(struct listener *listener)
{
    if (listener->is_observed)
        task__fd_observe_no_more(listener->server->loop, listener->descriptor,
                                 INCOMING);
    listener->is_observed = false;
}

static void go_on(struct timer *timer)
{
    queue_all(container_of(timer, struct task_server, pause));
}

void task__server_end_pause(struct task_server *server)
{
    task__timer_cancel(&server->loop->timers, &server->pause);
}

/* Short of something: others shall go on, and may give some back. */
static void take_pause(const struct listener *listener, int error)
{
    struct task_server *server = listener->server;
    struct loop *loop = server->loop;

    for (size_t i = 0; i < server->n_listeners; i++)
        task__server_observe_no_more(&server->listeners[i]);
    if (!timer_armed(&server->pause)) {
        server->pause.fire = go_on;
        task__timer_arm(&loop->timers, &server->pause,
                        clock_after(task__clock_now(&loop->clock), PAUSE));
    }
    if (!server->is_short)
        task__report_accept(loop, listener->fd, error);
    server->is_short = true;
}

/* The connection ends with its handler, whose task is none from now on. */
static void end_connection(struct connection *connection)
{
    struct task_server *server = connection->server;
    bool was_full = is_full(server);

    connection->task->arg = NULL;
    if (connection->owner.stream)
        connection->owner.stream->owner = NULL;
    list_remove(&connection->node);
    server->n_connections--;
    pool_put(&server->loop->record_pool, connection);
    if (was_full && !timer_armed(&server->pause))
        queue_all(server);
    task__server_tell(server);
    task__server_release(server);
}

/* A handler's task. What it leaves is closed: if it says that it was cancelled,
 * at once; else requests that it did not hear do not end that, only later ones
 * do, and the one by which the loop ends. */
static int serve(void *arg)
{
    struct connection *connection = arg;
    struct task_server *server = connection->server;
    int status = server->handler(connection->owner.stream, server->arg);
    struct task_stream *left;

    if (is_failure(status) &&
        !(status == -ECONNABORTED && connection->is_aborted))
        task__report_handler(connection->task, status);
    if (!connection->task->ending)
        task_take_requests(connection->task);
    left = connection->owner.stream;
    if (left && !left->is_gone && status == -ECANCELED)
        task_stream_abort(left);
    else if (left && !left->is_gone)
        task_stream_close(left);
    end_connection(connection);
    return status;
}

bool task__server_is_handler(const struct task_server *server,
                             const struct task *task)
{
    const struct connection *connection = task->arg;

    return task->fn == serve && connection && connection->server == server;
}

static void name(const struct task_server *server, struct task *task)
{
    unsigned long long number = server->n_served;
    char text[64];

    if (!server->loop->debug)
        return;
    if (server->port >= 0)
        snprintf(text, sizeof text, "server :%d client %llu", server->port,
                 number);
    else
        snprintf(text, sizeof text, "server %.30s client %llu",
                 server->path ? server->path : "", number);
    task_set_name(task, text);
}

static struct task *create_task_of(struct connection *connection)
{
    const struct task_options options = {.stack_size =
                                             connection->server->stack_size};
    struct task *task =
        (task_create_with)(serve, connection,
                           options.stack_size ? &options : NULL);

    if (task) {
        task->was_read = true; /* what it fails with is reported by itself */
        connection->server->n_served++;
        connection->task = task;
        name(connection->server, task);
        task_detach(task);
    }
    return task;
}

/* Have a new connection served. -ENOMEM: its descriptor stays open. */
static int welcome(struct task_server *server, struct connection *connection,
                   int fd)
{
    enum descriptor_kind kind =
        server->port >= 0 ? DESCRIPTOR_TCP : DESCRIPTOR_STREAM;
    struct loop *loop = server->loop;
    struct task_stream *stream = task__stream_new(loop, fd, kind);

    if (!stream)
        return -ENOMEM;
    connection->server = server;
    connection->is_aborted = false;
    stream_set_owner(stream, &connection->owner);
    if (!create_task_of(connection)) {
        stream->fd = -1;
        task__stream_free(stream);
        return -ENOMEM;
    }
    connection->node.list = NULL;
    list_append(&server->connections, &connection->node);
    server->n_connections++;
    return 0;
}

/* Under the lowest number that is free: low ones, which others had meanwhile,
 * need no more memory. */
static int lower(int fd)
{
    int low = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int high = low < fd ? fd : low;

    if (low < 0)
        return fd;
    close(high);
    return high == fd ? low : fd;
}

/* The one that was kept, or another; its descriptor, or a negative errno. */
static int take_next(struct listener *listener)
{
    int fd = listener->kept;

    listener->kept = -1;
    if (fd >= 0)
        return lower(fd);
    fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        fd = -errno;
    return fd == -EAGAIN && fd_is_shut(listener->descriptor) ? -EINVAL : fd;
}

/* Accept one; 0, or a negative errno. Where there is no memory for it, it is
 * kept until there is. */
static int accept_one(struct listener *listener)
{
    struct task_server *server = listener->server;
    struct pool *pool = &server->loop->record_pool;
    struct connection *connection = pool_get(pool);
    int fd;
    int error;

    if (!connection)
        return -ENOMEM;
    fd = take_next(listener);
    error = fd < 0 ? fd : welcome(server, connection, fd);
    if (error)
        pool_put(pool, connection);
    if (error && fd >= 0)
        listener->kept = fd;
    return error;
}

/* Whether it is not the listening socket's. */
static bool is_of_connection(int error)
{
    return socket_error_is_of_connection(error) || error == -EINTR ||
           error == -EPERM || error == -ETIMEDOUT || error == -ECONNRESET;
}

static bool is_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS ||
           error == -ENOMEM || error == -ENOSPC;
}

/* What an error of accepting leads to, that is not one of a connection. */
static void stop_at(struct listener *listener, int error)
{
    struct task_server *server = listener->server;

    if (error == -EAGAIN)
        error = observe(listener);
    if (!error)
        return;
    if (is_shortage(error))
        take_pause(listener, error);
    else
        task__server_fail(server, error == -ENOTSOCK ? -EBADF : error);
}

/* Accept what is there, but let others run after a batch. One in which there
 * were errors only does not begin anew at once: there might be no end to it. */
static void accept_some(struct listener *listener)
{
    struct task_server *server = listener->server;
    unsigned n_accepted = 0;
    int error = 0;

    for (unsigned i = 0; i < server->batch; i++) {
        if (is_full(server)) {
            task__server_observe_no_more(listener);
            return;
        }
        error = accept_one(listener);
        if (!error) {
            n_accepted++;
            server->is_short = false;
        } else if (!is_of_connection(error)) {
            stop_at(listener, error);
            return;
        }
    }
    if (n_accepted)
        queue(listener);
    else
        take_pause(listener, error);
}

/* Whether somebody else has its number, also since the event was met. */
static bool is_lost(const struct listener *listener)
{
    return listener->is_lost ||
           (listener->fd >= 0 && !task__server_owns(listener));
}

static void run(struct ready *ready)
{
    struct listener *listener = container_of(ready, struct listener, ready);
    struct task_server *server = listener->server;

    listener->is_queued = false;
    server->loop->n_queued--;
    if (!server->is_closed && is_lost(listener))
        task__server_fail(server, -EBADF);
    else if (listener->fd >= 0 && !timer_armed(&server->pause))
        accept_some(listener);
    server->n_calls--;
    task__server_release(server);
}

int task__server_begin(struct task_server *server)
{
    struct descriptors *table = &server->loop->poller->descriptors;
    int error = 0;

    for (size_t i = 0; i < server->n_listeners && !error; i++) {
        struct listener *listener = &server->listeners[i];

        listener->observer.ready = hear;
        listener->ready.run = run;
        if (listener->fd < 0)
            continue;
        error =
            task__descriptors_get(table, listener->fd, &listener->descriptor);
        listener->inode = task__fd_inode(listener->fd);
        if (!error)
            error = observe(listener);
    }
    if (!error)
        queue_all(server);
    return error;
}
