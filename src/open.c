/*
 * Connections as streams.
 */
#include "loop.h"

#include <errno.h>
#include <task/io.h>
#include <task/net.h>
#include <task/stream.h>

#define NO_PLACE "there is no place for the stream"

static int open_stream(struct task_stream **stream, int fd)
{
    if (fd < 0)
        return fd;
    *stream = (task_stream_open)(fd);
    if (*stream)
        return 0;
    task_close(fd);
    return -ENOMEM;
}

int task_open_connection(struct task_stream **stream, const char *host,
                         const char *service)
{
    if (!stream)
        return MISUSE(-EINVAL, NO_PLACE);
    return open_stream(stream, task_tcp_connect(host, service));
}

int task_open_unix_connection(struct task_stream **stream, const char *path)
{
    if (!stream)
        return MISUSE(-EINVAL, NO_PLACE);
    return open_stream(stream, task_unix_connect(path));
}
