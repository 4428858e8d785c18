/*
 * io.h: descriptors: wait for them, read and write, accept and connect.
 *
 * These are the system calls of the same name, but that they suspend the task
 * where those would block, and return a negative errno. Any descriptor will do,
 * whoever opened it, blocking or not: the flags of its open file stay as they
 * are (but see task_accept()). Sockets, pipes, terminals and the like wait until they are ready;
 * regular files, which never do, are read and written by a worker thread unless
 * what is wanted is in memory. None blocks the loop, raises SIGPIPE, returns
 * -EINTR or touches errno.
 *
 * One task may read from a descriptor while another writes to it. A second one
 * that would wait for the same gets -EBUSY.
 *
 * A number that was closed elsewhere, by close(), and opened again, is found
 * out. But whoever waits for it when it is closed should hear of it at once,
 * and a worker thread that is to read or write a file knows its number only:
 * close it by task_close(). (LOOP_BACKEND_POLL tells open files apart by their
 * inodes, and an eventfd, a timerfd and the like share theirs: of these it
 * takes one for the other.)
 *
 * Cancellation. A waiting request is delivered before anything is moved. Bytes
 * are a grant: a call that has moved some returns their number, and what has
 * stopped it, a request or an error, comes with the next call.
 *
 * To wait for a descriptor may need memory for the first time its number, or a
 * higher one, is seen: -ENOMEM.
 *
 * What every call here may return, besides what its system call does:
 *
 *     -EAGAIN     no worker thread can be started, which a file needs,
 *     -EBADF      the number is not open, or was closed while it waited,
 *     -EBUSY      another task or a callback waits for the same,
 *     -ECANCELED  a request was waiting, or came before anything was moved,
 *     -EMFILE, -ENFILE
 *                 no descriptor is left for those that the loop opens for itself
 *                 when it waits for one first,
 *     -ENOMEM     out of memory,
 *     -ENOSPC     the user has too many descriptors watched by epoll,
 *     -EPERM      called outside a task.
 */
#ifndef TASK_IO_H
#define TASK_IO_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <task/base.h>

TASK_BEGIN_DECLS

/* Waiting. */

/**
 * Wait until a descriptor is ready.
 *
 * @param fd      any open descriptor; one that is always ready, such as a
 *                regular file, is so at once
 * @param events  POLLIN, POLLOUT, POLLPRI or several, and POLLRDHUP where the
 *                system has it: the peer of a stream socket has ended its
 *                writing, or is gone, whatever is left to be read. POLLERR and
 *                POLLHUP are told of anyway, and may be asked for alone, or by
 *                0
 *
 * Suspends until one of these has come. A cancel ends it.
 *
 * @return those of @p events that have come, and POLLERR and POLLHUP if they
 *         have; or see above, and
 *         -EINVAL      @p events has others,
 *         -EOPNOTSUPP  it is always ready to be read and written, as a regular
 *                      file, and neither was asked for. (Of /dev/null and its
 *                      kin LOOP_BACKEND_POLL does not know that, and waits.)
 *
 * Source: poll(2); Trio's wait_readable and wait_writable
 */
TASK_SUSPENDS int task_wait_fd(int fd, short events);

/**
 * Close a descriptor, and wake whoever waits for it with -EBADF.
 *
 * Callbacks of the descriptor are removed. Whoever closes by close() what
 * nobody waits for is fine as well.
 *
 * If a worker thread is at work with it, the call that waits for that has its
 * result; until then the number stays open, but to all calls here it is closed.
 *
 * May be called anywhere, also outside a task, and does not suspend; a waiting
 * request stays.
 *
 * @return 0, or close()'s error, and then too the descriptor is gone (unless
 *         it is -EBADF).
 *
 * Source: close(2)
 */
int task_close(int fd);

/* Bytes. */

/**
 * Read what there is.
 *
 * @param fd   any descriptor
 * @param buf  room for @p n bytes, which are the caller's all the time
 * @param n    0: nothing is waited for
 *
 * Suspends until something can be read. A cancel ends it.
 *
 * @return how many bytes, 0 at the end; or see above.
 *
 * Source: read(2)
 */
TASK_SUSPENDS ssize_t task_read(int fd, void *buf, size_t n);

/**
 * Write as much as can be written at once, at least a byte.
 *
 * @param buf  @p n bytes, which must stay until it returns
 * @param n    0: nothing happens
 *
 * Suspends until something can be written. A cancel ends it.
 *
 * @return how many bytes; or see above, and
 *         -EPIPE  the other end is closed.
 *
 * Source: write(2)
 */
TASK_SUSPENDS ssize_t task_write(int fd, const void *buf, size_t n);

/**
 * task_read() into several buffers.
 *
 * @param parts  @p n of them; more than IOV_MAX are left for the next call
 *
 * @return as task_read().
 *
 * Source: readv(2)
 */
TASK_SUSPENDS ssize_t task_readv(int fd, const struct iovec *parts, int n);

/**
 * task_write() from several buffers.
 *
 * @return as task_write().
 *
 * Source: writev(2)
 */
TASK_SUSPENDS ssize_t task_writev(int fd, const struct iovec *parts, int n);

/**
 * Read @p n bytes, or all until the end.
 *
 * Suspends until all have come. A cancel ends it.
 *
 * @return @p n; less at the end, or when a request or an error came after some
 *         bytes, which then comes with the next call; or as task_read().
 *
 * Source: readn() of Stevens, "UNIX Network Programming"
 */
TASK_SUSPENDS ssize_t task_read_full(int fd, void *buf, size_t n);

/**
 * Write @p n bytes.
 *
 * Suspends until all are written. A cancel ends it.
 *
 * @return @p n; less when a request or an error came after some bytes, which
 *         then comes with the next call; or as task_write().
 *
 * Source: asyncio's sock_sendall
 */
TASK_SUSPENDS ssize_t task_write_all(int fd, const void *buf, size_t n);

/**
 * Read from a place in a file.
 *
 * @param fd      a descriptor that can be sought in
 * @param offset  bytes from the beginning
 *
 * Suspends while a worker thread reads. A cancel ends it as long as none has
 * begun, and else comes next.
 *
 * @return as task_read(), and
 *         -ESPIPE  it cannot be sought in.
 *
 * Source: pread(2)
 */
TASK_SUSPENDS ssize_t task_pread(int fd, void *buf, size_t n, off_t offset);

/**
 * Write to a place in a file, as task_pread() reads.
 *
 * @return as task_write(), and -ESPIPE.
 *
 * Source: pwrite(2)
 */
TASK_SUSPENDS ssize_t task_pwrite(int fd, const void *buf, size_t n,
                                  off_t offset);

/**
 * Send a part of a file.
 *
 * Where much is to be sent by a non-blocking socket it is not copied, and the
 * loop does not send it itself: a worker thread does.
 *
 * @param out     a socket or a pipe; whatever task_write() takes
 * @param in      a file that can be sought in
 * @param offset  in: where the part begins; out: where it ended; the file's own
 *                place is not touched. NULL: that place is both. It is read as
 *                the call begins, and at its end set to where the part ended,
 *                unless @p in was closed meanwhile: two tasks that send so from
 *                one file at once send the same
 * @param n       its length; 0: nothing happens
 *
 * Suspends until something can be sent, and while a worker thread sends, or
 * reads what is not in memory. A cancel ends it, and then nothing was sent; one
 * that comes while a thread sends comes next.
 *
 * @return how many bytes were sent, which may be less than @p n; 0 at the end of
 *         the file; or as task_write(), and
 *         -EINVAL  @p offset is negative, or NULL and @p in cannot be sought in,
 *         -ESPIPE  @p offset is given, and @p in cannot be sought in.
 *
 * Source: sendfile(2); asyncio's loop.sendfile
 */
TASK_SUSPENDS ssize_t task_sendfile(int out, int in, off_t *offset, size_t n);

/* Messages. */

/**
 * Receive from a socket.
 *
 * @param flags  those of recv(); with MSG_DONTWAIT it does not suspend, and
 *               returns -EAGAIN where it would. With MSG_WAITALL it is
 *               task_read_full() that waits for all.
 *
 * Suspends until something can be received. A cancel ends it.
 *
 * @return how many bytes, 0 at the end of a stream, and of anything that was
 *         shut down for reading (with MSG_DONTWAIT what is no stream goes on
 *         with -EAGAIN, as by recv()); or see above.
 *
 * Source: recv(2)
 */
TASK_SUSPENDS ssize_t task_recv(int fd, void *buf, size_t n, int flags);

/**
 * Send by a socket.
 *
 * @param flags  those of send(); MSG_NOSIGNAL is a matter of course, and
 *               MSG_DONTWAIT is as in task_recv()
 *
 * Suspends until something can be sent. A cancel ends it.
 *
 * @return how many bytes; or see above.
 *
 * Source: send(2)
 */
TASK_SUSPENDS ssize_t task_send(int fd, const void *buf, size_t n, int flags);

/**
 * task_recv(), and tell who has sent it.
 *
 * @param addr  room for the sender's address, or NULL
 * @param len   in: its size; out: that of the address
 *
 * Source: recvfrom(2)
 */
TASK_SUSPENDS ssize_t task_recvfrom(int fd, void *buf, size_t n, int flags,
                                    struct sockaddr *addr, socklen_t *len);

/**
 * task_send() to an address.
 *
 * Source: sendto(2)
 */
TASK_SUSPENDS ssize_t task_sendto(int fd, const void *buf, size_t n, int flags,
                                  const struct sockaddr *addr, socklen_t len);

/**
 * Receive a message, with addresses, descriptors and the like.
 *
 * Source: recvmsg(2)
 */
TASK_SUSPENDS ssize_t task_recvmsg(int fd, struct msghdr *message, int flags);

/**
 * Send a message.
 *
 * Source: sendmsg(2)
 */
TASK_SUSPENDS ssize_t task_sendmsg(int fd, const struct msghdr *message,
                                   int flags);

/* Connections. */

/**
 * Take the next connection of a listening socket.
 *
 * Connections that are gone before they were taken are skipped.
 *
 * A blocking socket is non-blocking for an instant, here and in task_connect(),
 * which other processes that share it may see. One from which several processes
 * take connections should be non-blocking: else one of them may be left waiting
 * in the system, with its whole loop, until there is another connection.
 *
 * @param addr  room for the peer's address, or NULL
 * @param len   in: its size; out: that of the address
 *
 * Suspends until there is one. A cancel ends it, and then none was taken.
 *
 * @return a descriptor, the caller's, non-blocking and closed on exec; or see
 *         above, and
 *         -EINVAL  it does not listen, or was shut down.
 *
 * Source: accept(2)
 */
TASK_SUSPENDS int task_accept(int fd, struct sockaddr *addr, socklen_t *len);

/**
 * Connect a socket.
 *
 * The descriptor stays the caller's, whatever comes. After a cancel the system
 * goes on connecting; to call again waits for that.
 *
 * Suspends until it is connected. A cancel ends the waiting.
 *
 * @return 0; or see above, and connect()'s errors.
 *
 * Source: connect(2)
 */
TASK_SUSPENDS int task_connect(int fd, const struct sockaddr *addr,
                               socklen_t len);

TASK_END_DECLS

#endif
