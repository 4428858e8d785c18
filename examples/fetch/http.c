#include "http.h"
#include "url.h"

#include <errno.h>
#include <stdio.h>

static int ask(const struct url *url, struct task_stream *s)
{
    return task_stream_printf(s,
                              "GET %s%.*s HTTP/1.1\r\nHost: %.*s\r\n"
                              "Connection: close\r\n\r\n",
                              *url->path == '/' ? "" : "/", url->path_size,
                              url->path, url->authority_size, url->authority);
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

int get_page(struct page *page, const char *text)
{
    struct task_stream *s;
    struct url url;
    int status = parse_url(&url, text);

    if (!status)
        status = task_open_connection(&s, url.host, url.port);
    if (status < 0)
        return status;
    status = ask(&url, s);
    if (!status)
        status = receive(page, s);
    task_stream_abort(s);
    return status;
}
