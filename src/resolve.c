/*
 * Looking up names.
 *
 * Nothing ends a look-up that a worker has begun. So it has copies of all that
 * it needs, and a task of its own that waits for it: when the caller is
 * cancelled, that task stays behind, and frees what comes too late.
 */
#include "loop_above.h"
#include "worker.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <task/net.h>
#include <task/several.h>

struct lookup {
    struct loop *loop;
    struct list_node node; /* in its list */
    const char *host;      /* or NULL; so is the service */
    const char *service;
    const struct addrinfo *hints; /* or NULL */
    struct addrinfo hints_copy;
    struct addrinfo *found; /* if the status is 0 */
    bool abandoned;
    char names[]; /* what the former point to */
};

/* Names of codes differ: what is not known here is one for "not found". */
static int status_of(int error, int system_error)
{
    switch (error) {
    case 0:
        return 0;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_BADFLAGS:
    case EAI_FAMILY:
    case EAI_SOCKTYPE:
    case EAI_OVERFLOW:
        return -EINVAL;
    case EAI_SYSTEM:
        return system_error ? -system_error : -EIO;
    case EAI_FAIL:
        return -EIO;
    default:
        return -ENOENT;
    }
}

static int ask(const char *host, const char *service,
               const struct addrinfo *hints, struct addrinfo **found)
{
    int saved_errno = errno;
    int error;

    do {
        errno = 0;
        error = getaddrinfo(host, service, hints, found);
    } while (error == EAI_SYSTEM && errno == EINTR);
    error = status_of(error, errno);
    errno = saved_errno;
    return error;
}

/* Ask nobody, which does if all is numeric; -ENOENT: it is not. */
static int answer_at_once(const char *host, const char *service,
                          const struct addrinfo *hints, struct addrinfo **found)
{
    struct addrinfo numeric = {.ai_family = AF_UNSPEC};

    if (hints)
        numeric = *hints;
    numeric.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
    return ask(host, service, &numeric, found);
}

/* Whether the caller wanted nobody to be asked. */
static bool is_numeric_only(const char *host, const char *service,
                            const struct addrinfo *hints)
{
    int flags = hints ? hints->ai_flags : 0;

    return (!host || (flags & AI_NUMERICHOST)) &&
           (!service || (flags & AI_NUMERICSERV));
}

/* A port that is none, which some systems take for another one. */
static bool is_bad_port(const char *service)
{
    unsigned long port = 0;

    for (; service && *service; service++) {
        if (*service < '0' || *service > '9')
            return false;
        port = 10 * port + (unsigned long)(*service - '0');
        if (port > UINT16_MAX)
            return true;
    }
    return false;
}

static const char *copy_name(char **end, const char *name)
{
    char *copy = *end;

    if (!name)
        return NULL;
    *end = stpcpy(copy, name) + 1;
    return copy;
}

static size_t size_of(const char *name)
{
    return name ? strlen(name) + 1 : 0;
}

static struct lookup *make(struct loop *loop, const char *host,
                           const char *service, const struct addrinfo *hints)
{
    size_t size = sizeof(struct lookup) + size_of(host) + size_of(service);
    struct lookup *lookup = task__blocks_get(&loop->blocks, 1, size);
    char *end;

    if (!lookup)
        return NULL;
    memset(lookup, 0, sizeof *lookup);
    end = lookup->names;
    lookup->loop = loop;
    list_append(&loop->lookups, &lookup->node);
    lookup->host = copy_name(&end, host);
    lookup->service = copy_name(&end, service);
    if (hints) {
        lookup->hints_copy.ai_flags = hints->ai_flags;
        lookup->hints_copy.ai_family = hints->ai_family;
        lookup->hints_copy.ai_socktype = hints->ai_socktype;
        lookup->hints_copy.ai_protocol = hints->ai_protocol;
        lookup->hints = &lookup->hints_copy;
    }
    return lookup;
}

static void destroy(struct lookup *lookup)
{
    list_remove(&lookup->node);
    if (lookup->found)
        freeaddrinfo(lookup->found);
    task__blocks_free(&lookup->loop->blocks, lookup);
}

void task__lookups_destroy(struct loop *loop)
{
    struct list_node *node;

    while ((node = loop->lookups.first))
        destroy(container_of(node, struct lookup, node));
}

/* In the worker. */
static int work(void *arg)
{
    struct lookup *lookup = arg;

    return ask(lookup->host, lookup->service, lookup->hints, &lookup->found);
}

static int wait_for_worker(void *arg)
{
    struct lookup *lookup = arg;
    int status = task__worker_run(LANE_NAMES, work, lookup);

    if (!lookup->abandoned)
        return status;
    destroy(lookup);
    return 0; /* nobody asks how it went */
}

static void abandon(struct lookup *lookup, struct task *task)
{
    lookup->abandoned = true;
    task_cancel(task);
    task_detach(task);
}

/* Have it done in a worker thread, and wait for it, or not to the end. */
static int look_up(struct lookup *lookup, struct addrinfo **result)
{
    static const struct task_options options = {
        .name = "look-up of a name", .daemon = true, .eager = true};
    struct task *task = (task_create_with)(wait_for_worker, lookup, &options);
    int status = task_shield(task);

    if (!task_done(task)) {
        abandon(lookup, task);
        return status;
    }
    (void)task_status(task); /* read: a cancel may have come before a failure */
    task_detach(task);
    if (!status) {
        *result = lookup->found;
        lookup->found = NULL;
    }
    destroy(lookup);
    return status;
}

int task_getaddrinfo(const char *host, const char *service,
                     const struct addrinfo *hints, struct addrinfo **result)
{
    struct addrinfo *found;
    struct lookup *lookup;
    struct task *self;
    int status = task_enter(&self);

    if (status)
        return status;
    if (service && !*service)
        service = NULL;
    if (!result || (!host && !service))
        return MISUSE(-EINVAL, "there is no name, or no place for a result");
    if (is_bad_port(service))
        return -EINVAL;
    status = answer_at_once(host, service, hints, &found);
    if (!status)
        *result = found;
    if (status != -ENOENT || is_numeric_only(host, service, hints))
        return status;
    lookup = make(loop_of_task(self), host, service, hints);
    return lookup ? look_up(lookup, result) : -ENOMEM;
}
