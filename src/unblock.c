/*
 * Of several threads one at a time does so: one that found the other's flag,
 * and took it for the file's own, would be left in a call that blocks.
 */
#include "unblock.h"

#include "cancelling.h"

#include <errno.h>
#include <fcntl.h>

/* Held as long as a file is non-blocking that was not; who holds it is not
 * cancelled. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cancelling former;

void task__unblock_lock(void)
{
    struct cancelling own = cancelling_stop();

    pthread_mutex_lock(&mutex);
    former = own;
}

void task__unblock_unlock(void)
{
    struct cancelling own = former;

    pthread_mutex_unlock(&mutex);
    cancelling_restore(own);
}

int task__unblock(int fd)
{
    int flags;

    task__unblock_lock();
    flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK) &&
        !fcntl(fd, F_SETFL, flags | O_NONBLOCK))
        return flags;
    if (flags < 0 || !(flags & O_NONBLOCK))
        flags = -errno;
    task__unblock_unlock();
    return flags;
}

void task__block_again(int fd, int flags)
{
    if (flags & O_NONBLOCK)
        return;
    fcntl(fd, F_SETFL, flags);
    task__unblock_unlock();
}
