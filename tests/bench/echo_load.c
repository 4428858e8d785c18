/*
 * Drives echo servers: messages of 64 bytes, one under way a connection.
 *
 * usage: echo_load <connections> <seconds> <port>:<pid>...
 *
 * The servers take turns, each for 25 ms and at least 16 messages a connection,
 * while the others are idle: so what the machine does meanwhile is the same for
 * all. Each turn begins with one message a connection that is not counted: hosts
 * of virtual machines take pages from whoever is idle, and a page takes 12 us to
 * come back. After half of the seconds each to warm up, prints a line for each
 * server: requests per second, the latencies that half and 99 of 100 stay below,
 * and its processor time a request, in us.
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
    SLICE = SECOND / 40,
    SLICE_MESSAGES = 16,
    SILENCE = 2000 /* ms */
};

struct connection {
    int fd;
    size_t got;
    uint64_t sent_at;
};

/* A server, and what it has done in its turns. */
struct target {
    char *pid;
    int epoll;
    struct connection *connections;
    bool is_counting;
    uint32_t *histogram;
    uint64_t n_done;
    uint64_t time;
    uint64_t cpu;
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
    if (!target->is_counting)
        return true;
    bucket = (now() - connection->sent_at) / BUCKET;
    target->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    target->n_done++;
    return true;
}

/* From the first message to the last answer, for so long, and so many messages; with 0
 * it is one a connection, and not counted. */
static void exchange(struct target *target, int n, uint64_t n_messages,
                     uint64_t time)
{
    struct epoll_event events[EVENTS];
    uint64_t begun = now();
    uint64_t enough = target->n_done + n_messages;
    int under_way = n;

    target->is_counting = n_messages > 0;
    for (int i = 0; i < n; i++)
        send_message(&target->connections[i]);
    while (under_way) {
        int n_events = epoll_wait(target->epoll, events, EVENTS, SILENCE);
        bool is_over = target->n_done >= enough && now() - begun >= time;

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

static void take_turn(struct target *target, int n)
{
    uint64_t begun;
    uint64_t cpu;

    exchange(target, n, 0, 0);
    cpu = cpu_of(target->pid);
    begun = now();
    exchange(target, n, (uint64_t)n * SLICE_MESSAGES, SLICE);
    target->time += now() - begun;
    target->cpu += cpu_of(target->pid) - cpu;
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
    target->connections = calloc((size_t)n, sizeof *target->connections);
    target->histogram = calloc(BUCKETS, sizeof *target->histogram);
    if (!target->connections || !target->histogram)
        fail("calloc");
    for (int i = 0; i < n; i++)
        open_connection(&target->connections[i], target->epoll, port);
}

static void forget(struct target *target)
{
    memset(target->histogram, 0, BUCKETS * sizeof *target->histogram);
    target->n_done = target->time = target->cpu = 0;
}

static void print(const struct target *target)
{
    printf("%.0f %.1f %.1f %.3f\n",
           (double)target->n_done / ((double)target->time / SECOND),
           quantile(target, 0.5), quantile(target, 0.99),
           (double)target->cpu / 1000 / (double)target->n_done);
    fflush(stdout);
}

/* What a process that drives one server is told, by a byte, and answers. */
enum order { OPEN, TURN, FORGET, PRINT };

/* One a server, for the sake of the limit of descriptors. */
static void obey(int orders, const char *word, int n)
{
    struct target target = {0};
    char order;

    while (read(orders, &order, 1) == 1) {
        switch ((enum order)order) {
        case OPEN:
            open_target(&target, word, n);
            break;
        case TURN:
            take_turn(&target, n);
            break;
        case FORGET:
            forget(&target);
            break;
        case PRINT:
            print(&target);
            break;
        }
        if (write(orders, &order, 1) != 1)
            break;
    }
    exit(0);
}

static int start(const char *word, int n)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        fail("socketpair");
    switch (fork()) {
    case -1:
        fail("fork");
    case 0:
        close(ends[0]);
        obey(ends[1], word, n);
    }
    close(ends[1]);
    return ends[0];
}

static void give(const int children[], int n, enum order order)
{
    char byte = (char)order;

    for (int i = 0; i < n; i++)
        if (write(children[i], &byte, 1) != 1 ||
            read(children[i], &byte, 1) != 1)
            exit(1);
}

static void take_turns(const int children[], int n, double seconds)
{
    uint64_t begun = now();

    give(children, n, FORGET);
    while ((double)(now() - begun) < seconds * n * SECOND)
        give(children, n, TURN);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    int n_connections = argc > 3 ? atoi(argv[1]) : 0;
    double seconds = argc > 3 ? atof(argv[2]) : 0;
    int n = argc - 3;
    int *children;

    if (n_connections < 1 || seconds <= 0) {
        fprintf(stderr, "usage: %s <connections> <seconds> <port>:<pid>...\n",
                argv[0]);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    children = calloc((size_t)n, sizeof *children);
    if (!children)
        fail("calloc");
    for (int i = 0; i < n; i++)
        children[i] = start(argv[3 + i], n_connections);
    give(children, n, OPEN);
    take_turns(children, n, seconds / 2);
    take_turns(children, n, seconds);
    give(children, n, PRINT);
    return 0;
}
