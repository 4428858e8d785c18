/*
 * Sending from a file without a copy, where the system can.
 */
#ifndef TASK_SRC_SENDFILE_H
#define TASK_SRC_SENDFILE_H

#include "base.h"

#include <sys/types.h>

/* One call to an `out` that is non-blocking, which waits for the disk only: how
 * many bytes, 0 at the end of the file, -EAGAIN, or another negative errno;
 * -ENOTSUP: it has to be copied. */
ssize_t task__sendfile_now(int out, int in, off_t offset, size_t n);

#endif
