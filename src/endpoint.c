/*
 * The addresses of a socket.
 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>

enum { LONGEST = 80 };

/* A socket may have no path, or one that is no string. */
static void add_path(struct text *text, const struct sockaddr_un *address,
                     socklen_t length)
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    int n = length > start ? (int)(length - start) : 0;

    if (n && address->sun_path[0])
        task__text_add(text, "%.*s", n < LONGEST ? n : LONGEST,
                       address->sun_path);
    else if (n > 1)
        task__text_add(text, "@%.*s", n - 1 < LONGEST ? n - 1 : LONGEST,
                       address->sun_path + 1);
    else
        task__text_add(text, "unix");
}

static void add_address(struct text *text, const union address *address,
                        socklen_t length)
{
    char name[INET6_ADDRSTRLEN] = "?";

    switch (address->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &address->ip4.sin_addr, name, sizeof name);
        task__text_add(text, "%s:%u", name,
                       (unsigned)ntohs(address->ip4.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &address->ip6.sin6_addr, name, sizeof name);
        task__text_add(text, "[%s]:%u", name,
                       (unsigned)ntohs(address->ip6.sin6_port));
        break;
    case AF_UNIX:
        add_path(text, &address->unix_path, length);
        break;
    default:
        task__text_add(text, "family %d", address->any.sa_family);
    }
}

void task__endpoint_add(struct text *text, int fd, const char *arrow)
{
    union address address = {.any.sa_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    int saved_errno = errno;

    task__text_add(text, "fd %d", fd);
    if (!getsockname(fd, &address.any, &length)) {
        task__text_add(text, " (");
        add_address(text, &address, length);
        length = sizeof address;
        if (!getpeername(fd, &address.any, &length)) {
            task__text_add(text, " %s ", arrow);
            add_address(text, &address, length);
        }
        task__text_add(text, ")");
    }
    errno = saved_errno;
}
