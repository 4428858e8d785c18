/*
 * What is known of each descriptor that somebody waits for, or has waited for:
 * a table by number.
 *
 * A number is used for one open file after the other, and the library is not
 * told when one of them is closed. A use has a generation, by which events of
 * an earlier one are known and ignored. What is believed of a use may be wrong
 * when the number was closed and opened again meanwhile: kinds are found out by
 * the errors of the calls, and what the kernel is believed to watch is doubted
 * by the poller, which looks after those that wait in vain.
 */
#ifndef TASK_SRC_DESCRIPTOR_H
#define TASK_SRC_DESCRIPTOR_H

#include "memory.h"
#include "scheduler.h"

#include <poll.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0 /* such a system tells of it by POLLIN alone */
#endif

/* What the number stands for. */
enum descriptor_kind {
    DESCRIPTOR_UNKNOWN,
    DESCRIPTOR_TCP,
    DESCRIPTOR_STREAM, /* a local stream, or TCP that is not known as such */
    DESCRIPTOR_SOCKET, /* another socket */
    DESCRIPTOR_PIPE,
    DESCRIPTOR_FILE, /* a regular file, a folder, a disk: always ready */
    DESCRIPTOR_OTHER /* a terminal, an eventfd, ... */
};

/* A way to use a descriptor. */
enum direction { INCOMING, OUTGOING, DIRECTIONS };

/* Whoever is told each time that something is ready, while it is set. POLLNVAL:
 * the number is closed, and it is set no more. */
struct observer {
    void (*ready)(struct observer *observer, short events);
    bool is_level; /* as long as it is ready, not only when it becomes so */
    bool is_sure;  /* its open file is the one that is watched */
};

struct descriptor {
    /* What each wait and event touches: one line of the cache. */
    _Alignas(CACHE_LINE) int fd;
    uint32_t generation; /* of what is watched: events tell it */
    uint32_t uses;       /* that we know of: changes when it is closed */
    uint32_t registered; /* the poller's: for what; 0: not at all */
    struct list waiters; /* each of them for other events */
    struct observer *observers[DIRECTIONS];
    uint32_t n_waits; /* tasks, until they go on, and observers */
    uint8_t kind;
    bool drained[DIRECTIONS]; /* to try is vain before the next event */
    bool hung;                /* one end is closed: to try is never vain */
    uint8_t streak;           /* calls in a row that did not have to wait */
    bool is_closing : 1;      /* when the last job has ended */
    bool is_doubtful : 1;     /* it was told to be ready, and was not */
    bool is_listed : 1;       /* in a list of the poller's */
    uint8_t heard_in;         /* the poller's: the look before the last event */

    /* An error that came after some bytes, and comes next: 0, or negative. */
    int16_t errors[DIRECTIONS];

    struct descriptors *table;
    uint64_t inode;   /* of the open file that had one, or that is closing */
    struct list jobs; /* of fd.h: what worker threads do with it */
    struct list_node node; /* if it is listed */
    uint64_t watched; /* poll's: the inode of the open file that is watched */
};

/* A task that waits: for `wanted`, errors and hang-ups. */
struct descriptor_waiter {
    struct waiter waiter;
    short wanted;
    bool is_sure; /* as an observer's */
};

enum { DESCRIPTORS_CHUNK = 64 };

struct descriptors {
    const struct allocator *allocator;
    struct descriptor **chunks;
    unsigned n_chunks;
    size_t n_watched; /* those with waits */

    /* Is told of each task (NULL: an observer) that waits for a number when
     * that is found to have been closed without our knowing. */
    void (*lost)(int fd, const struct task *task);
};

/* The entry of a number, or NULL when it has none. */
static ALWAYS_INLINE struct descriptor *
descriptors_find(const struct descriptors *table, int fd)
{
    unsigned chunk = (unsigned)fd / DESCRIPTORS_CHUNK;

    if (unlikely(chunk >= table->n_chunks || !table->chunks[chunk]))
        return NULL;
    return &table->chunks[chunk][(unsigned)fd % DESCRIPTORS_CHUNK];
}

/* The same, and make it; -EBADF, -ENOMEM. */
int task__descriptors_get(struct descriptors *table, int fd,
                          struct descriptor **descriptor);

/* The poller keeps it in one of its lists, or in none. */
static inline void descriptor_list(struct descriptor *descriptor,
                                   struct list *list)
{
    list_append(list, &descriptor->node);
    descriptor->is_listed = true;
}

static inline void descriptor_unlist(struct descriptor *descriptor)
{
    if (!descriptor->is_listed)
        return;
    list_remove(&descriptor->node);
    descriptor->is_listed = false;
}

/* Somebody begins, or ends, to wait for it. */
static ALWAYS_INLINE void descriptor_enter(struct descriptors *table,
                                           struct descriptor *descriptor)
{
    table->n_watched += !descriptor->n_waits++;
}

static ALWAYS_INLINE void descriptor_leave(struct descriptors *table,
                                           struct descriptor *descriptor)
{
    table->n_watched -= !--descriptor->n_waits;
}

void task__descriptors_destroy(struct descriptors *table);

/* Do that for each that has an entry. */
void task__descriptors_each(struct descriptors *table,
                            void (*fn)(struct descriptor *descriptor,
                                       void *arg),
                            void *arg);

/* Have it told from now on, or (NULL) nobody any more. */
void task__descriptor_observe(struct descriptor *descriptor,
                              enum direction direction,
                              struct observer *observer);

/* The events that somebody waits for. */
short task__descriptor_wanted(const struct descriptor *descriptor);

/* What to ask the kernel for: who reads hears of the end, too. */
static inline short descriptor_asked(const struct descriptor *descriptor)
{
    short wanted = task__descriptor_wanted(descriptor);

    return (short)(wanted & POLLIN ? wanted | POLLRDHUP : wanted);
}

/* Whether it is watched as long as it is ready, for callbacks. */
static inline bool descriptor_is_level(const struct descriptor *descriptor)
{
    const struct observer *in = descriptor->observers[INCOMING];
    const struct observer *out = descriptor->observers[OUTGOING];

    return (in && in->is_level) || (out && out->is_level);
}

static ALWAYS_INLINE bool kind_is_socket(unsigned kind)
{
    return kind - DESCRIPTOR_TCP <= DESCRIPTOR_SOCKET - DESCRIPTOR_TCP;
}

/* Sockets that are streams of bytes. */
static ALWAYS_INLINE bool kind_is_stream(unsigned kind)
{
    return kind - DESCRIPTOR_TCP <= DESCRIPTOR_STREAM - DESCRIPTOR_TCP;
}

static ALWAYS_INLINE bool
descriptor_is_idle(const struct descriptor *descriptor)
{
    return list_empty(&descriptor->waiters) &&
           !descriptor->observers[INCOMING] && !descriptor->observers[OUTGOING];
}

/* Have what is needed to wake who waits for it come into the cache. */
static ALWAYS_INLINE void
descriptor_prefetch_waiter(const struct descriptor *descriptor)
{
    const struct list_node *node = descriptor->waiters.first;
    uintptr_t waiter = (uintptr_t)node - offsetof(struct waiter, node);

    if (!node)
        return;
    __builtin_prefetch((void *)waiter, 1);
    __builtin_prefetch((void *)(waiter + CACHE_LINE), 1);
}

/* Whether somebody waits for any of these events. */
static ALWAYS_INLINE bool
descriptor_is_busy(const struct descriptor *descriptor, short events)
{
    return unlikely(!descriptor_is_idle(descriptor)) &&
           (task__descriptor_wanted(descriptor) & events);
}

/* Something has become ready: tell whoever waits for it. */
void task__descriptor_ready(struct descriptor *descriptor, short events);

/* The number begins another use: whoever still waits for the former one is
 * woken with -EBADF. */
void task__descriptor_renew(struct descriptor *descriptor);

/* The same, as it was found out that somebody else has closed it. */
void task__descriptor_lose(struct descriptor *descriptor);

/* What is watched was found to be the open file that the number stands for now:
 * so is what all wait for that wait now. */
void task__descriptor_confirm(struct descriptor *descriptor);

/* It was found not to be: whoever was sure that it is waits for a file that is
 * closed, and is woken with -EBADF. */
void task__descriptor_refute(struct descriptor *descriptor);

/* Find out its kind, if it is not known. */
int task__descriptor_classify(struct descriptor *descriptor);

/* The same, if it is known as well: the number may be another open file now. */
int task__descriptor_classify_again(struct descriptor *descriptor);

#endif
