/* Finding the files of a folder, and sending them. */
#define _GNU_SOURCE
#include "http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <task.h>
#include <unistd.h>

static int root; /* the folder, open from then on */

bool open_folder(const char *path)
{
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root >= 0;
}

/* Whether it does not begin at the folder, or a part of it is "..". */
static bool leads_out(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at++)
        if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
            return true;
    return *path == '/';
}

/* A name that is looked up comes from memory nearly always, so no thread is
 * asked for that. */
static int open_at(int folder, const char *path, struct stat *stat)
{
    int file = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file >= 0 && fstat(file, stat) < 0)
        stat->st_mode = 0;
    return file;
}

/* What a file that cannot be opened is answered by. */
static const char *refusal(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return FORBIDDEN;
    case ELOOP:
    case ENAMETOOLONG:
    case ENOENT:
    case ENOTDIR:
    case ENXIO: /* a socket */
        return NOT_FOUND;
    default:
        return UNAVAILABLE; /* without descriptors, or memory */
    }
}

const char *find_file(struct request *request, struct reply *reply)
{
    struct stat stat;
    int folder;

    if (request->method == OPTIONS)
        return OK;
    if (leads_out(request->path))
        return FORBIDDEN;
    reply->file = open_at(root, *request->path ? request->path : ".", &stat);
    if (reply->file >= 0 && S_ISDIR(stat.st_mode)) {
        folder = reply->file;
        request->path = "index.html";
        reply->file = open_at(folder, request->path, &stat);
        close(folder);
    }
    if (reply->file < 0)
        return refusal(errno);
    if (!S_ISREG(stat.st_mode))
        return NOT_FOUND;
    reply->size = reply->end = stat.st_size;
    return choose_range(request->range, reply);
}

int send_file(struct task_stream *client, const struct reply *reply)
{
    off_t at = reply->first;
    int status = task_stream_flush(client);

    while (!status && at < reply->end) {
        ssize_t n = task_sendfile(task_stream_fd(client), reply->file, &at,
                                  (size_t)(reply->end - at));

        if (n <= 0)
            status = n < 0 ? (int)n : -EIO; /* it has become shorter */
    }
    return status;
}
