/*
 * Reading and writing what is not a file, without waiting: attempts, for
 * fd_perform and for streams.
 *
 * What is usual is inline. A system call has more calls in it than a processor
 * remembers where to return to: so each return between it and whoever asked for
 * it is one that is mispredicted.
 */
#ifndef TASK_SRC_IO_H
#define TASK_SRC_IO_H

#include "fd.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* What a call reads into, or writes. */
struct transfer {
    struct iovec *parts;
    int n;
};

/* Of a system call; or what it has failed with, as a negative errno. */
static ALWAYS_INLINE ssize_t io_result(ssize_t result)
{
    return likely(result >= 0) ? result : task__fd_error();
}

/* After a short read the next one is in vain: whatever comes then is an event,
 * unless one end is closed. */
static ALWAYS_INLINE void io_note_drained(struct descriptor *descriptor,
                                          ssize_t result, size_t size)
{
    if (likely(result > 0 && (size_t)result < size))
        descriptor->drained[INCOMING] = !descriptor->hung;
}

/* task_read_full() for another public call, which tells of its misuse. */
TASK_SUSPENDS ssize_t task__io_read_full(int fd, void *buf, size_t n);

/* In several parts, or not by a socket. */
ssize_t task__io_read_other(struct descriptor *descriptor,
                            struct transfer *transfer);
ssize_t task__io_write_other(struct descriptor *descriptor,
                             struct transfer *transfer);

/* `operation` is a struct transfer; so below. */
static ALWAYS_INLINE ssize_t io_read(struct descriptor *descriptor,
                                     void *operation)
{
    struct transfer *transfer = operation;
    struct iovec *part = transfer->parts;
    ssize_t result;

    if (unlikely(descriptor->kind != DESCRIPTOR_TCP || transfer->n != 1))
        return task__io_read_other(descriptor, transfer);
    result = io_result(
        recv(descriptor->fd, part->iov_base, part->iov_len, MSG_DONTWAIT));
    io_note_drained(descriptor, result, part->iov_len);
    return result;
}

static ALWAYS_INLINE ssize_t io_write(struct descriptor *descriptor,
                                      void *operation)
{
    struct transfer *transfer = operation;
    struct iovec *part = transfer->parts;

    if (unlikely(!kind_is_socket(descriptor->kind) || transfer->n != 1))
        return task__io_write_other(descriptor, transfer);
    return io_result(send(descriptor->fd, part->iov_base, part->iov_len,
                          MSG_DONTWAIT | MSG_NOSIGNAL));
}

#endif
