/*
 * Connections as streams.
 */
#include "loop.h"

#include <task/io.h>
#include <task/net.h>
#include <task/stream.h>

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
    return stream ? open_stream(stream, task_tcp_connect(host, service))
                  : -EINVAL;
}

int task_open_unix_connection(struct task_stream **stream, const char *path)
{
    return stream ? open_stream(stream, task_unix_connect(path)) : -EINVAL;
}
