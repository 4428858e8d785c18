/*
 * Drives an echo server: messages of 64 bytes, one under way a connection.
 *
 * usage: echo_load <connections> <seconds> <port>:<pid>
 *
 * After half of the seconds to warm up, prints requests per second, the latencies
 * that half and 99 of 100 stay below, and the server's processor time a request, in
 * us. Both take at least 16 messages a connection.
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
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, BUCKETS = 1 << 24, BUCKET = 100 /* ns */, EVENTS = 512 };
enum {
    SECOND = 1000000000,
    MESSAGES = 16, /* a connection, at least */
    SILENCE = 2000 /* ms */
};

struct connection {
    int fd;
    size_t got;
    uint64_t sent_at;
};

/* A server, and what it has done. */
struct target {
    char *pid;
    int epoll;
    int n_connections;
    struct connection *connections;
    uint32_t *histogram;
    uint64_t n_done;
};

static _Noreturn void fail(const char *what)
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

/* Whether the answer is complete. */
static bool receive(struct target *target, struct connection *connection)
{
    char buf[4096];
    ssize_t n = read(connection->fd, buf, sizeof buf);
    uint64_t bucket;

    if (n <= 0)
        fail("the server has closed a connection");
    connection->got += (size_t)n;
    if (connection->got < MESSAGE)
        return false;
    bucket = (now() - connection->sent_at) / BUCKET;
    target->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    target->n_done++;
    return true;
}

static void forget(struct target *target)
{
    memset(target->histogram, 0, BUCKETS * sizeof *target->histogram);
    target->n_done = 0;
}

/* From the first message to the last answer. */
static void exchange(struct target *target, double seconds)
{
    struct epoll_event events[EVENTS];
    uint64_t until = now() + (uint64_t)(seconds * SECOND);
    int under_way = target->n_connections;

    for (int i = 0; i < under_way; i++)
        send_message(&target->connections[i]);
    while (under_way) {
        int n_events = epoll_wait(target->epoll, events, EVENTS, SILENCE);
        bool is_over =
            target->n_done >= (uint64_t)target->n_connections * MESSAGES &&
            now() >= until;

        if (!n_events) {
            fprintf(stderr, "echo_load: no answer for 2 s\n");
            exit(1);
        }
        for (int i = 0; i < n_events; i++)
            if (!receive(target, events[i].data.ptr))
                continue;
            else if (is_over)
                under_way--;
            else
                send_message(events[i].data.ptr);
    }
}

/* The latency that a share of all stay below, in us; not a number if that is more
 * than there are buckets for. */
static double quantile(const struct target *target, double share)
{
    uint64_t rank = (uint64_t)((double)target->n_done * share);
    uint64_t n = 0;
    int i = 0;

    while (i < BUCKETS - 1 && (n += target->histogram[i]) <= rank)
        i++;
    return i < BUCKETS - 1 ? (double)i * BUCKET / 1000 : NAN;
}

static void open_target(struct target *target, const char *word, int n)
{
    int port = (int)strtol(word, &target->pid, 10);

    if (*target->pid++ != ':') {
        fprintf(stderr, "echo_load: %s is not <port>:<pid>\n", word);
        exit(2);
    }
    target->epoll = epoll_create1(0);
    target->n_connections = n;
    target->connections = calloc((size_t)n, sizeof *target->connections);
    target->histogram = calloc(BUCKETS, sizeof *target->histogram);
    if (!target->connections || !target->histogram)
        fail("calloc");
    for (int i = 0; i < n; i++)
        open_connection(&target->connections[i], target->epoll, port);
}

static void measure(struct target *target, double seconds)
{
    uint64_t cpu = cpu_of(target->pid);
    uint64_t begun = now();
    double n;

    exchange(target, seconds);
    n = (double)target->n_done;
    printf("%.0f %.1f %.1f %.3f\n", n / ((double)(now() - begun) / SECOND),
           quantile(target, 0.5), quantile(target, 0.99),
           (double)(cpu_of(target->pid) - cpu) / 1000 / n);
}

int main(int argc, char **argv)
{
    int n_connections = argc == 4 ? atoi(argv[1]) : 0;
    double seconds = argc == 4 ? atof(argv[2]) : 0;
    struct target target = {0};
    struct rlimit limit;

    if (n_connections < 1 || seconds <= 0) {
        fprintf(stderr, "usage: %s <connections> <seconds> <port>:<pid>\n",
                argv[0]);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    open_target(&target, argv[3], n_connections);
    exchange(&target, seconds / 2);
    forget(&target);
    measure(&target, seconds);
    return 0;
}
