#include "http.h"
#include "url.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UNKNOWN ULLONG_MAX

struct head {
    int code;
    unsigned long long length; /* of the body; UNKNOWN: up to the end */
};

static int ask(const struct url *url, struct task_stream *s)
{
    return task_stream_printf(s,
                              "GET %s%.*s HTTP/1.0\r\nHost: %.*s\r\n"
                              "Connection: close\r\n\r\n",
                              *url->path == '/' ? "" : "/", url->path_size,
                              url->path, url->authority_size, url->authority);
}

/* A line, which has its end. */
static ssize_t read_line(struct task_stream *s, const char **line)
{
    ssize_t n = task_stream_read_line(s, line);

    return n < 0 || (n > 0 && (*line)[n - 1] == '\n') ? n : -EPROTO;
}

/* "HTTP/1.1 200 OK": the code. */
static int read_status(struct task_stream *s)
{
    static const char form[] = "HTTP/1.0 000";
    const char *line;
    ssize_t n = read_line(s, &line);

    if (n < 0)
        return (int)n;
    for (const char *at = form; *at; at++, line++)
        if (*at == '0' ? !isdigit((unsigned char)*line) : *line != *at)
            return -EPROTO;
    if (!isspace((unsigned char)*line) || line[-3] == '0')
        return -EPROTO;
    return atoi(line - 3);
}

/* UNKNOWN if it is none. */
static unsigned long long parse_length(const char *text)
{
    unsigned long long length;
    char *end;

    text += strspn(text, " \t");
    if (!isdigit((unsigned char)*text))
        return UNKNOWN;
    length = strtoull(text, &end, 10);
    return isspace((unsigned char)*end) ? length : UNKNOWN;
}

static bool begins(const char *line, const char *name)
{
    return !strncasecmp(line, name, strlen(name));
}

/* What a field says of the body: once, or always the same. Codings are of
 * HTTP/1.1, which was not asked for. A blank before the colon hides a field
 * from others. */
static int note_field(struct head *head, const char *line)
{
    static const char name[] = "content-length:";
    unsigned long long length;

    if (line[strcspn(line, ": \t\n")] != ':' ||
        begins(line, "transfer-encoding:"))
        return -EPROTO;
    if (!begins(line, name))
        return 0;
    length = parse_length(line + sizeof name - 1);
    if (length == UNKNOWN ||
        (head->length != UNKNOWN && head->length != length))
        return -EPROTO;
    head->length = length;
    return 0;
}

static int read_head(struct head *head, struct task_stream *s)
{
    const char *line;
    int status;
    ssize_t n;

    *head = (struct head){.code = read_status(s), .length = UNKNOWN};
    if (head->code < 0)
        return head->code;
    while ((n = read_line(s, &line)) > 0) {
        if (line[*line == '\r'] == '\n')
            return 0; /* an empty one */
        status = note_field(head, line);
        if (status)
            return status;
    }
    return (int)n;
}

static int read_body(struct page *page, struct task_stream *s,
                     unsigned long long length)
{
    char buf[16384];

    while (page->size < length) {
        unsigned long long rest = length - page->size;
        ssize_t n = task_stream_read(
            s, buf, rest < sizeof buf ? (size_t)rest : sizeof buf);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return length == UNKNOWN ? 0 : -EPROTO;
        page->size += (unsigned long long)n;
    }
    return 0;
}

static int receive(struct page *page, struct task_stream *s)
{
    struct head head;
    int status;

    do {
        status = read_head(&head, s);
    } while (!status && head.code < 200); /* 1xx: the answer is to come */
    if (status)
        return status;
    page->code = head.code;
    return read_body(page, s, head.length);
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
