/*
 * Unix sockets: connecting, listening, and the files that they leave behind.
 */
#include "unix.h"

#include "address.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <task/net.h>
#include <unistd.h>

struct unix_address {
    struct sockaddr_un name;
    socklen_t size;
};

static const struct sockaddr *name_of(const struct unix_address *address)
{
    return (const struct sockaddr *)&address->name;
}

/* A name that is in no folder: on other systems it is a path as any. */
static bool is_abstract(const char *path)
{
    return HAVE_ABSTRACT_SOCKETS && *path == '@';
}

static int fill_in(struct unix_address *address, const char *path)
{
    size_t length = strlen(path);

    assert(length);
    if (length >= sizeof address->name.sun_path)
        return -ENAMETOOLONG;
    memset(address, 0, sizeof *address);
    address->name.sun_family = AF_UNIX;
    memcpy(address->name.sun_path, path, length);
    address->size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (is_abstract(path))
        address->name.sun_path[0] = 0;
    else
        address->size++;
    return 0;
}

static int check_path(struct call_site site, const char *path)
{
    return path && *path ? 0 : misuse_at(site, -EINVAL, "there is no path");
}

int task__unix_connect(struct call_site site, const char *path)
{
    struct unix_address address;
    struct task *self;
    int error = task_enter_at(&self, site);
    int fd;

    if (!error)
        error = check_path(site, path);
    if (!error)
        error = fill_in(&address, path);
    if (error)
        return error;
    fd = task__address_open(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    error = task_connect(fd, name_of(&address), address.size);
    if (!error)
        return fd;
    task_close(fd);
    return error;
}

int task_unix_connect(const char *path)
{
    return task__unix_connect(site_here(__func__), path);
}

/* Which file a path leads to now, if it is a socket's. */
static struct unix_file file_at(const char *path)
{
    struct stat stat;
    bool exists = !lstat(path, &stat) && S_ISSOCK(stat.st_mode);

    return exists ? (struct unix_file){true, stat.st_dev, stat.st_ino}
                  : (struct unix_file){.exists = false};
}

static bool is_same(const struct unix_file *a, const struct unix_file *b)
{
    return a->exists && b->exists && a->device == b->device &&
           a->inode == b->inode;
}

void task__unix_remove(const char *path, const struct unix_file *file)
{
    struct unix_file now = file_at(path);

    if (is_same(&now, file))
        unlink(path);
}

/* 0: nobody listens there, since a connection is refused; or -EADDRINUSE. */
static int try_out(const struct unix_address *address)
{
    int fd = task__address_open(AF_UNIX, SOCK_STREAM, 0);
    bool is_refused;

    if (fd < 0)
        return fd;
    is_refused =
        connect(fd, name_of(address), address->size) && errno == ECONNREFUSED;
    close(fd);
    return is_refused ? 0 : -EADDRINUSE;
}

/* Remove a socket that is left over. */
static int clear(const char *path, const struct unix_address *address)
{
    struct unix_file file = file_at(path);
    int error = file.exists ? try_out(address) : -EADDRINUSE;

    if (!error)
        task__unix_remove(path, &file);
    return error;
}

static int bind_to(int fd, const struct unix_address *address)
{
    return bind(fd, name_of(address), address->size) ? -errno : 0;
}

static int bind_path(int fd, const char *path,
                     const struct unix_address *address)
{
    int error = bind_to(fd, address);

    if (error == -EADDRINUSE && !is_abstract(path))
        error = clear(path, address);
    else
        return error;
    return error ? error : bind_to(fd, address);
}

static int bind_and_listen(int fd, const char *path,
                           const struct unix_address *address, int backlog,
                           struct unix_file *file)
{
    int error = bind_path(fd, path, address);

    if (error)
        return error;
    *file =
        is_abstract(path) ? (struct unix_file){.exists = false} : file_at(path);
    error = task__address_listen(fd, backlog);
    if (error)
        task__unix_remove(path, file);
    return error;
}

int task__unix_listen(const char *path, int backlog, struct unix_file *file)
{
    struct unix_address address;
    int error = fill_in(&address, path);
    int fd;

    if (error)
        return error;
    fd = task__address_open(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    error = bind_and_listen(fd, path, &address, backlog, file);
    if (!error)
        return fd;
    close(fd);
    return error;
}

int task_unix_listen(const char *path, int backlog)
{
    int fd = check_path(site_here(__func__), path);
    int saved_errno = errno;
    struct unix_file file;

    if (!fd)
        fd = task__unix_listen(path, backlog, &file);
    errno = saved_errno;
    return fd;
}
