/*
 * Waiting for the end of a server; and its steps.
 */
#include "server.h"
#include "text.h"

#include <errno.h>

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_server *server =
        container_of(waiter->node.list, const struct task_server, waiting);

    task__text_add(text, "%zu connections", server->n_connections);
    if (server->port >= 0)
        task__text_add(text, " of port %d", server->port);
    if (server->is_closed)
        task__text_add(text, ", closed");
}

static const struct wait_kind WAITING = {
    .verb = "waiting for the end of",
    .describe = describe,
};
static const struct wait_kind SERVING = {
    .verb = "serving",
    .describe = describe,
};

static struct connection *connection_at(struct list_node *node)
{
    return container_of(node, struct connection, node);
}

/* The server stays until leave(), if it is one to wait for. */
static ALWAYS_INLINE int hold(const char *call, struct task_server *server,
                              const struct task *self)
{
    if (!server || server->loop != loop_of_task(self))
        return misuse(call, -EINVAL, "the server is NULL or another loop's");
    if (task__server_is_handler(server, self))
        return misuse(call, -EDEADLK, "it was called in one of its handlers");
    server->n_calls++;
    return 0;
}

/* What every call that waits begins with. */
static ALWAYS_INLINE int enter(const char *call, struct task_server *server,
                               struct task **self)
{
    int error = task_enter_for(self, server ? server->loop : NULL, call);

    return error ? error : hold(call, server, *self);
}

static void leave(struct task_server *server)
{
    server->n_calls--;
    task__server_release(server);
}

/* Until it has ended, or then: 0, -ECANCELED or -ETIMEDOUT. */
static int await_end(struct task_server *server, struct task *self,
                     task_time when, const struct wait_kind *kind)
{
    if (server_has_ended(server))
        return 0;
    return task__park_in(&server->waiting, self, kind, when);
}

int task_server_wait_closed(struct task_server *server)
{
    struct task *self;
    int status = enter(__func__, server, &self);

    if (status)
        return status;
    status = await_end(server, self, TASK_FOREVER, &WAITING);
    if (!status)
        status = server->error;
    leave(server);
    return status;
}

/* `status` is not 0 if a request was there already. */
static int serve_forever(struct task_server *server, struct task *self,
                         int status)
{
    if (!status)
        status = await_end(server, self, TASK_FOREVER, &SERVING);
    if (!status)
        return server->error;
    task_server_close(server);
    await_end(server, self, TASK_FOREVER, &WAITING);
    return status;
}

int task_server_serve_forever(struct task_server *server)
{
    struct task *self;
    int request = task_enter_for(&self, server ? server->loop : NULL, __func__);
    int status = self ? hold(__func__, server, self) : request;

    if (status)
        return request ? request : status;
    if (server->is_serving && !request) {
        leave(server);
        return MISUSE(-EBUSY, "another task serves already");
    }
    server->is_serving = true;
    status = serve_forever(server, self, request);
    server->is_serving = false;
    leave(server);
    return status;
}

/* Do that to the stream of each connection whose descriptor is open. */
static ALWAYS_INLINE void each_stream(struct task_server *server,
                                      void (*fn)(struct connection *connection),
                                      const char *call)
{
    struct list_node *node = server ? server->connections.first : NULL;

    if (!server || loop_refuses(server->loop, call))
        return;
    for (; node; node = node->next) {
        struct connection *connection = connection_at(node);
        struct task_stream *stream = connection->owner.stream;

        if (stream && stream->fd >= 0)
            fn(connection);
    }
}

/* What it has received is read, then the end; what it has written is sent, as
 * it is when the stream is being closed. */
static void end(struct connection *connection)
{
    struct task_stream *stream = connection->owner.stream;
    int saved_errno = errno;

    if (stream->is_gone || stream_is_lost(stream))
        return;
    task__stream_end_input(stream);
    (void)task_stream_write_eof(stream);
    errno = saved_errno;
}

static void abort_now(struct connection *connection)
{
    connection->is_aborted = true;
    (void)task__stream_break(connection->owner.stream, -ECONNABORTED);
}

void task_server_close_clients(struct task_server *server)
{
    each_stream(server, end, __func__);
}

void task_server_abort_clients(struct task_server *server)
{
    each_stream(server, abort_now, __func__);
}

/* Until the end, but for so long at most. Without any time, a turn. */
static int await_end_for(struct task_server *server, struct task *self,
                         task_time grace)
{
    if (server_has_ended(server))
        return 0;
    if (grace > 0)
        return await_end(server, self,
                         scheduler_deadline(self->scheduler, grace), &WAITING);

    int status = task__yield(self);

    return status ? status : -ETIMEDOUT;
}

static void cancel_handlers(struct task_server *server)
{
    struct list_node *node = server->connections.first;

    for (; node; node = node->next)
        task_cancel(connection_at(node)->task);
}

static int shut_down(struct task_server *server, struct task *self,
                     task_time grace)
{
    int status;

    task_server_close(server);
    status = grace > 0 ? await_end_for(server, self, grace) : -ETIMEDOUT;
    if (status != -ETIMEDOUT)
        return status;
    cancel_handlers(server);
    status = task_check_requests(self); /* a handler may await this task */
    if (!status)
        status = await_end_for(server, self, grace);
    if (status != -ETIMEDOUT)
        return status;
    status = (int)server->n_connections;
    task_server_abort_clients(server);
    return status;
}

int task_server_shutdown(struct task_server *server, task_time grace)
{
    struct task *self;
    int status = enter(__func__, server, &self);

    if (status)
        return status;
    status = shut_down(server, self, grace);
    leave(server);
    return status;
}
