/*
 * A server: listening sockets, and a task for each connection.
 *
 *     listening  `is_closed` is false. Each listener is observed, or stands in
 *                the ready queue; or the server pauses, or is full
 *     closed     no listener is open; those that wait are told when the last
 *                connection is gone
 *
 * Connections are accepted in the loop's own context, by what an observer puts
 * into the ready queue. So accepting needs no task, and no switch but the one
 * to the handler.
 *
 * A server whose handle has ended is freed when nobody needs it any more: no
 * connection, no call, nothing in the ready queue.
 */
#ifndef TASK_SRC_SERVER_H
#define TASK_SRC_SERVER_H

#include "loop.h"
#include "stream.h"
#include "unix.h"

#include <task/server.h>

struct listener {
    struct task_server *server;
    struct descriptor *descriptor;
    struct observer observer;
    struct ready ready; /* accept, in the next turn */
    bool is_queued;     /* that is in the ready queue */
    bool is_observed;
    bool is_lost;   /* somebody else has closed it */
    int fd;         /* -1: closed */
    int kept;       /* -1, or a connection for which there was no memory */
    uint64_t inode; /* 0: not known yet */
};

/* One that is served; in the loop's pool of records. */
struct connection {
    struct list_node node; /* in its server's list */
    struct stream_owner owner;
    struct task_server *server;
    struct task *task; /* the handler's */
    bool is_aborted;   /* by the server */
};

_Static_assert(sizeof(struct connection) <= RECORD_SIZE, "fits the pool");

struct task_server {
    struct loop *loop;
    struct list_node node; /* in the loop's list */
    task_stream_fn *handler;
    void *arg;
    size_t stack_size;
    size_t max_connections;
    unsigned batch; /* so many are accepted in a row at the most */

    struct list connections;
    size_t n_connections;
    uint64_t n_served; /* so far */

    struct list waiting; /* for its end */
    size_t n_calls;      /* that use it; and listeners in the ready queue */
    bool is_serving;     /* one of them is serve_forever */
    bool is_closed;
    bool is_freed; /* the handle has ended */
    bool is_short; /* of descriptors or memory, and that was reported */
    struct timer pause;
    int error; /* for which it was closed */

    const char *file; /* where it was started; NULL: not known */
    int line;
    int port; /* or a negative errno */
    char *path;
    struct unix_file socket; /* the path's */
    size_t n_listeners;
    struct listener listeners[];
};

/* server_listen.c: open all listeners; 0, or a negative errno and none is. */
TASK_SUSPENDS int task__server_open(const struct task_server_options *options,
                                    struct loop *loop,
                                    struct task_server **server);

/* Whether it is open. Somebody else may have closed it, and have its number by
 * now: then that shall keep it. */
bool task__server_owns(const struct listener *listener);

/* Close those that are open. */
void task__server_stop_listening(struct task_server *server);

/* server_accept.c: begin to accept; 0, or a negative errno. */
int task__server_begin(struct task_server *server);
void task__server_end_pause(struct task_server *server);

/* From now on connections stay in the backlog. */
void task__server_observe_no_more(struct listener *listener);

/* Whether it serves a connection of this server's: by what it was created
 * with. */
bool task__server_is_handler(const struct task_server *server,
                             const struct task *task);

/* server.c: free it, if nobody needs it. */
void task__server_release(struct task_server *server);

/* Tell those that wait, if it has ended. */
void task__server_tell(struct task_server *server);

/* Close it since it cannot go on. */
void task__server_fail(struct task_server *server, int error);

static inline bool server_has_ended(const struct task_server *server)
{
    return server->is_closed && !server->n_connections;
}

#endif
