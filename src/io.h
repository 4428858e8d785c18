/*
 * Reading and writing what is not a file, without waiting: attempts, for
 * task__fd_perform and for streams.
 */
#ifndef TASK_SRC_IO_H
#define TASK_SRC_IO_H

#include "fd.h"

#include <sys/uio.h>

/* What a call reads into, or writes. */
struct transfer {
    struct iovec *parts;
    int n;
};

/* `transfer` is a struct transfer. */
ssize_t task__io_read(struct descriptor *descriptor, void *transfer);
ssize_t task__io_write(struct descriptor *descriptor, void *transfer);

#endif
