/*
 * stream.h: buffered reading and writing over a descriptor.
 *
 *     task_stream_read, _exactly, _until, _line <--- [ buffer ] <--- descriptor
 *     task_stream_write, _printf ---> [ buffer ] ---> descriptor
 *                                      ^ low  ^ high: writers wait
 *
 * A stream takes a descriptor over: a socket of a connection, a pipe, a
 * terminal, a regular file, blocking or not, whose flags stay as they are. It
 * reads when it is asked to, and only as much as its buffer takes: a peer that
 * sends fast is held back by the system. It writes at once what the system
 * takes; the rest is sent when there is room, also while no task waits for
 * that.
 *
 * One task may read while others write. A second one that reads meanwhile gets
 * -EBUSY. Writes of several tasks are sent in the order of the calls, each in
 * one piece; but a call of a task that has not waited for long lets the others
 * run before it begins. All calls are for tasks of the loop in which the stream
 * was opened.
 *
 * The end is final: once a read has met it, all later ones tell it. So are
 * errors of the descriptor: what came before is read first, and then each call
 * that needs more gives the error. After an error of writing all that has to do
 * with writing gives it, and reading goes on; if it was that of a connection
 * which is gone, such as -ECONNRESET, reads give it after what came before.
 *
 * Cancellation. A waiting request is delivered before anything is done. A read
 * that is cancelled, or whose time is up, has taken nothing: no byte is lost. A
 * write that has begun is complete: a request that comes while it waits comes
 * next.
 *
 * What every suspending call may return besides what its comment names:
 *
 *     -EAGAIN       no worker thread can be started, which a file needs,
 *     -EBADF        another task has closed the stream meanwhile, or the
 *                   descriptor is not open for that,
 *     -EBUSY        something else waits for the same descriptor,
 *     -ECANCELED    a request was waiting, or came before there was a result,
 *     -ECONNABORTED a server has aborted the connection,
 *     -EINVAL       the stream is NULL, or of another loop,
 *     -EMFILE, -ENFILE
 *                   no descriptor is left for the loop's own,
 *     -ENOMEM       out of memory: nothing was taken,
 *     -ENOSPC       the user has too many descriptors watched by epoll,
 *     -EPERM        called outside a task;
 *
 * and the errors of the system: -ECONNRESET, -EPIPE, -ETIMEDOUT, -EIO ...
 *
 * Source: asyncio's streams
 */
#ifndef TASK_STREAM_H
#define TASK_STREAM_H

#include <sys/socket.h>
#include <sys/types.h>
#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * A stream: opaque; made by one of the calls below, or by a server or a
 * process, ended by task_stream_close() or task_stream_abort().
 */
struct task_stream;

/**
 * How far task_stream_read_until() and task_stream_read_line() look, in bytes,
 * where nothing else is set.
 */
#define TASK_STREAM_LIMIT 65536

/**
 * For task_stream_set_write_limits(): a mark that follows from the other one.
 */
#define TASK_STREAM_DERIVED (SIZE_MAX - 1)

/* Beginning. */

/**
 * Connect to a host, and open a stream.
 *
 * @param stream   receives the stream
 * @param host     a name or an address
 * @param service  a port or its name
 *
 * Suspends until it is connected. A cancel ends it, and leaves nothing open.
 *
 * @return 0, and the stream is the caller's; or as task_tcp_connect(), and
 *         -ENOMEM  out of memory.
 *
 * Source: asyncio.open_connection
 */
TASK_SUSPENDS int task_open_connection(struct task_stream **stream,
                                       const char *host, const char *service);

/**
 * Connect to a Unix socket, and open a stream.
 *
 * @return as task_open_connection(), with the errors of task_unix_connect().
 *
 * Source: asyncio.open_unix_connection
 */
TASK_SUSPENDS int task_open_unix_connection(struct task_stream **stream,
                                            const char *path);

/**
 * Connect, with the place that reports about the stream will name: what the
 * macros of this header call.
 *
 * @param file  a string that outlives the stream; NULL: no place is known
 * @param line  the line in @p file
 *
 * @return as task_open_connection().
 */
TASK_SUSPENDS int task_open_connection_at(struct task_stream **stream,
                                          const char *host, const char *service,
                                          const char *file, int line);
TASK_SUSPENDS int task_open_unix_connection_at(struct task_stream **stream,
                                               const char *path,
                                               const char *file, int line);

#define task_open_connection(...)                                              \
    task_open_connection_at(__VA_ARGS__, __FILE__, __LINE__)
#define task_open_unix_connection(...)                                         \
    task_open_unix_connection_at(__VA_ARGS__, __FILE__, __LINE__)

/**
 * Make a stream of a descriptor.
 *
 * Sockets of TCP get TCP_NODELAY. The name is a function, and a macro over it
 * that records the place of the call for reports. One that is open when its
 * loop is freed is closed then, without what it has not sent; in debug mode it
 * is reported as LOOP_ERROR_LEAK.
 *
 * @param fd  an open descriptor that nobody waits for; the stream's from now on
 *
 * @return the stream, the caller's; or NULL, and the descriptor stays the
 *         caller's: it is not open, somebody waits for it, no loop runs in this
 *         thread, or out of memory.
 */
struct task_stream *task_stream_open(int fd);

/**
 * Make a stream, with the place that reports of one that was not closed will
 * name: what the macro of this header calls.
 *
 * @param file  a string that outlives the stream; NULL: no place is known
 * @param line  the line in @p file
 *
 * @return as task_stream_open().
 */
struct task_stream *task_stream_open_at(int fd, const char *file, int line);

#define task_stream_open(fd) task_stream_open_at((fd), __FILE__, __LINE__)

/* Reading. */

/**
 * Read what there is.
 *
 * @param buf  room for @p n bytes, the caller's
 * @param n    0: nothing is waited for
 *
 * Suspends until there is something. A cancel ends it.
 *
 * @return how many bytes, 1 to @p n; 0 at the end; or see above.
 *
 * Source: asyncio's StreamReader.read
 */
TASK_SUSPENDS ssize_t task_stream_read(struct task_stream *s, void *buf,
                                       size_t n);

/**
 * Read exactly @p n bytes, which may be more than any limit.
 *
 * @param buf  room for @p n bytes; undefined unless 0 is returned
 *
 * Suspends until all have come. A cancel ends it, and then what has come stays
 * readable.
 *
 * @return 0; or see above, and
 *         -ENODATA  the stream ends before; what has come stays readable.
 *
 * Source: asyncio's StreamReader.readexactly
 */
TASK_SUSPENDS int task_stream_read_exactly(struct task_stream *s, void *buf,
                                           size_t n);

/**
 * Read up to and with a separator, in place.
 *
 * @param separator  any bytes
 * @param n          how many; at least 1
 * @param data       receives where the bytes are: the stream's, to be looked at
 *                   until the next call that reads, or ends the stream
 *
 * Suspends until the separator has come. A cancel ends it, and then what has
 * come stays readable.
 *
 * @return how many bytes, the separator included; or see above, and
 *         -EINVAL    the separator is empty or NULL,
 *         -EMSGSIZE  there are more bytes than the limit before the separator,
 *                    or none has come within it; all stay readable,
 *         -ENODATA   the stream ends before; what has come stays readable.
 *
 * Source: asyncio's StreamReader.readuntil
 */
TASK_SUSPENDS ssize_t task_stream_read_until(struct task_stream *s,
                                             const void *separator, size_t n,
                                             const char **data);

/**
 * Read a line with its newline, in place; the rest at the end.
 *
 * @param line  receives where it is, as in task_stream_read_until(); no 0 byte
 *              follows it
 *
 * Suspends until the newline has come. A cancel ends it, and then what has come
 * stays readable; while a line of a file is dropped, a cancel comes next, and
 * leaves what that line has beyond 16 MiB.
 *
 * @return how many bytes, the newline included; 0 at the end; or see above, and
 *         -EMSGSIZE  there are more bytes than the limit before the newline.
 *                    The line, or what has arrived of it, is dropped.
 *
 * Source: asyncio's StreamReader.readline
 */
TASK_SUSPENDS ssize_t task_stream_read_line(struct task_stream *s,
                                            const char **line);

/**
 * Tell whether a read has met the end, and nothing is left to be read.
 *
 * May be called anywhere in the loop; does not look at the descriptor.
 *
 * Source: asyncio's StreamReader.at_eof
 */
bool task_stream_at_eof(const struct task_stream *s);

/**
 * Set how far task_stream_read_until() and task_stream_read_line() look.
 *
 * @param limit  bytes without the separator; TASK_STREAM_LIMIT at the beginning
 *
 * @return 0, or
 *         -EBADF   another task is closing the stream,
 *         -EINVAL  @p limit is 0, or @p s is NULL,
 *         -EPERM   called in another thread, or in a child after fork.
 */
int task_stream_set_limit(struct task_stream *s, size_t limit);

/* Writing. */

/**
 * Write all of these bytes: to the system, or to the buffer what that does not
 * take now.
 *
 * If more than the high mark would be left, it waits until no more than the low
 * mark is; also behind others that wait so, and if there is no memory for the
 * buffer. Then the bytes are sent from where they are, without a copy; a copy
 * is made of the rest when a request ends the wait. Where there is no memory
 * for that the wait goes on until all are sent.
 *
 * @param data  @p n bytes, the caller's again when it returns
 * @param n     0: nothing happens
 *
 * Suspends then, and while a worker thread writes to a file. A cancel while it
 * waits comes next.
 *
 * @return 0: all are taken; else nothing was, unless the stream has failed: see
 *         above, and
 *         -EPIPE  the other end is closed, or task_stream_write_eof() was
 *                 called.
 *
 * Source: asyncio's StreamWriter.write and drain
 */
TASK_SUSPENDS int task_stream_write(struct task_stream *s, const void *data,
                                    size_t n);

/**
 * Write a text as printf() does, without its 0 byte.
 *
 * Suspends as task_stream_write().
 *
 * @return as task_stream_write(), and
 *         -EILSEQ     a wide character that cannot be written,
 *         -EINVAL     @p format is NULL, or cannot be followed,
 *         -EOVERFLOW  the text is longer than INT_MAX.
 */
TASK_SUSPENDS int task_stream_printf(struct task_stream *s, const char *format,
                                     ...) TASK_PRINTF_LIKE(2, 3);

/**
 * Wait until no more than the low mark is left in the buffer.
 *
 * Any number of tasks may wait. A pipe whose reader is gone is found out, also
 * when nothing is in the buffer.
 *
 * Suspends until then. A cancel ends the wait; what is in the buffer is sent
 * all the same.
 *
 * @return 0; or see above.
 *
 * Source: asyncio's StreamWriter.drain
 */
TASK_SUSPENDS int task_stream_drain(struct task_stream *s);

/**
 * Wait until nothing is left in the buffer: the system has it all.
 *
 * As task_stream_drain() in all else.
 */
TASK_SUSPENDS int task_stream_flush(struct task_stream *s);

/**
 * End the writing: the peer reads the end after what was written. Reading goes
 * on.
 *
 * It is done when the buffer is empty, and not waited for. Sockets are shut
 * down in this direction; any other descriptor is closed, if it is open for
 * writing only.
 *
 * May be called anywhere in the loop, and again.
 *
 * @return 0, or
 *         -EBADF    the stream is closed,
 *         -EINVAL   @p s is NULL,
 *         -EPERM    called in another thread, or in a child after fork,
 *         -ENOTSUP  this cannot be done to its kind of descriptor;
 *         or the error of writing.
 *
 * Source: asyncio's StreamWriter.write_eof
 */
int task_stream_write_eof(struct task_stream *s);

/**
 * Set when writers wait, and for what.
 *
 * At the beginning the marks are 65536 and 16384. Whoever waits is looked after
 * at once.
 *
 * @param high  a write waits when more bytes than that would be left in the
 *              buffer; SIZE_MAX: none waits as long as there is memory;
 *              TASK_STREAM_DERIVED: four times @p low
 * @param low   and until no more than that are; 0: until it is empty;
 *              TASK_STREAM_DERIVED: a fourth of @p high. Both derived: as at
 *              the beginning
 *
 * @return 0, or
 *         -EBADF   another task is closing the stream,
 *         -EINVAL  @p low is above @p high, or @p s is NULL,
 *         -EPERM   called in another thread, or in a child after fork.
 *
 * Source: asyncio's WriteTransport.set_write_buffer_limits
 */
int task_stream_set_write_limits(struct task_stream *s, size_t high,
                                 size_t low);

/* The end. */

/**
 * Send what is in the buffer, then close the descriptor and free the stream.
 *
 * The handle is gone at once and whatever is returned (but -EINVAL and -EPERM).
 * Calls of other tasks that are under way return -EBADF; what their writes have
 * not sent yet is sent as well.
 *
 * Suspends until the buffer is empty, and the writes to a file are done. A
 * cancel meanwhile drops the rest, and so does a request that was waiting when
 * it would have to suspend; else that stays for the next call.
 *
 * @return 0; an error of writing, now or before, or of close(); or
 *         -EBADF      another task is closing the stream, or has aborted it
 *                     meanwhile,
 *         -ECANCELED  a request came, and the rest of the buffer is lost,
 *         -EINVAL     @p s is NULL, or of another loop,
 *         -ENOMEM     bytes of another task that was writing are lost,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's StreamWriter.close and wait_closed
 */
TASK_SUSPENDS int task_stream_close(struct task_stream *s);

/**
 * Close the descriptor now, and free the stream.
 *
 * What is in the buffer is lost. Calls of other tasks that are under way return
 * -EBADF. To have a TCP connection reset, set SO_LINGER to 0 seconds before.
 *
 * May be called anywhere in the loop.
 *
 * @param s  NULL does nothing
 *
 * Source: asyncio's WriteTransport.abort
 */
void task_stream_abort(struct task_stream *s);

/* The descriptor. */

/**
 * Give the descriptor, for options and the like; it stays the stream's.
 *
 * To learn that the other end is closed while nothing is read or written,
 * task_wait_fd() may wait for it: with no events for that of a pipe, with
 * POLLRDHUP for that of a connection, which by TCP may as well have ended its
 * writing only.
 *
 * @return it, or
 *         -EBADF   it is closed,
 *         -EINVAL  @p s is NULL.
 */
int task_stream_fd(const struct task_stream *s);

/**
 * Give the address of the peer, as getpeername() does.
 *
 * @param addr  room for it
 * @param len   in: its size; out: that of the address
 *
 * @return 0, or a negative errno: -ENOTCONN, -ENOTSOCK, -EBADF ...
 */
int task_stream_peername(const struct task_stream *s, struct sockaddr *addr,
                         socklen_t *len);

/**
 * Give the own address, as getsockname() does.
 *
 * @return as task_stream_peername().
 */
int task_stream_sockname(const struct task_stream *s, struct sockaddr *addr,
                         socklen_t *len);

TASK_END_DECLS

#endif
