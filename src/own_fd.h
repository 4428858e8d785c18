/*
 * Descriptors of the library's own: none is 0, 1 or 2. A program may run with
 * some of these closed, and yet write to them.
 */
#ifndef TASK_SRC_OWN_FD_H
#define TASK_SRC_OWN_FD_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* One that was opened just now, by a number above 2; the same if there is none
 * left, or it could not be opened. */
static inline int own_fd(int fd)
{
    int saved_errno = errno;
    int higher;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (higher >= 0)
        close(fd);
    errno = saved_errno;
    return higher < 0 ? fd : higher;
}

#endif
