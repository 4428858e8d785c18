/*
 * Drives an echo server: messages of 64 bytes, one under way a connection.
 *
 * usage: echo_load <port> <connections> <seconds> <server's pid>
 *
 * After a second to warm up, prints requests per second, the latencies that half
 * and 99 of 100 stay below, and the server's processor time a request, in us.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, BUCKETS = 1 << 24, BUCKET = 100 /* ns */, EVENTS = 512 };

struct connection {
    int fd;
    size_t got;
    uint64_t sent_at;
};

static uint32_t histogram[BUCKETS];
static uint64_t n_done;
static bool warm;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* What all threads of a process have run, in ns. */
static uint64_t cpu_of(const char *pid)
{
    char path[64];
    uint64_t sum = 0;
    DIR *threads;

    snprintf(path, sizeof path, "/proc/%s/task", pid);
    threads = opendir(path);
    if (!threads)
        fail(path);
    for (struct dirent *entry; (entry = readdir(threads));) {
        char name[512];
        unsigned long long ns;
        FILE *file;

        snprintf(name, sizeof name, "%s/%s/schedstat", path, entry->d_name);
        file = entry->d_name[0] == '.' ? NULL : fopen(name, "r");
        if (file && fscanf(file, "%llu", &ns) == 1)
            sum += ns;
        if (file)
            fclose(file);
    }
    closedir(threads);
    return sum;
}

static void send_message(struct connection *connection)
{
    static const char message[MESSAGE];

    connection->got = 0;
    connection->sent_at = now();
    if (write(connection->fd, message, MESSAGE) != MESSAGE)
        fail("write");
}

static void open_connection(struct connection *connection, int epoll, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int one = 1;

    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (void *)&address, sizeof address))
        fail("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event))
        fail("epoll_ctl");
}

static void receive(struct connection *connection)
{
    char buf[4096];
    ssize_t n = read(connection->fd, buf, sizeof buf);
    uint64_t bucket;

    if (n <= 0)
        fail("the server has closed a connection");
    connection->got += (size_t)n;
    if (connection->got < MESSAGE)
        return;
    bucket = (now() - connection->sent_at) / BUCKET;
    if (warm) {
        histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        n_done++;
    }
    send_message(connection);
}

/* Until then; what comes later is answered in the next run. */
static void run_until(int epoll, uint64_t end)
{
    struct epoll_event events[EVENTS];

    while (now() < end) {
        int n = epoll_wait(epoll, events, EVENTS, 2000);

        if (n == 0) {
            fprintf(stderr, "echo_load: no answer for 2 s\n");
            exit(1);
        }
        for (int i = 0; i < n; i++)
            receive(events[i].data.ptr);
    }
}

/* The latency that a share of all stay below, in us; not a number if that is more
 * than there are buckets for. */
static double quantile(double share)
{
    uint64_t rank = (uint64_t)((double)n_done * share);
    uint64_t n = 0;
    int i = 0;

    while (i < BUCKETS - 1 && (n += histogram[i]) <= rank)
        i++;
    return i < BUCKETS - 1 ? (double)i * BUCKET / 1000 : NAN;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    struct connection *connections;
    int n = argc == 5 ? atoi(argv[2]) : 0;
    int epoll = epoll_create1(0);
    double seconds = argc == 5 ? atof(argv[3]) : 0;
    uint64_t cpu;
    uint64_t begun;

    if (n < 1 || seconds <= 0) {
        fprintf(stderr, "usage: %s <port> <connections> <seconds> <pid>\n",
                argv[0]);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc((size_t)n, sizeof *connections);
    if (!connections)
        fail("calloc");
    for (int i = 0; i < n; i++)
        open_connection(&connections[i], epoll, atoi(argv[1]));
    for (int i = 0; i < n; i++)
        send_message(&connections[i]);
    run_until(epoll, now() + 1000000000);
    warm = true;
    cpu = cpu_of(argv[4]);
    begun = now();
    run_until(epoll, begun + (uint64_t)(seconds * 1e9));
    cpu = cpu_of(argv[4]) - cpu;
    printf("%.0f %.1f %.1f %.3f\n",
           (double)n_done / ((double)(now() - begun) / 1e9), quantile(0.5),
           quantile(0.99), (double)cpu / 1000 / (double)n_done);
    return 0;
}
