/*
 * Servers: started, closed, freed.
 */
#include "server.h"

#include "loop_above.h"
#include "report.h"

#include <errno.h>

static bool is_bad(const struct task_server_options *options)
{
    bool has_name = options->host || options->service;

    return !options->handler || options->fd < 0 ||
           (options->path && !*options->path) ||
           has_name + !!options->path + !!options->fd != 1 ||
           (options->stack_size && options->stack_size < TASK_STACK_MIN);
}

static NEVER_INLINE int start(const struct task_server_options *options,
                              struct task_server *server)
{
    int error = task__server_begin(server);

    if (!error)
        return 0;
    if (options->fd)
        server->listeners[0].fd = -1;
    task_server_free(server);
    return error;
}

/* The body of all that start one. */
static ALWAYS_INLINE int start_server(const char *call,
                                      struct task_server **server,
                                      const struct task_server_options *options,
                                      const char *file, int line)
{
    struct task_server *opened;
    struct task *self;
    int error = task_enter_in(&self, call);

    if (error)
        return error;
    if (!server || !options || is_bad(options))
        return misuse(call, -EINVAL,
                      "there is no handler, or not one place to listen at");
    error = task__server_open(options, loop_of_task(self), &opened);
    if (!error)
        error = start(options, opened);
    if (error)
        return error;
    opened->file = file;
    opened->line = line;
    *server = opened;
    return 0;
}

int task_start_server_with_at(struct task_server **server,
                              const struct task_server_options *options,
                              const char *file, int line)
{
    return start_server("task_start_server_with", server, options, file, line);
}

int(task_start_server_with)(struct task_server **server,
                            const struct task_server_options *options)
{
    return task_start_server_with_at(server, options, NULL, 0);
}

int task_start_server_at(struct task_server **server, const char *host,
                         const char *service, task_stream_fn *handler,
                         void *arg, const char *file, int line)
{
    const struct task_server_options options = {
        .host = host, .service = service, .handler = handler, .arg = arg};

    return start_server("task_start_server", server, &options, file, line);
}

int(task_start_server)(struct task_server **server, const char *host,
                       const char *service, task_stream_fn *handler, void *arg)
{
    return task_start_server_at(server, host, service, handler, arg, NULL, 0);
}

int task_start_unix_server_at(struct task_server **server, const char *path,
                              task_stream_fn *handler, void *arg,
                              const char *file, int line)
{
    const struct task_server_options options = {
        .path = path, .handler = handler, .arg = arg};

    return start_server("task_start_unix_server", server, &options, file, line);
}

int(task_start_unix_server)(struct task_server **server, const char *path,
                            task_stream_fn *handler, void *arg)
{
    return task_start_unix_server_at(server, path, handler, arg, NULL, 0);
}

int task_server_port(const struct task_server *server)
{
    return server ? server->port : MISUSE(-EINVAL, "the server is NULL");
}

int task_server_fd(const struct task_server *server, size_t i)
{
    if (!server)
        return MISUSE(-EINVAL, "the server is NULL");
    return i < server->n_listeners && server->listeners[i].fd >= 0
               ? server->listeners[i].fd
               : -ENOENT;
}

void task__server_release(struct task_server *server)
{
    struct allocator *allocator = &server->loop->allocator;

    if (!server->is_freed || server->n_connections || server->n_calls)
        return;
    list_remove(&server->node);
    memory_free(allocator, server->path);
    memory_free(allocator, server);
}

void task__server_tell(struct task_server *server)
{
    if (!server_has_ended(server))
        return;
    wake_all(&server->waiting, 0);
}

void task__server_fail(struct task_server *server, int error)
{
    if (!server->error)
        server->error = error;
    task_server_close(server);
}

void task_server_close(struct task_server *server)
{
    if (!server || LOOP_REFUSES(server->loop))
        return;
    server->is_closed = true;
    task__server_stop_listening(server);
    task__server_tell(server);
}

void task_server_free(struct task_server *server)
{
    if (!server || LOOP_REFUSES(server->loop))
        return;
    task_server_close(server);
    server->is_freed = true;
    task__server_release(server);
}

static struct task_server *server_at(struct list_node *node)
{
    return container_of(node, struct task_server, node);
}

/* The sockets alone: those that wait for its end are told by a request. */
void task__servers_stop(struct loop *loop)
{
    for (struct list_node *node = loop->servers.first; node; node = node->next)
        task__server_stop_listening(server_at(node));
}

/* The hook may free those that it is told of, and others: until all was told of
 * they stay, as while a call is under way. */
void task__servers_tell(struct loop *loop)
{
    struct list_node *node;

    for (node = loop->servers.first; node; node = node->next)
        server_at(node)->n_calls = 1;
    for (node = loop->servers.first; node; node = node->next)
        if (!server_at(node)->is_closed)
            task__report_leak(loop, "a server", server_at(node)->file,
                              server_at(node)->line);
}

void task__servers_destroy(struct loop *loop)
{
    struct list_node *node;

    while ((node = loop->servers.first)) {
        server_at(node)->is_freed = true;
        server_at(node)->n_connections = 0;
        server_at(node)->n_calls = 0;
        task__server_release(server_at(node));
    }
}
