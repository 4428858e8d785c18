/*
 * The limit: an echo server by hand, of epoll and nothing else, for messages that
 * fit into a buffer.
 *
 * usage: echo_epoll <port> [level | pages]
 *
 * Edge-triggered, by recv and send, which is the fastest; or level-triggered, by
 * read and write, which is what most write; or with messages in a page a
 * connection, as far from the next one's as stacks are.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, MOST = 1 << 16 };
enum { BUFFER = 4096, DISTANCE = 72 << 10, COLOURS = 16, COLOUR = 64 };

static char *pages;
static bool by_level;

static void add(int epoll, int fd)
{
    struct epoll_event event = {
        .events = by_level ? EPOLLIN : EPOLLIN | EPOLLRDHUP | EPOLLET,
        .data.fd = fd};

    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(int epoll, int listener)
{
    int one = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        add(epoll, fd);
    }
}

/* Not all at the same place in its page: these share a few sets of the cache. */
static char *place_in_page(int fd)
{
    return pages + (size_t)fd * DISTANCE + (size_t)(fd % COLOURS * COLOUR);
}

static void echo(int fd)
{
    char on_stack[BUFFER];
    char *buf = pages ? place_in_page(fd) : on_stack;
    ssize_t n = recv(fd, buf, BUFFER, 0); /* which may go on in the next page */

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
        close(fd);
}

static void echo_by_level(int fd)
{
    char buf[BUFFER];
    ssize_t n = read(fd, buf, sizeof buf);

    if (n <= 0 || write(fd, buf, (size_t)n) != n)
        close(fd);
}

static void reserve_pages(void)
{
    size_t size = (size_t)MOST * DISTANCE;

    pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED || madvise(pages, size, MADV_NOHUGEPAGE)) {
        perror("echo_epoll");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event events[EVENTS];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int epoll = epoll_create1(0);
    int one = 1;

    by_level = argc == 3 && !strcmp(argv[2], "level");
    if (argc == 3 && !strcmp(argv[2], "pages"))
        reserve_pages();
    if (argc > 3 || (argc == 3 && !by_level && !pages)) {
        fprintf(stderr, "usage: %s <port> [level | pages]\n", argv[0]);
        return 2;
    }
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 4096)) {
        perror("echo_epoll");
        return 1;
    }
    add(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else if (by_level)
                echo_by_level(events[i].data.fd);
            else
                echo(events[i].data.fd);
    }
}
