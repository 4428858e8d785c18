/*
 * The table of descriptors, and who is told of their events.
 */
#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int grow(struct descriptors *table, unsigned n)
{
    unsigned more = 2 * table->n_chunks > n ? 2 * table->n_chunks : n;
    struct descriptor **chunks =
        memory_resize(table->allocator, table->chunks, more * sizeof(*chunks));

    if (!chunks)
        return -ENOMEM;
    memset(chunks + table->n_chunks, 0,
           (more - table->n_chunks) * sizeof(*chunks));
    table->chunks = chunks;
    table->n_chunks = more;
    return 0;
}

static struct descriptor *make_chunk(const struct allocator *allocator,
                                     int first)
{
    struct descriptor *chunk =
        memory_get(allocator, DESCRIPTORS_CHUNK * sizeof(*chunk));

    if (!chunk)
        return NULL;
    memset(chunk, 0, DESCRIPTORS_CHUNK * sizeof(*chunk));
    for (int i = 0; i < DESCRIPTORS_CHUNK; i++)
        chunk[i].fd = first + i;
    return chunk;
}

/* Make the chunk of a number, which has to be open: so no wrong one is large. */
static COLD int make(struct descriptors *table, int fd)
{
    unsigned chunk = (unsigned)fd / DESCRIPTORS_CHUNK;

    if (fd < 0 || fcntl(fd, F_GETFD) < 0)
        return -EBADF;
    if (chunk >= table->n_chunks && grow(table, chunk + 1))
        return -ENOMEM;
    table->chunks[chunk] =
        make_chunk(table->allocator, (int)(chunk * DESCRIPTORS_CHUNK));
    return table->chunks[chunk] ? 0 : -ENOMEM;
}

int task__descriptors_get(struct descriptors *table, int fd,
                          struct descriptor **descriptor)
{
    *descriptor = descriptors_find(table, fd);
    if (unlikely(!*descriptor)) {
        int error = make(table, fd);

        if (error)
            return error;
        *descriptor = descriptors_find(table, fd);
    }
    return 0;
}

void task__descriptors_destroy(struct descriptors *table)
{
    for (unsigned i = 0; i < table->n_chunks; i++)
        memory_free(table->allocator, table->chunks[i]);
    memory_free(table->allocator, table->chunks);
    table->chunks = NULL;
    table->n_chunks = 0;
}

static struct descriptor_waiter *waiter_at(struct list_node *node)
{
    return container_of(container_of(node, struct waiter, node),
                        struct descriptor_waiter, waiter);
}

short task__descriptor_wanted(const struct descriptor *descriptor)
{
    struct list_node *node = descriptor->waiters.first;
    int wanted = (descriptor->observers[INCOMING] ? POLLIN : 0) |
                 (descriptor->observers[OUTGOING] ? POLLOUT : 0);

    for (; node; node = node->next)
        wanted |= waiter_at(node)->wanted;
    return (short)wanted;
}

static bool is_wanted(short wanted, short events)
{
    return events & (wanted | POLLERR | POLLHUP | POLLNVAL);
}

/* The first that waits for any of these, or NULL. */
static struct waiter *find_waiter(struct descriptor *descriptor, short events)
{
    struct list_node *node = descriptor->waiters.first;

    while (node && !is_wanted(waiter_at(node)->wanted, events))
        node = node->next;
    return node ? &waiter_at(node)->waiter : NULL;
}

/* To wake one may take others off the list: cases of the same task. */
static void wake_waiters(struct descriptor *descriptor, short events)
{
    struct waiter *waiter;

    while ((waiter = find_waiter(descriptor, events)))
        task__wake(waiter, events & POLLNVAL ? -EBADF : events);
}

static void tell(struct descriptor *descriptor, enum direction direction,
                 short events)
{
    struct observer *observer = descriptor->observers[direction];

    if (!observer ||
        !is_wanted(direction == INCOMING ? POLLIN : POLLOUT, events))
        return;
    if (events & POLLNVAL)
        descriptor->observers[direction] = NULL;
    observer->ready(observer, events);
}

void task__descriptor_ready(struct descriptor *descriptor, short events)
{
    if (events & (POLLERR | POLLHUP | POLLRDHUP | POLLPRI))
        descriptor->hung = true;
    if (descriptor->hung || (events & POLLIN))
        descriptor->drained[INCOMING] = false;
    if (descriptor->hung || (events & POLLOUT))
        descriptor->drained[OUTGOING] = false;
    if (events & POLLRDHUP)
        events |= POLLIN;
    wake_waiters(descriptor, events);
    tell(descriptor, INCOMING, events);
    tell(descriptor, OUTGOING, events);
}

void task__descriptor_renew(struct descriptor *descriptor)
{
    task__descriptor_ready(descriptor, POLLNVAL);
    list_remove(&descriptor->node);
    descriptor->generation++;
    descriptor->registered = 0;
    descriptor->kind = DESCRIPTOR_UNKNOWN;
    memset(descriptor->drained, 0, sizeof descriptor->drained);
    memset(descriptor->errors, 0, sizeof descriptor->errors);
    descriptor->hung = false;
}

static int kind_of_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
        return DESCRIPTOR_SOCKET;
    return type == SOCK_STREAM ? DESCRIPTOR_STREAM : DESCRIPTOR_SOCKET;
}

int task__descriptor_classify(struct descriptor *descriptor)
{
    struct stat stat;

    if (descriptor->kind != DESCRIPTOR_UNKNOWN)
        return 0;
    if (fstat(descriptor->fd, &stat))
        return -errno;
    if (S_ISSOCK(stat.st_mode))
        descriptor->kind = (uint8_t)kind_of_socket(descriptor->fd);
    else if (S_ISFIFO(stat.st_mode))
        descriptor->kind = DESCRIPTOR_PIPE;
    else if (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode) ||
             S_ISBLK(stat.st_mode))
        descriptor->kind = DESCRIPTOR_FILE;
    else
        descriptor->kind = DESCRIPTOR_OTHER;
    return 0;
}
