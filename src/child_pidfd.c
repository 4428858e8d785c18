/*
 * A child by its pidfd, which stands for it also when its number is another's.
 */
#include "child.h"
#include "own_fd.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#ifndef WCOREFLAG
#define WCOREFLAG 0x80
#endif

/* Of enum idtype_t; a macro or not, in headers that know it. */
#define BY_PIDFD ((idtype_t)3)

static void close_pidfd(struct child *child)
{
    if (child->fd >= 0)
        close(child->fd);
}

static void abandon(const struct child *child)
{
    if (child->fd >= 0)
        close(child->fd);
}

/* As waitpid() puts it. */
static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return info->si_code == CLD_DUMPED ? info->si_status | WCOREFLAG
                                       : info->si_status;
}

static int wait_by(idtype_t type, int id, siginfo_t *info, int options)
{
    int result;

    info->si_pid = 0;
    do
        result = waitid(type, (id_t)id, info, options);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

/* Linux 5.3 has pidfds, and cannot wait for them. */
static int wait_for(const struct child *child, siginfo_t *info, int options)
{
    int error = -EINVAL;

    if (child->fd >= 0)
        error = wait_by(BY_PIDFD, child->fd, info, options);
    return error == -EINVAL ? wait_by(P_PID, child->pid, info, options) : error;
}

/* Where SIGCHLD is ignored the child may be gone already, and its number be
 * another's. */
static int open_pidfd(struct child *child)
{
    siginfo_t info;

    child->fd = own_fd((int)syscall(SYS_pidfd_open, child->pid, 0));
    if (child->fd < 0)
        return -errno;
    if (wait_for(child, &info, WEXITED | WNOHANG | WNOWAIT) != -ECHILD)
        return 0;
    close(child->fd);
    child->fd = -1;
    return -ESRCH;
}

static int take(const struct child *child, bool wait, int *status)
{
    siginfo_t info;
    int error = wait_for(child, &info, WEXITED | (wait ? 0 : WNOHANG));

    if (error)
        return error;
    if (!info.si_pid)
        return -EAGAIN;
    *status = status_of(&info);
    return 0;
}

/*
 * A filter that does not know the call (Docker's, before 2020) says what the
 * kernel says of a child that has become somebody else: kill() tells them
 * apart. The number is still the child's, whose status nobody has taken.
 */
static int send_signal(const struct child *child, int signo)
{
    long result = -1;

    errno = ENOSYS;
    if (child->fd >= 0)
        result = syscall(SYS_pidfd_send_signal, child->fd, signo, NULL, 0);
    if (result < 0 && (errno == ENOSYS || errno == EPERM))
        result = kill(child->pid, signo);
    return result < 0 ? -errno : 0;
}

const struct child_kind task__child_pidfd = {
    .open = open_pidfd,
    .close = close_pidfd,
    .abandon = abandon,
    .take = take,
    .send = send_signal,
};
