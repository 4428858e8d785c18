/*
 * What a descriptor is connected to, in words.
 */
#ifndef TASK_SRC_ENDPOINT_H
#define TASK_SRC_ENDPOINT_H

#include "text.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Any address, as whichever it is. */
union address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_un unix_path;
    struct sockaddr_storage room;
};

/*
 * fd 7 (127.0.0.1:8080 <- 127.0.0.1:51234): of a socket its own address and its
 * peer's, with the arrow between them, as far as there are any. Asks the
 * kernel, so it tells of whatever has this number now.
 */
void task__endpoint_add(struct text *text, int fd, const char *arrow);

#endif
