/*
 * The sockets of a server: opened, all or none, and closed.
 */
#include "address.h"
#include "endpoint.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* No more are accepted in a row, whatever the backlog. */
enum { BATCH_MOST = 64 };

/* How often another port is tried, when one is free in one family only. */
enum { PORTS_TRIED = 32 };

static in_port_t *port_of(union address *address)
{
    return address->any.sa_family == AF_INET6 ? &address->ip6.sin6_port
                                              : &address->ip4.sin_port;
}

static struct task_server *make(const struct task_server_options *options,
                                struct loop *loop, size_t n)
{
    size_t size = sizeof(struct task_server) + n * sizeof(struct listener);
    struct task_server *server = memory_get(&loop->allocator, size);
    int backlog = options->backlog;

    if (!server)
        return NULL;
    memset(server, 0, size);
    server->loop = loop;
    server->handler = options->handler;
    server->arg = options->arg;
    server->stack_size = options->stack_size;
    server->max_connections =
        options->max_connections ? options->max_connections : SIZE_MAX;
    server->batch =
        backlog > 0 && backlog < BATCH_MOST ? (unsigned)backlog : BATCH_MOST;
    server->port = -EAFNOSUPPORT;
    server->n_listeners = n;
    for (size_t i = 0; i < n; i++)
        server->listeners[i] =
            (struct listener){.server = server, .fd = -1, .kept = -1};
    list_append(&loop->servers, &server->node);
    return server;
}

/* The port of a socket; or a negative errno. */
static int port_at(int fd)
{
    union address address;
    socklen_t size = sizeof address;

    if (getsockname(fd, &address.any, &size))
        return -errno;
    if (address.any.sa_family != AF_INET && address.any.sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    return ntohs(*port_of(&address));
}

/* Close those that are open, and nothing else. */
static void close_all(struct task_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++) {
        if (server->listeners[i].fd >= 0)
            task_close(server->listeners[i].fd);
        server->listeners[i].fd = -1;
    }
}

/* The address, with that port instead of 0. */
static struct addrinfo with_port(const struct addrinfo *address, int port,
                                 union address *copy)
{
    struct addrinfo result = *address;

    memcpy(copy, address->ai_addr, address->ai_addrlen);
    if (port > 0)
        *port_of(copy) = htons((in_port_t)port);
    result.ai_addr = &copy->any;
    return result;
}

/* Bind to one more address. */
static int add(struct task_server *server, size_t i,
               const struct addrinfo *address, const struct binding *binding)
{
    union address copy;
    struct addrinfo at = with_port(address, server->port, &copy);
    int fd = task__address_bind(&at, binding);

    if (fd < 0)
        return fd;
    server->listeners[i].fd = fd;
    if (server->port < 0)
        server->port = port_at(fd);
    return server->port < 0 ? server->port : 0;
}

/* Whether an address is there already: some lists have one twice. */
static bool is_again(const struct addrinfo *list,
                     const struct addrinfo *address)
{
    while (list != address &&
           (list->ai_addrlen != address->ai_addrlen ||
            memcmp(list->ai_addr, address->ai_addr, address->ai_addrlen)))
        list = list->ai_next;
    return list != address;
}

/* Bind to all that this machine has, or to none. */
static int bind_all(struct task_server *server, const struct addrinfo *list,
                    const struct binding *binding)
{
    const struct addrinfo *at = list;
    size_t n = 0;
    int missing = 0;
    int error = 0;

    server->port = -EAFNOSUPPORT;
    for (; at && !error; at = at->ai_next) {
        if (is_again(list, at))
            continue;
        error = add(server, n, at, binding);
        n += !error;
        if (address_is_missing(error)) {
            missing = error;
            error = 0;
        }
    }
    if (!error && !n)
        error = missing;
    if (error)
        close_all(server);
    return error;
}

static bool has_any_port(const struct addrinfo *list)
{
    union address copy;

    with_port(list, 0, &copy);
    return !*port_of(&copy);
}

static NEVER_INLINE int bind_to_list(struct task_server *server,
                                     const struct task_server_options *options,
                                     const struct addrinfo *list)
{
    struct binding binding = {.type = SOCK_STREAM,
                              .backlog = options->backlog,
                              .reuse_port = options->reuse_port};
    int saved_errno = errno;
    int n_tries = has_any_port(list) ? PORTS_TRIED : 1;
    int error;

    do
        error = bind_all(server, list, &binding);
    while (error == -EADDRINUSE && --n_tries);
    errno = saved_errno;
    return error;
}

static int open_hosts(const struct task_server_options *options,
                      struct loop *loop, struct task_server **server)
{
    struct addrinfo *list;
    size_t n = 0;
    int error = task__address_look_up(options->host, options->service,
                                      SOCK_STREAM, &list);

    if (error)
        return error;
    for (struct addrinfo *at = list; at; at = at->ai_next)
        n++;
    *server = make(options, loop, n);
    error = *server ? bind_to_list(*server, options, list) : -ENOMEM;
    freeaddrinfo(list);
    return error;
}

static NEVER_INLINE int open_path(const struct task_server_options *options,
                                  struct loop *loop,
                                  struct task_server **server)
{
    int saved_errno = errno;
    int fd = -ENOMEM;

    *server = make(options, loop, 1);
    if (*server && !options->keep_path) {
        (*server)->path =
            task__memory_copy_string(&loop->allocator, options->path);
        if (!(*server)->path)
            return -ENOMEM;
    }
    if (*server)
        fd = task__unix_listen(options->path, options->backlog,
                               &(*server)->socket);
    errno = saved_errno;
    if (fd < 0)
        return fd;
    (*server)->listeners[0].fd = fd;
    return 0;
}

/* 0: a stream socket that nobody waits for. */
static int check(struct loop *loop, int fd)
{
    struct descriptor *descriptor;
    int type = 0;
    socklen_t size = sizeof type;
    int error = fd_get(loop, fd, &descriptor);

    if (error)
        return error;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
        return -errno;
    if (type != SOCK_STREAM)
        return -EINVAL;
    return task__fd_check_idle(loop, descriptor);
}

static int prepare(struct loop *loop, int fd, int backlog)
{
    int flags = fcntl(fd, F_GETFL);
    int error = flags < 0 ? -errno : task__address_listen(fd, backlog);

    if (error)
        return error;
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    task__fd_opened(loop, fd, DESCRIPTOR_UNKNOWN);
    return 0;
}

static NEVER_INLINE int open_fd(const struct task_server_options *options,
                                struct loop *loop, struct task_server **server)
{
    int saved_errno = errno;
    int error = check(loop, options->fd);

    if (!error) {
        *server = make(options, loop, 1);
        error =
            *server ? prepare(loop, options->fd, options->backlog) : -ENOMEM;
    }
    if (!error) {
        (*server)->listeners[0].fd = options->fd;
        (*server)->port = port_at(options->fd);
    }
    errno = saved_errno;
    return error;
}

int task__server_open(const struct task_server_options *options,
                      struct loop *loop, struct task_server **server)
{
    int error;

    *server = NULL;
    if (options->path)
        error = open_path(options, loop, server);
    else if (options->fd)
        error = open_fd(options, loop, server);
    else
        error = open_hosts(options, loop, server);
    if (error && *server)
        task_server_free(*server);
    return error;
}

bool task__server_owns(const struct listener *listener)
{
    return listener->fd >= 0 &&
           (!listener->inode ||
            listener->inode == task__fd_inode(listener->fd));
}

static void stop(struct listener *listener)
{
    task__server_observe_no_more(listener);
    if (task__server_owns(listener))
        task_close(listener->fd);
    listener->fd = -1;
    if (listener->kept >= 0)
        task_close(listener->kept);
    listener->kept = -1;
}

/* The path goes first: see task__unix_remove(). */
void task__server_stop_listening(struct task_server *server)
{
    int saved_errno = errno;

    task__server_end_pause(server);
    if (server->path)
        task__unix_remove(server->path, &server->socket);
    server->socket.exists = false;
    for (size_t i = 0; i < server->n_listeners; i++)
        stop(&server->listeners[i]);
    errno = saved_errno;
}
