/* State Threads' echo server: a thread a connection. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <st.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void *serve(void *arg)
{
    st_netfd_t fd = arg;
    char buf[4096];
    ssize_t n;

    while ((n = st_read(fd, buf, sizeof buf, ST_UTIME_NO_TIMEOUT)) > 0)
        if (st_write(fd, buf, (size_t)n, ST_UTIME_NO_TIMEOUT) != n)
            break;
    st_netfd_close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    st_netfd_t listener;

    st_set_eventsys(ST_EVENTSYS_POLL);
    st_init();
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) ||
        listen(fd, 4096)) {
        perror("echo_st");
        return 1;
    }
    listener = st_netfd_open_socket(fd);
    for (;;) {
        st_netfd_t client =
            st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);

        if (!client)
            continue;
        setsockopt(st_netfd_fileno(client), IPPROTO_TCP, TCP_NODELAY, &one,
                   sizeof one);
        st_thread_create(serve, client, 0, 65536);
    }
}
