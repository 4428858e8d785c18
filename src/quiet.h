/*
 * Writing without SIGPIPE, whatever its effect is, by calls that have no
 * MSG_NOSIGNAL. On Linux signal handlers may do it, too.
 */
#ifndef TASK_SRC_QUIET_H
#define TASK_SRC_QUIET_H

#include "base.h"

#include <sys/types.h>
#include <sys/uio.h>

/* How many bytes were written, or a negative errno. */
typedef ssize_t write_fn(int fd, const struct iovec parts[], int n);

ssize_t task__quietly(int fd, const struct iovec parts[], int n,
                      write_fn *write);

#endif
