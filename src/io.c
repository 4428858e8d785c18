/*
 * Reading and writing.
 */
#include "io.h"

#include "file.h"
#include "nowait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>

static size_t size_of(const struct transfer *transfer)
{
    size_t size = 0;

    for (int i = 0; i < transfer->n; i++)
        size += transfer->parts[i].iov_len;
    return size;
}

static struct msghdr message_of(const struct transfer *transfer)
{
    struct msghdr message = {.msg_iov = transfer->parts,
                             .msg_iovlen = (size_t)transfer->n};

    return message;
}

/* A local stream reads no further than to where descriptors, or another
 * sender's credentials, were sent: what it leaves out then it tells of by
 * MSG_CTRUNC. */
static ssize_t receive(struct descriptor *descriptor, struct transfer *transfer)
{
    struct msghdr message;
    ssize_t result;
    bool is_shut = false;

    do { /* once more: what came before it was shut is told first */
        message = message_of(transfer);
        result = io_result(recvmsg(descriptor->fd, &message, MSG_DONTWAIT));
    } while (result == -EAGAIN && !is_shut &&
             descriptor->kind == DESCRIPTOR_SOCKET &&
             (is_shut = fd_is_shut(descriptor)));
    if (kind_is_stream(descriptor->kind) && !(message.msg_flags & MSG_CTRUNC))
        io_note_drained(descriptor, result, size_of(transfer));
    return result == -EAGAIN && is_shut ? 0 : result;
}

NEVER_INLINE ssize_t task__io_read_other(struct descriptor *descriptor,
                                         struct transfer *transfer)
{
    if (descriptor->kind == DESCRIPTOR_UNKNOWN)
        task__descriptor_classify_again(descriptor);
    if (kind_is_socket(descriptor->kind))
        return receive(descriptor, transfer);
    return task__nowait_readv(descriptor->fd, transfer->parts, transfer->n);
}

NEVER_INLINE ssize_t task__io_write_other(struct descriptor *descriptor,
                                          struct transfer *transfer)
{
    struct msghdr message = message_of(transfer);

    if (descriptor->kind == DESCRIPTOR_UNKNOWN)
        task__descriptor_classify_again(descriptor);
    if (kind_is_socket(descriptor->kind))
        return io_result(
            sendmsg(descriptor->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    return task__nowait_writev(descriptor->fd, transfer->parts, transfer->n);
}

/* A way to move bytes. */
struct way {
    enum direction direction;
    attempt_fn *attempt;
    ssize_t (*move_file)(struct task *self, int fd, const struct iovec parts[],
                         int n, off_t offset);
};

static const struct way READING = {INCOMING, io_read, task__file_readv};
static const struct way WRITING = {OUTGOING, io_write, task__file_writev};

/* Whether a wait has found out that there is nothing to wait for. */
static bool is_always_ready(const struct descriptor *descriptor, ssize_t result)
{
    return result == -EPERM && descriptor->kind == DESCRIPTOR_FILE;
}

/*
 * What the number is may have changed since it was found out. Files are looked
 * at each time, since a mistake would park a thread; of others the errors tell:
 * of a system call that is not for this kind, or of a wait in vain. The latter
 * has noted that it is always ready.
 */
static COLD ssize_t move_other(struct task *self, struct descriptor *descriptor,
                               const struct way *way, struct transfer *transfer,
                               const struct wait_kind *kind)
{
    unsigned heard = task_heard(self);
    ssize_t result;

    do {
        result = task__descriptor_classify_again(descriptor);
        if (result == -EBADF) /* for whoever still waits for it too */
            task__descriptor_lose(descriptor);
        if (result)
            return result;
        if (descriptor->kind == DESCRIPTOR_FILE)
            break;
        result = task__fd_perform(self, descriptor, way->direction,
                                  way->attempt, transfer, kind, false);
        if (!is_always_ready(descriptor, result) && result != -ENOTSOCK)
            return result;
    } while (result == -ENOTSOCK);
    result =
        way->move_file(self, descriptor->fd, transfer->parts, transfer->n, -1);
    if (result == -ECANCELED && kind->cancel)
        task_undeliver(self, heard);
    return result;
}

/* Move what can be moved at once, or after a wait. */
static ALWAYS_INLINE ssize_t move_some(struct task *self,
                                       struct descriptor *descriptor,
                                       const struct way *way,
                                       struct transfer *transfer,
                                       const struct wait_kind *kind)
{
    ssize_t result = fd_take_error(descriptor, way->direction);

    if (unlikely(result))
        return result;
    if (unlikely(descriptor->kind == DESCRIPTOR_UNKNOWN ||
                 descriptor->kind == DESCRIPTOR_FILE))
        return move_other(self, descriptor, way, transfer, kind);
    result = fd_perform(self, descriptor, way->direction, way->attempt,
                        transfer, kind);
    if (unlikely(result == -ENOTSOCK || is_always_ready(descriptor, result)))
        return move_other(self, descriptor, way, transfer, kind);
    return result;
}

/* No bytes: whatever the kind, nothing is waited for. */
static ssize_t move_none(struct task *self, int fd)
{
    struct descriptor *descriptor;
    int saved_errno = errno;
    ssize_t result = fd_get(loop_of_task(self), fd, &descriptor);

    if (!result && fcntl(fd, F_GETFD) < 0)
        result = -errno;
    errno = saved_errno;
    return result;
}

static ALWAYS_INLINE ssize_t move(int fd, const struct way *way,
                                  struct iovec parts[], int n, const char *call)
{
    struct transfer transfer = {parts, n < IOV_MAX ? n : IOV_MAX};
    struct descriptor *descriptor;
    struct task *self;
    ssize_t result = task_enter_in(&self, call);
    int saved_errno;

    if (unlikely(result))
        return result;
    if (unlikely(n < 0))
        return misuse(call, -EINVAL, "there are less than no parts");
    if (unlikely(!size_of(&transfer)))
        return move_none(self, fd);
    saved_errno = fd_errno(self);
    result = fd_get(loop_of_task(self), fd, &descriptor);
    if (likely(!result))
        result = move_some(self, descriptor, way, &transfer,
                           way == &READING ? &task__reading : &task__writing);
    fd_restore_errno(self, saved_errno);
    return fd_tell_busy(fd, result, call);
}

ssize_t task_read(int fd, void *buf, size_t n)
{
    struct iovec part = {buf, n};

    return move(fd, &READING, &part, 1, __func__);
}

ssize_t task_write(int fd, const void *buf, size_t n)
{
    struct iovec part = {(void *)(uintptr_t)buf, n};

    return move(fd, &WRITING, &part, 1, __func__);
}

/* The first of the parts from which some bytes, if there are any, are among as
 * many as a system call takes. They are not written to: the cast is for what
 * writing shares with reading. */
static struct iovec *first_of(const struct iovec *parts, int *n)
{
    for (int empty = 0; *n > IOV_MAX && !parts[empty].iov_len;)
        if (++empty == IOV_MAX) {
            parts += IOV_MAX;
            *n -= IOV_MAX;
            empty = 0;
        }
    return (struct iovec *)(uintptr_t)parts;
}

ssize_t task_readv(int fd, const struct iovec *parts, int n)
{
    struct iovec *first = first_of(parts, &n);

    return move(fd, &READING, first, n, __func__);
}

ssize_t task_writev(int fd, const struct iovec *parts, int n)
{
    struct iovec *first = first_of(parts, &n);

    return move(fd, &WRITING, first, n, __func__);
}

/* Once something was moved, a request comes next, and so does an error, but for
 * those of this call alone. */
static ssize_t finish(struct descriptor *descriptor, const struct way *way,
                      size_t moved, ssize_t result)
{
    if (!moved)
        return result;
    if (result < 0 && result != -ECANCELED && result != -EBADF &&
        result != -EBUSY)
        task__fd_keep_error(descriptor, way->direction, (int)result);
    return (ssize_t)moved;
}

/* Go on after a first system call that did not move all, until one moves
 * nothing. The number may become another file while a worker has it. */
static NEVER_INLINE ssize_t move_rest(struct task *self,
                                      struct descriptor *descriptor,
                                      const struct way *way, struct iovec rest,
                                      ssize_t result, uint32_t uses,
                                      const struct wait_kind *more)
{
    const size_t n = rest.iov_len;

    while (result > 0) {
        struct iovec part;
        struct transfer transfer = {&part, 1};

        rest.iov_base = (char *)rest.iov_base + result;
        rest.iov_len -= (size_t)result;
        if (!rest.iov_len || descriptor->uses != uses)
            break;
        part = rest;
        result = move_some(self, descriptor, way, &transfer, more);
    }
    if (descriptor->uses != uses && rest.iov_len < n)
        return (ssize_t)(n - rest.iov_len);
    return finish(descriptor, way, n - rest.iov_len, result);
}

static ALWAYS_INLINE ssize_t move_parts(struct task *self,
                                        struct descriptor *descriptor,
                                        const struct way *way, struct iovec all,
                                        const struct wait_kind *first,
                                        const struct wait_kind *more)
{
    struct iovec part = all;
    struct transfer transfer = {&part, 1};
    uint32_t uses = descriptor->uses;
    ssize_t result = move_some(self, descriptor, way, &transfer, first);

    return likely((size_t)result == all.iov_len)
               ? result
               : move_rest(self, descriptor, way, all, result, uses, more);
}

static ALWAYS_INLINE ssize_t move_all(int fd, const struct way *way, char *buf,
                                      size_t n, const struct wait_kind *first,
                                      const struct wait_kind *more,
                                      const char *call)
{
    struct descriptor *descriptor;
    struct task *self;
    ssize_t result = task_enter_in(&self, call);
    int saved_errno;

    if (result)
        return result;
    if (!n)
        return move_none(self, fd);
    saved_errno = fd_errno(self);
    result = fd_get(loop_of_task(self), fd, &descriptor);
    if (!result)
        result = move_parts(self, descriptor, way, (struct iovec){buf, n},
                            first, more);
    fd_restore_errno(self, saved_errno);
    return result;
}

ssize_t task__io_read_full(int fd, void *buf, size_t n)
{
    return move_all(fd, &READING, buf, n, &task__reading, &task__reading_more,
                    __func__);
}

ssize_t task_read_full(int fd, void *buf, size_t n)
{
    return fd_tell_busy(fd,
                        move_all(fd, &READING, buf, n, &task__reading,
                                 &task__reading_more, __func__),
                        __func__);
}

ssize_t task_write_all(int fd, const void *buf, size_t n)
{
    return fd_tell_busy(fd,
                        move_all(fd, &WRITING, (char *)(uintptr_t)buf, n,
                                 &task__writing, &task__writing_more, __func__),
                        __func__);
}

static ALWAYS_INLINE ssize_t move_at(int fd, const struct way *way, void *buf,
                                     size_t n, off_t offset, const char *call)
{
    struct iovec part = {buf, n};
    struct task *self;
    ssize_t result = task_enter_in(&self, call);
    int saved_errno;

    if (result)
        return result;
    if (offset < 0)
        return misuse(call, -EINVAL, "the offset is negative");
    saved_errno = errno;
    result = way->move_file(self, fd, &part, 1, offset);
    fd_restore_errno(self, saved_errno);
    return result;
}

ssize_t task_pread(int fd, void *buf, size_t n, off_t offset)
{
    return move_at(fd, &READING, buf, n, offset, __func__);
}

ssize_t task_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    return move_at(fd, &WRITING, (void *)(uintptr_t)buf, n, offset, __func__);
}
