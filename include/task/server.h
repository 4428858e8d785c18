/*
 * server.h: servers: a task for each connection.
 *
 *     static int echo(struct task_stream *stream, void *arg)
 *     {
 *         const char *line;
 *         ssize_t n;
 *
 *         while ((n = task_stream_read_line(stream, &line)) > 0)
 *             if (task_stream_write(stream, line, (size_t)n))
 *                 break;
 *         return 0;
 *     }
 *
 *     status = task_start_server(&server, NULL, "7000", echo, NULL);
 *     if (!status)
 *         status = task_server_serve_forever(server);
 *     task_server_free(server);
 *
 * A server accepts as soon as it has been started, whatever its starter does.
 *
 *                 _close, a failure           the last handler ends
 *     listening --------------------> closed -----------------------> ended
 *
 * When there are no descriptors or memory left for another connection, the
 * server reports that (LOOP_ERROR_ACCEPT), leaves the connections in the
 * backlog, but for one that it may keep, and tries again every 100 ms. An error
 * that will not pass, such as a listening socket that somebody else has closed
 * or shut down, closes the server: task_server_wait_closed() tells it.
 * Connections that end before they were accepted are ignored.
 *
 * All of it is for the thread of the server's loop. The end of the loop closes
 * and frees its servers.
 *
 * Source: asyncio.start_server, asyncio.Server
 */
#ifndef TASK_SERVER_H
#define TASK_SERVER_H

#include <task/base.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/**
 * A server: opaque; made by one of the calls below, ended by
 * task_server_free().
 */
struct task_server;

struct task_stream;

/**
 * A handler: serves one connection, as a task of its own, with no task locals.
 *
 * When it returns the stream is closed, if it has not done so itself: after
 * what it has written was sent, unless its task is cancelled meanwhile, or its
 * loop ends; or at once, if it returns -ECANCELED. So nobody else may use the
 * stream then.
 *
 * In debug mode its task has a name: "server :7000 client 3".
 *
 * @param stream  of this connection
 * @param arg     the server's
 *
 * @return 0 or more, -ECANCELED, or -ECONNABORTED if the server has aborted the
 *         connection; or another negative errno: that is reported, once, as
 *         LOOP_ERROR_HANDLER, and the server goes on.
 */
typedef int task_stream_fn(struct task_stream *stream, void *arg);

/**
 * What task_start_server_with() is told. A field that is zero is its default.
 * Either a host or a service (or both), or a path, or a descriptor.
 */
struct task_server_options {
    /** A name or an address of this machine, all of which are listened to; NULL
     *  or "": any, of IPv6 and IPv4. */
    const char *host;

    /** A port, or the name of one; NULL, "" or "0": any that is free. */
    const char *service;

    /** The path of a Unix socket, as in task_unix_listen(). */
    const char *path;

    /** Above 0: a bound stream socket, which the server takes over: it listens
     *  and becomes non-blocking. */
    int fd;

    /** How many connections may wait to be accepted; 0 or less: as many as the
     *  system allows. No more than that are accepted in a row while others are
     *  ready to run. */
    int backlog;

    /** Other processes may listen to the same port (SO_REUSEPORT). */
    bool reuse_port;

    /** How many are served at once; more wait in the backlog. 0: any number. */
    size_t max_connections;

    /** Of the handlers' tasks, as in struct task_options. */
    size_t stack_size;

    /** What serves a connection, and what it is passed. */
    task_stream_fn *handler;
    void *arg;

    /** Leave the path where it is at the end. */
    bool keep_path;
};

/* The beginning. */

/**
 * Start a server for TCP connections.
 *
 * With several addresses, such as a NULL host has, it listens at each, with one
 * port; if that cannot be had at one of them, at none. Addresses and families
 * that this machine does not have are left out.
 *
 * @param server   receives the server, the caller's
 * @param host     as in struct task_server_options
 * @param service  likewise; NULL if @p host is: an error
 * @param handler  called in a task of its own for each connection
 * @param arg      passed to @p handler
 *
 * Suspends while a name is looked up. A cancel ends it.
 *
 * @return 0; or as task_tcp_listen(), and
 *         -EINVAL  @p handler or @p server is NULL,
 *         -ENOSPC  the user has too many descriptors watched by epoll.
 *
 * Source: asyncio.start_server
 */
TASK_SUSPENDS int task_start_server(struct task_server **server,
                                    const char *host, const char *service,
                                    task_stream_fn *handler, void *arg);

/**
 * Start a server with options.
 *
 * @param options  copied, with its strings
 *
 * @return as task_start_server() or task_unix_listen(), and
 *         -EINVAL      no host, service, path nor descriptor, or several kinds
 *                      of these; a descriptor that is no stream socket; a stack
 *                      size below TASK_STACK_MIN,
 *         -EBADF, -ENOTSOCK, -EBUSY
 *                      the descriptor is not open, is none of a socket, is
 *                      waited for: it stays the caller's, as with all errors,
 *         -ENOPROTOOPT the system has no SO_REUSEPORT.
 */
TASK_SUSPENDS int
task_start_server_with(struct task_server **server,
                       const struct task_server_options *options);

/**
 * Start a server at a Unix socket.
 *
 * The end of the listening removes the path, if it is still that of the
 * server's own socket. A relative path is looked up from the working directory
 * of then: if that is another one, the file stays.
 *
 * Does not wait. A waiting request is delivered.
 *
 * @return 0; or as task_unix_listen() and task_start_server().
 *
 * Source: asyncio.start_unix_server
 */
TASK_SUSPENDS int task_start_unix_server(struct task_server **server,
                                         const char *path,
                                         task_stream_fn *handler, void *arg);

/**
 * Start a server, with the place that reports of one that was not closed will
 * name: what the macros of this header call.
 *
 * @param file  a string that outlives the server; NULL: no place is known
 * @param line  the line in @p file
 *
 * @return as task_start_server().
 */
TASK_SUSPENDS int task_start_server_at(struct task_server **server,
                                       const char *host, const char *service,
                                       task_stream_fn *handler, void *arg,
                                       const char *file, int line);
TASK_SUSPENDS int
task_start_server_with_at(struct task_server **server,
                          const struct task_server_options *options,
                          const char *file, int line);
TASK_SUSPENDS int task_start_unix_server_at(struct task_server **server,
                                            const char *path,
                                            task_stream_fn *handler, void *arg,
                                            const char *file, int line);

#define task_start_server(...)                                                 \
    task_start_server_at(__VA_ARGS__, __FILE__, __LINE__)
#define task_start_server_with(...)                                            \
    task_start_server_with_at(__VA_ARGS__, __FILE__, __LINE__)
#define task_start_unix_server(...)                                            \
    task_start_unix_server_at(__VA_ARGS__, __FILE__, __LINE__)

/* While it runs. */

/**
 * Tell the port that a server listens to, also after that has ended.
 *
 * @return the port, the same for all its addresses; or
 *         -EAFNOSUPPORT  it has a path,
 *         -EINVAL        @p server is NULL.
 */
int task_server_port(const struct task_server *server);

/**
 * Tell the descriptors by which a server listens, to look at.
 *
 * @param i  0 for the first
 *
 * @return a descriptor, the server's; or
 *         -ENOENT  there are no more, or it listens no more,
 *         -EINVAL  @p server is NULL.
 *
 * Source: asyncio's Server.sockets
 */
int task_server_fd(const struct task_server *server, size_t i);

/**
 * Wait until a server is closed by somebody, and the last handler has ended.
 *
 * Suspends until then. A cancel, also one that was waiting, closes the server,
 * and the end is waited for all the same, unless there is another cancel.
 *
 * @return 0, or
 *         -ECANCELED  cancelled, as said,
 *         -EBUSY      another task is in this call,
 *         the errors of task_server_wait_closed().
 *
 * Source: asyncio's Server.serve_forever
 */
TASK_SUSPENDS int task_server_serve_forever(struct task_server *server);

/* The end. */

/**
 * Stop listening. Those that are being served go on.
 *
 * The sockets are closed at once, a path is removed, and new connections are
 * refused, also those that wait in the backlog.
 *
 * May be called anywhere, also in a handler, and again.
 *
 * @param server  NULL does nothing
 *
 * Source: asyncio's Server.close
 */
void task_server_close(struct task_server *server);

/**
 * Close the connections of all handlers, after what they have written.
 *
 * A handler reads what has come already, and then the end, as if its peer had
 * closed; what it has written is sent, and to write more is -EPIPE. The
 * handlers are not waited for.
 *
 * A peer of TCP may go on sending, which nobody reads; as always the connection
 * is reset if the stream is closed meanwhile, and what is on its way may be
 * lost. Whoever reads by the descriptor itself meets no end but the peer's.
 *
 * May be called anywhere.
 *
 * @param server  NULL does nothing
 *
 * Source: asyncio's Server.close_clients
 */
void task_server_close_clients(struct task_server *server);

/**
 * Close the connections of all handlers now.
 *
 * What is under way in their streams, and all that they do with them later,
 * gives -ECONNABORTED; they still have to be closed. A handler that returns
 * that has not failed. The handlers are not waited for.
 *
 * May be called anywhere.
 *
 * @param server  NULL does nothing
 *
 * Source: asyncio's Server.abort_clients
 */
void task_server_abort_clients(struct task_server *server);

/**
 * Wait until a server is closed and its last handler has ended.
 *
 * Any number of tasks may wait.
 *
 * Suspends until then. A cancel ends the waiting only.
 *
 * @return 0, or
 *         -ECANCELED  a request was waiting, or came meanwhile,
 *         -EDEADLK    called in one of its handlers,
 *         -EINVAL     @p server is NULL, or of another loop,
 *         -EPERM      called outside a task,
 *         the error for which the server was closed.
 *
 * Source: asyncio's Server.wait_closed
 */
TASK_SUSPENDS int task_server_wait_closed(struct task_server *server);

/**
 * Close a server with patience: stop listening, let the handlers end for
 * @p grace, cancel those that are left, and after @p grace again abort their
 * connections.
 *
 * @param grace  nanoseconds; 0 or less: those that are cancelled may only take
 *               a turn; TASK_FOREVER: as task_server_wait_closed()
 *
 * Suspends until the last handler has ended, twice @p grace at the most. A
 * cancel ends the waiting, and the next steps are not taken.
 *
 * @return how many had to be aborted, who may go on still; or the errors of
 *         task_server_wait_closed(), except that for which it was closed.
 */
TASK_SUSPENDS int task_server_shutdown(struct task_server *server,
                                       task_time grace);

/**
 * End the handle of a server, and close it.
 *
 * Handlers that are at work run to their end; calls of other tasks that wait
 * for the server return as if it had been closed only.
 *
 * May be called anywhere, also in a handler.
 *
 * @param server  NULL does nothing
 */
void task_server_free(struct task_server *server);

TASK_END_DECLS

#endif
