/*
 * Reading and writing after asking whether it would wait.
 *
 * Between the question and the call another process may read what was there, or
 * fill what was free: that POSIX offers nothing better for an open file whose
 * flags have to stay as they are.
 */
#include "nowait.h"

#include "quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* What a terminal takes without waiting when it says that it takes
 * something, if it takes it as it is. */
enum { TERMINAL_ROOM = 256 };

/* Whether it was opened for that. */
static bool is_opened_for(int fd, short events)
{
    int flags = fcntl(fd, F_GETFL);
    int other = events == POLLIN ? O_WRONLY : O_RDONLY;

    return flags < 0 || (flags & O_ACCMODE) != other;
}

/* A terminal whose other side is closed takes what it has room for, and then
 * waits for a reader, though it tells of the end. */
static bool is_full_for_good(int fd, short events, short told)
{
    return events == POLLOUT && told == POLLHUP && isatty(fd);
}

/* 0: something would come at once; -EAGAIN; -EIO: nobody takes it any more;
 * -EBADF: nothing ever comes, as may be where a pipe is asked at its wrong
 * end. */
static int ask(int fd, short events)
{
    struct pollfd now = {.fd = fd, .events = events};

    if (poll(&now, 1, 0) < 0)
        return -errno;
    if (is_full_for_good(fd, events, now.revents))
        return -EIO;
    if (now.revents)
        return 0;
    return is_opened_for(fd, events) ? -EAGAIN : -EBADF;
}

/* A terminal may be set to wait for more after the first byte: unless no more
 * is asked for than is there. How much that is; 0: it does not wait. */
static size_t ready_at(int fd)
{
    struct termios terminal;
    int ready;

    if (tcgetattr(fd, &terminal) || (terminal.c_lflag & ICANON) ||
        terminal.c_cc[VMIN] < 2 || !terminal.c_cc[VTIME])
        return 0;
    return ioctl(fd, FIONREAD, &ready) || ready < 1 ? 0 : (size_t)ready;
}

static ssize_t read_parts(int fd, const struct iovec parts[], int n)
{
    size_t ready = ready_at(fd);
    ssize_t result;

    for (; n > 1 && !parts->iov_len; n--)
        parts++;
    if (ready)
        result = read(fd, parts->iov_base,
                      parts->iov_len < ready ? parts->iov_len : ready);
    else
        result = readv(fd, parts, n);
    return result < 0 ? -errno : result;
}

ssize_t task__nowait_ask_readv(int fd, const struct iovec parts[], int n)
{
    int error = ask(fd, POLLIN);

    return error ? error : read_parts(fd, parts, n);
}

/* A terminal that writes some characters as others, such as a newline as CR
 * LF. */
static bool is_cooked(int fd)
{
    struct termios modes;

    return !tcgetattr(fd, &modes) && (modes.c_oflag & OPOST);
}

/* A control character, or all before the first. */
static size_t row_of(const char *chars, size_t n)
{
    size_t i = 0;

    while (i < n && (unsigned char)chars[i] >= ' ' && chars[i] != '\177')
        i++;
    return i ? i : 1;
}

/* For each row such a terminal looks for room anew, and would wait for it. */
static ssize_t write_rows(int fd, const char *chars, size_t n)
{
    size_t written = 0;
    ssize_t result;

    do {
        result =
            write(fd, chars + written, row_of(chars + written, n - written));
        if (result > 0)
            written += (size_t)result;
    } while (result > 0 && written < n && !ask(fd, POLLOUT));
    return result < 0 && !written ? -errno : (ssize_t)written;
}

/* How much may be written at once where POLLOUT was told; 0: any amount. */
static size_t room_of(int fd)
{
    struct stat stat;
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && (flags & O_NONBLOCK))
        return 0;
    return !fstat(fd, &stat) && S_ISFIFO(stat.st_mode) ? PIPE_BUF
                                                       : TERMINAL_ROOM;
}

static ssize_t write_parts(int fd, const struct iovec parts[], int n)
{
    size_t room = room_of(fd);
    ssize_t result;

    while (n && !parts->iov_len) {
        parts++;
        n--;
    }
    if (n && parts->iov_len < room)
        room = parts->iov_len;
    if (room && n && is_cooked(fd))
        return write_rows(fd, parts->iov_base, room);
    if (room && n)
        result = write(fd, parts->iov_base, room);
    else
        result = writev(fd, parts, n);
    return result < 0 ? -errno : result;
}

ssize_t task__nowait_ask_writev(int fd, const struct iovec parts[], int n)
{
    int error = ask(fd, POLLOUT);

    return error ? error : task__quietly(fd, parts, n, write_parts);
}
