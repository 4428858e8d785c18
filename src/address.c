/*
 * Making sockets and binding them.
 */
#include "address.h"

#include <errno.h>
#include <netinet/in.h>
#include <task/net.h>
#include <unistd.h>

/* Some systems keep 16 bits of a backlog. */
enum { BACKLOG_MOST = 65535 };

static enum descriptor_kind kind_of(int family, int type)
{
    if (type != SOCK_STREAM)
        return DESCRIPTOR_SOCKET;
    return family == AF_UNIX ? DESCRIPTOR_STREAM : DESCRIPTOR_TCP;
}

int task__address_open(int family, int type, int protocol)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0)
        fd = -errno;
    errno = saved_errno;
    if (fd >= 0 && loop)
        task__fd_opened(loop, fd, kind_of(family, type));
    return fd;
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? -errno : 0;
}

int task__address_listen(int fd, int backlog)
{
    if (backlog <= 0 || backlog > BACKLOG_MOST)
        backlog = BACKLOG_MOST;
    return listen(fd, backlog) ? -errno : 0;
}

static int set_options(int fd, int family, const struct binding *binding)
{
    int error = 0;

    if (family == AF_INET6)
        error =
            set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, binding->is_dual ? 0 : 1);
    if (!error && binding->type == SOCK_STREAM)
        error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error && binding->reuse_port)
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return error;
}

int task__address_bind(const struct addrinfo *address,
                       const struct binding *binding)
{
    int fd = task__address_open(address->ai_family, binding->type,
                                address->ai_protocol);
    int error;

    if (fd < 0)
        return fd;
    error = set_options(fd, address->ai_family, binding);
    if (!error && bind(fd, address->ai_addr, address->ai_addrlen))
        error = -errno;
    if (!error && binding->type == SOCK_STREAM)
        error = task__address_listen(fd, binding->backlog);
    if (!error)
        return fd;
    close(fd);
    return error;
}

int task__address_look_up(const char *host, const char *service, int type,
                          struct addrinfo **list)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = type};

    service = address_name(service);
    return task_getaddrinfo(address_name(host), service ? service : "0", &hints,
                            list);
}

/* The first of a family (AF_UNSPEC: of all) that this machine has. */
static int bind_first(const struct addrinfo *list, int family,
                      const struct binding *binding)
{
    int result = -EAFNOSUPPORT;

    for (; list && address_is_missing(result); list = list->ai_next)
        if (family == AF_UNSPEC || list->ai_family == family)
            result = task__address_bind(list, binding);
    return result;
}

/* Without a host, one for both families, or else for any. */
static int bind_any(const struct addrinfo *list, struct binding *binding)
{
    int result;

    binding->is_dual = true;
    result = bind_first(list, AF_INET6, binding);
    return address_is_missing(result) ? bind_first(list, AF_UNSPEC, binding)
                                      : result;
}

static NEVER_INLINE int bind_found(struct addrinfo *list, const char *host,
                                   struct binding *binding)
{
    int saved_errno = errno;
    int result = address_name(host) ? bind_first(list, AF_UNSPEC, binding)
                                    : bind_any(list, binding);

    freeaddrinfo(list);
    errno = saved_errno;
    return result;
}

static ALWAYS_INLINE int look_up_and_bind(const char *call, const char *host,
                                          const char *service,
                                          struct binding *binding)
{
    struct addrinfo *list;
    struct task *self;
    int result = task_enter_in(&self, call);

    if (result)
        return result;
    if (!host && !service)
        return misuse(call, -EINVAL, "there is neither host nor service");
    result = task__address_look_up(host, service, binding->type, &list);
    return result ? result : bind_found(list, host, binding);
}

int task_tcp_listen(const char *host, const char *service, int backlog)
{
    return look_up_and_bind(
        __func__, host, service,
        &(struct binding){.type = SOCK_STREAM, .backlog = backlog});
}

int task_udp_open(const char *host, const char *service)
{
    return look_up_and_bind(__func__, host, service,
                            &(struct binding){.type = SOCK_DGRAM});
}
