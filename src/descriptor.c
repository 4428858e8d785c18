/*
 * The table of descriptors, and who is told of their events.
 */
#include "descriptor.h"

#include "park.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

_Static_assert(offsetof(struct descriptor, table) <= CACHE_LINE,
               "what is hot of a descriptor is in one line");

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

static struct descriptor *make_chunk(struct descriptors *table, int first)
{
    size_t size = DESCRIPTORS_CHUNK * sizeof(struct descriptor);
    struct descriptor *chunk = task__memory_get_lines(table->allocator, size);

    if (!chunk)
        return NULL;
    memset(chunk, 0, size);
    for (int i = 0; i < DESCRIPTORS_CHUNK; i++) {
        chunk[i].fd = first + i;
        chunk[i].table = table;
    }
    return chunk;
}

/* Make the chunk of a number, which has to be open: so no wrong one is
 * large. */
static COLD int make(struct descriptors *table, int fd)
{
    unsigned chunk = (unsigned)fd / DESCRIPTORS_CHUNK;

    if (fd < 0 || fcntl(fd, F_GETFD) < 0)
        return -EBADF;
    if (chunk >= table->n_chunks && grow(table, chunk + 1))
        return -ENOMEM;
    table->chunks[chunk] = make_chunk(table, (int)(chunk * DESCRIPTORS_CHUNK));
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
        task__memory_free_lines(table->allocator, table->chunks[i]);
    memory_free(table->allocator, table->chunks);
    table->chunks = NULL;
    table->n_chunks = 0;
}

void task__descriptors_each(struct descriptors *table,
                            void (*fn)(struct descriptor *descriptor,
                                       void *arg),
                            void *arg)
{
    for (unsigned i = 0; i < table->n_chunks; i++)
        for (int j = 0; table->chunks[i] && j < DESCRIPTORS_CHUNK; j++)
            fn(&table->chunks[i][j], arg);
}

static struct descriptor_waiter *waiter_at(struct list_node *node)
{
    return container_of(node, struct descriptor_waiter, waiter.node);
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
    return events & (wanted | POLLERR | POLLHUP);
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
static ALWAYS_INLINE void wake_waiters(struct descriptor *descriptor,
                                       short events)
{
    struct waiter *waiter;

    while ((waiter = find_waiter(descriptor, events)))
        waiter_wake_any(waiter, events);
}

static void tell(struct descriptor *descriptor, enum direction direction,
                 short events)
{
    struct observer *observer = descriptor->observers[direction];

    if (observer && is_wanted(direction == INCOMING ? POLLIN : POLLOUT, events))
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

void task__descriptor_observe(struct descriptor *descriptor,
                              enum direction direction,
                              struct observer *observer)
{
    if (descriptor->observers[direction])
        descriptor_leave(descriptor->table, descriptor);
    descriptor->observers[direction] = observer;
    if (!observer)
        return;
    observer->is_sure = false;
    descriptor_enter(descriptor->table, descriptor);
}

static struct waiter *find_loser(struct descriptor *descriptor, bool all)
{
    struct list_node *node = descriptor->waiters.first;

    while (node && !all && !waiter_at(node)->is_sure)
        node = node->next;
    return node ? &waiter_at(node)->waiter : NULL;
}

/* Tell whoever waits that the open file is closed: all, or those that are sure
 * of it; and of them whoever wants to know who has lost it. */
static void tell_closed(struct descriptor *descriptor, bool all,
                        void (*lost)(int fd, const struct task *task))
{
    struct waiter *waiter;

    while ((waiter = find_loser(descriptor, all))) {
        const struct task *task = waiter->task;

        task__wake(waiter, -EBADF);
        if (lost)
            lost(descriptor->fd, task);
    }
    for (int i = 0; i < DIRECTIONS; i++) {
        struct observer *observer = descriptor->observers[i];

        if (!observer || (!all && !observer->is_sure))
            continue;
        task__descriptor_observe(descriptor, (enum direction)i, NULL);
        observer->ready(observer, POLLNVAL);
        if (lost)
            lost(descriptor->fd, NULL);
    }
}

static void renew(struct descriptor *descriptor,
                  void (*lost)(int fd, const struct task *task))
{
    tell_closed(descriptor, true, lost);
    descriptor_unlist(descriptor);
    descriptor->generation++;
    descriptor->uses++;
    descriptor->registered = 0;
    descriptor->kind = DESCRIPTOR_UNKNOWN;
    memset(descriptor->drained, 0, sizeof descriptor->drained);
    memset(descriptor->errors, 0, sizeof descriptor->errors);
    descriptor->hung = false;
    descriptor->is_doubtful = false;
    descriptor->is_closing = false;
}

void task__descriptor_renew(struct descriptor *descriptor)
{
    renew(descriptor, NULL);
}

void task__descriptor_lose(struct descriptor *descriptor)
{
    renew(descriptor, descriptor->table->lost);
}

void task__descriptor_confirm(struct descriptor *descriptor)
{
    struct list_node *node = descriptor->waiters.first;

    descriptor->is_doubtful = false;
    for (; node; node = node->next)
        waiter_at(node)->is_sure = true;
    for (int i = 0; i < DIRECTIONS; i++)
        if (descriptor->observers[i])
            descriptor->observers[i]->is_sure = true;
}

void task__descriptor_refute(struct descriptor *descriptor)
{
    tell_closed(descriptor, false, descriptor->table->lost);
    descriptor->generation++;
    descriptor->kind = DESCRIPTOR_UNKNOWN;
    memset(descriptor->errors, 0, sizeof descriptor->errors);
    descriptor->hung = false;
}
