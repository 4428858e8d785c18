/*
 * Connections as streams.
 */
#include "connect.h"
#include "fd.h"
#include "unix.h"

#include <errno.h>
#include <task/io.h>
#include <task/net.h>
#include <task/stream.h>

/* What both do first. */
static int enter(struct task_stream **stream, struct call_site site)
{
    struct task *self;
    int error = task_enter_at(&self, site);

    if (!error && !stream)
        error = misuse_at(site, -EINVAL, "there is no place for the stream");
    return error;
}

static int open_stream(struct task_stream **stream, int fd, const char *file,
                       int line)
{
    struct task_stream *opened;

    if (fd < 0)
        return fd;
    opened = task_stream_open_at(fd, file, line);
    if (!opened) {
        task_close(fd);
        return -ENOMEM;
    }
    *stream = opened;
    return 0;
}

int task_open_connection_at(struct task_stream **stream, const char *host,
                            const char *service, const char *file, int line)
{
    struct call_site site = site_here("task_open_connection");
    int error = enter(stream, site);

    return error ? error
                 : open_stream(stream, task__tcp_connect(site, host, service),
                               file, line);
}

int task_open_unix_connection_at(struct task_stream **stream, const char *path,
                                 const char *file, int line)
{
    struct call_site site = site_here("task_open_unix_connection");
    int error = enter(stream, site);

    return error ? error
                 : open_stream(stream, task__unix_connect(site, path), file,
                               line);
}

int(task_open_connection)(struct task_stream **stream, const char *host,
                          const char *service)
{
    return task_open_connection_at(stream, host, service, NULL, 0);
}

int(task_open_unix_connection)(struct task_stream **stream, const char *path)
{
    return task_open_unix_connection_at(stream, path, NULL, 0);
}
