/*
 * Of several threads one at a time does so: one that found the other's flag, and
 * took it for the file's own, would be left in a call that blocks.
 */
#include "unblock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

/* Held as long as a file is non-blocking that was not. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int cancel_state; /* of the thread that holds it */

void task__unblock_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void task__unblock_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

int task__unblock(int fd)
{
    int flags;

    pthread_mutex_lock(&mutex);
    flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK) &&
        !fcntl(fd, F_SETFL, flags | O_NONBLOCK)) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
        return flags;
    }
    if (flags < 0 || !(flags & O_NONBLOCK))
        flags = -errno;
    pthread_mutex_unlock(&mutex);
    return flags;
}

void task__block_again(int fd, int flags)
{
    if (flags & O_NONBLOCK)
        return;
    fcntl(fd, F_SETFL, flags);
    pthread_setcancelstate(cancel_state, NULL);
    pthread_mutex_unlock(&mutex);
}
