/*
 * Reading and writing what is no socket without waiting, whatever the flags
 * of the open file are, which others may share; and without SIGPIPE.
 *
 * What was moved, 0 at the end, or a negative errno: -EAGAIN: it would have to
 * wait.
 */
#ifndef TASK_SRC_NOWAIT_H
#define TASK_SRC_NOWAIT_H

#include "base.h"

#include <sys/types.h>
#include <sys/uio.h>

ssize_t task__nowait_readv(int fd, const struct iovec parts[], int n);
ssize_t task__nowait_writev(int fd, const struct iovec parts[], int n);

/* The same for files, whose bytes may have to be waited for; offset -1: where
 * the open file is. */
ssize_t task__nowait_preadv(int fd, const struct iovec parts[], int n,
                            off_t offset);
ssize_t task__nowait_pwritev(int fd, const struct iovec parts[], int n,
                             off_t offset);

/* The same for every system: by asking first whether it would wait. */
ssize_t task__nowait_ask_readv(int fd, const struct iovec parts[], int n);
ssize_t task__nowait_ask_writev(int fd, const struct iovec parts[], int n);

#endif
