/*
 * What a descriptor stands for.
 */
#include "descriptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* TCP alone knows that option. */
static bool is_tcp(int fd)
{
    int value;
    socklen_t size = sizeof value;

    return !getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size);
}

static bool is_local_stream(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    struct sockaddr_storage own;
    socklen_t own_size = sizeof own;

    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) &&
           type == SOCK_STREAM &&
           !getsockname(fd, (struct sockaddr *)&own, &own_size) &&
           own.ss_family == AF_UNIX;
}

static enum descriptor_kind kind_of(int fd, mode_t mode)
{
    if (S_ISSOCK(mode))
        return is_local_stream(fd) ? DESCRIPTOR_STREAM : DESCRIPTOR_SOCKET;
    if (S_ISFIFO(mode))
        return DESCRIPTOR_PIPE;
    if (S_ISREG(mode) || S_ISDIR(mode) || S_ISBLK(mode))
        return DESCRIPTOR_FILE;
    return DESCRIPTOR_OTHER;
}

/* One call is enough to know TCP. */
int task__descriptor_classify_again(struct descriptor *descriptor)
{
    bool was_file = descriptor->kind == DESCRIPTOR_FILE;
    struct stat stat;

    descriptor->kind = DESCRIPTOR_TCP;
    if (!was_file && is_tcp(descriptor->fd))
        return 0;
    descriptor->kind = DESCRIPTOR_UNKNOWN;
    if (fstat(descriptor->fd, &stat))
        return -errno;
    if (was_file && S_ISSOCK(stat.st_mode) && is_tcp(descriptor->fd))
        descriptor->kind = DESCRIPTOR_TCP;
    else
        descriptor->kind = (uint8_t)kind_of(descriptor->fd, stat.st_mode);
    return 0;
}

int task__descriptor_classify(struct descriptor *descriptor)
{
    return likely(descriptor->kind != DESCRIPTOR_UNKNOWN)
               ? 0
               : task__descriptor_classify_again(descriptor);
}
