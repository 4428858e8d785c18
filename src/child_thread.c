/*
 * A child by a thread that waits for its end, without taking its status, and
 * writes to a pipe then.
 */
#include "child.h"
#include "own_fd.h"
#include "own_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct child_watch {
    pthread_t thread;
    pid_t pid;
    int writer;
    bool is_over; /* it has ended; from then on its number may be another's */
};

/* A child whose status was taken by another has ended as well: -1, ECHILD. */
static void *watch(void *arg)
{
    struct child_watch *self = arg;
    siginfo_t info;

    while (waitid(P_PID, (id_t)self->pid, &info, WEXITED | WNOWAIT) < 0 &&
           errno == EINTR)
        continue;
    __atomic_store_n(&self->is_over, true, __ATOMIC_RELEASE);
    while (write(self->writer, "", 1) < 0 && errno == EINTR)
        continue;
    return NULL;
}

static int open_watch(struct child *child)
{
    struct child_watch *self = malloc(sizeof *self);
    int ends[2] = {-1, -1};
    int error = self ? 0 : -ENOMEM;

    if (!error && pipe2(ends, O_CLOEXEC))
        error = -errno;
    if (!error) {
        ends[0] = own_fd(ends[0]);
        ends[1] = own_fd(ends[1]);
        *self = (struct child_watch){.pid = child->pid, .writer = ends[1]};
        error = -own_thread(&self->thread, watch, self);
    }
    if (error) {
        for (int i = 0; i < 2; i++)
            if (ends[i] >= 0)
                close(ends[i]);
        free(self);
        return error;
    }
    child->fd = ends[0];
    child->at = self;
    return 0;
}

static void close_watch(struct child *child)
{
    pthread_join(child->at->thread, NULL);
    close(child->at->writer);
    if (child->fd >= 0)
        close(child->fd);
    free(child->at);
}

static void abandon(const struct child *child)
{
    close(child->at->writer);
    if (child->fd >= 0)
        close(child->fd);
}

static bool is_over(const struct child *child)
{
    return child->at && __atomic_load_n(&child->at->is_over, __ATOMIC_ACQUIRE);
}

/* One that has ended and is none to be waited for was taken by another, and who
 * has its number now is not ours. */
static int take(const struct child *child, bool wait, int *status)
{
    bool has_ended = is_over(child);
    pid_t pid;

    do
        pid = waitpid(child->pid, status, wait && !has_ended ? 0 : WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid < 0)
        return -errno;
    if (pid)
        return 0;
    return has_ended ? -ECHILD : -EAGAIN;
}

static int send_signal(const struct child *child, int signo)
{
    return kill(child->pid, signo) ? -errno : 0;
}

const struct child_kind task__child_thread = {
    .open = open_watch,
    .close = close_watch,
    .abandon = abandon,
    .take = take,
    .send = send_signal,
};
