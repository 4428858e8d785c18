/*
 * fetch: get many URLs at once, within one deadline for all.
 *
 * For each a line with its status, its size, and how long it took, in the order
 * in which they end; and at the deadline one for each that has not.
 *
 * usage: fetch [-t seconds] <http url>...
 *
 * Exits with 1 if any has failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

struct page {
    const char *url;
    char host[256];
    char port[16];
    const char *path;
    int code; /* of HTTP */
    unsigned long long size;
    task_time took;
};

static bool all_well = true;

/* http://host[:port][/path], host in brackets if it is an IPv6 address. */
static int parse(struct page *page)
{
    static const char scheme[] = "http://";
    const char *host = page->url + sizeof scheme - 1;
    const char *path;
    size_t length;
    int n = 0;

    if (strncmp(page->url, scheme, sizeof scheme - 1) != 0)
        return -EPROTONOSUPPORT;
    path = host + strcspn(host, "/?#");
    length = (size_t)(path - host);
    snprintf(page->port, sizeof page->port, "80");
    if (sscanf(host, *host == '[' ? "[%255[^]/]]%n" : "%255[^:/?#]%n",
               page->host, &n) != 1 ||
        n == 0)
        return -EINVAL;
    if ((size_t)n != length &&
        sscanf(host + n, ":%15[0-9]%n", page->port, &n) != 1)
        return -EINVAL;
    page->path = *path == '/' ? path : "/";
    return 0;
}

static int ask(struct page *page, struct task_stream *s)
{
    return task_stream_printf(s,
                              "GET %s HTTP/1.1\r\nHost: %s\r\n"
                              "Connection: close\r\n\r\n",
                              page->path, page->host);
}

/* The status line, and then whatever comes until the end. */
static int receive(struct page *page, struct task_stream *s)
{
    char buf[16384];
    const char *line;
    ssize_t n = task_stream_read_line(s, &line);

    if (n <= 0)
        return n < 0 ? (int)n : -EPROTO;
    snprintf(buf, sizeof buf, "%.*s", n < 64 ? (int)n : 64, line);
    if (sscanf(buf, "HTTP/1.%*1d %3d", &page->code) != 1)
        return -EPROTO;
    do {
        n = task_stream_read_line(s, &line);
    } while (n > 2 || (n == 2 && line[0] != '\r'));
    while (n > 0) {
        n = task_stream_read(s, buf, sizeof buf);
        page->size += n > 0 ? (unsigned long long)n : 0;
    }
    return (int)n;
}

static int get(struct page *page)
{
    struct task_stream *s;
    int status = parse(page);

    if (!status)
        status = task_open_connection(&s, page->host, page->port);
    if (status < 0)
        return status;
    status = ask(page, s);
    if (!status)
        status = receive(page, s);
    task_stream_abort(s);
    return status;
}

static int fetch(void *arg)
{
    struct page *page = arg;
    task_time begun = loop_time();
    int status = get(page);
    double took = (double)(loop_time() - begun) / TASK_SECOND;

    if (status == -ECANCELED)
        printf("late  %10llu bytes %7.3f s  %s\n", page->size, took, page->url);
    else if (status < 0)
        printf("error %s  %s\n", task_strerror(status), page->url);
    else
        printf("%4d  %10llu bytes %7.3f s  %s\n", page->code, page->size, took,
               page->url);
    all_well = all_well && status == 0 && page->code < 400;
    return status == -ECANCELED ? status : 0;
}

struct job {
    char **urls;
    int n;
    task_time limit;
};

static int fetch_all(void *arg)
{
    const struct job *job = arg;
    struct page *pages = calloc((size_t)job->n, sizeof *pages);
    struct task_timeout timeout;
    struct task_group group;
    int status = pages ? 0 : -ENOMEM;

    task_timeout_begin(&timeout, job->limit);
    task_group_begin(&group);
    for (int i = 0; i < job->n && !status; i++) {
        pages[i].url = job->urls[i];
        status = task_group_start(&group, fetch, &pages[i]);
    }
    status = task_timeout_end(&timeout, task_group_end(&group, status));
    free(pages);
    return status == -ETIMEDOUT ? 0 : status;
}

/* Seconds, up to a day; 0 if the text is no such number. */
static task_time parse_seconds(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds > 0 && seconds <= 86400))
        return 0;
    return (task_time)(seconds * TASK_SECOND);
}

int main(int argc, char *argv[])
{
    struct job job = {argv + 1, argc - 1, 30 * TASK_SECOND};
    int status;

    if (argc > 1 && !strcmp(argv[1], "-t"))
        job = (struct job){argv + 3, argc - 3,
                           argc > 2 ? parse_seconds(argv[2]) : 0};
    if (job.n < 1 || !job.limit) {
        fprintf(stderr, "usage: %s [-t seconds] <http url>...\n", argv[0]);
        return 2;
    }
    status = loop_run(fetch_all, &job);
    if (!status && (fflush(stdout) != 0 || ferror(stdout)))
        status = -EIO;
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status < 0 || !all_well ? EXIT_FAILURE : EXIT_SUCCESS;
}
