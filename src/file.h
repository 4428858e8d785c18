/*
 * Reading and writing files, which are always ready and yet may take long: what
 * is in memory is moved at once, the rest by a worker thread.
 */
#ifndef TASK_SRC_FILE_H
#define TASK_SRC_FILE_H

#include "scheduler.h"

#include <sys/types.h>
#include <sys/uio.h>

/*
 * Suspend until it is done; offset -1: where the open file is, as readv.
 *
 * How many bytes, or a negative errno. A cancel takes back what no worker has
 * begun; what was moved before is told, and the request comes next.
 */
ssize_t task__file_readv(struct task *self, int fd, const struct iovec parts[],
                         int n, off_t offset);
ssize_t task__file_writev(struct task *self, int fd, const struct iovec parts[],
                          int n, off_t offset);

#endif
