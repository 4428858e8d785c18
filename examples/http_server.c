/*
 * http_server: the files of a folder by HTTP/1.1 (RFC 9110, RFC 9112).
 *
 * GET and HEAD, connections that are kept alive, ranges of bytes; a folder is
 * its index.html. Names that lead out of the folder are refused, and so is what
 * is no regular file. A client that takes too long to ask is sent away.
 *
 * usage: http_server <port> [folder]
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <task.h>
#include <unistd.h>

#define PATIENCE (20 * TASK_SECOND) /* with a client, for a request */

enum { PATH = 1024, SMALL = 16384, HEADERS = 100 };

struct request {
    bool is_head;
    bool keeps_alive;
    bool has_range;
    bool from_end; /* the range is the last `first` bytes */
    off_t first;
    off_t last; /* -1: up to the end */
    char path[PATH];
};

struct reply {
    int code;
    const char *type;
    int file; /* -1: none */
    off_t size;
    off_t first;
    off_t length;
};

static int root; /* the folder */

static const char *reason_of(int code)
{
    switch (code) {
    case 200:
        return "OK";
    case 206:
        return "Partial Content";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 416:
        return "Range Not Satisfiable";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Internal Server Error";
    }
}

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".txt", "text/plain; charset=utf-8"},
        {".css", "text/css"},
        {".js", "text/javascript"},
        {".json", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (!strcasecmp(dot, types[i][0]))
            return types[i][1];
    return "application/octet-stream";
}

/* The value of a hexadecimal digit, or -1. */
static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* From a request's target to a path below the folder; 0 or a status code. */
static int decode_path(const char *target, char path[PATH])
{
    size_t n = 0;

    if (*target != '/')
        return 400;
    for (const char *at = target + 1; *at && *at != '?'; at++) {
        int c = (unsigned char)*at;

        if (c == '%') {
            int high = digit_of(at[1]);
            int low = high < 0 ? -1 : digit_of(at[2]);

            if (low < 0)
                return 400;
            c = high * 16 + low;
            at += 2;
        }
        if (c == 0 || n + sizeof "index.html" >= PATH)
            return 400;
        path[n++] = (char)c;
    }
    path[n] = '\0';
    if (n == 0 || path[n - 1] == '/')
        strcpy(path + n, "index.html");
    return 0;
}

/* Whether the path stays below the folder: no part of it is "..", or empty. */
static bool is_below(const char *path)
{
    for (;;) {
        size_t length = strcspn(path, "/");

        if (length == 0 || (length == 2 && !memcmp(path, "..", 2)))
            return false;
        if (!path[length])
            return true;
        path += length + 1;
    }
}

/* "bytes=first-last", "bytes=first-" or "bytes=-count"; others are ignored, as
 * are several ranges. */
static void parse_range(struct request *request, const char *value)
{
    long long first = 0;
    long long last = -1;
    int n = 0;

    if (strncasecmp(value, "bytes=", 6) != 0)
        return;
    value += 6;
    request->from_end = *value == '-';
    if (sscanf(value + request->from_end, "%lld%n", &first, &n) != 1 ||
        first < 0)
        return;
    value += request->from_end + n;
    if (!request->from_end && *value == '-' && value[1]) {
        if (sscanf(value + 1, "%lld%n", &last, &n) != 1 || last < first)
            return;
        value += 1 + n;
    }
    value += !request->from_end && *value == '-';
    request->has_range = *value == '\0';
    request->first = (off_t)first;
    request->last = (off_t)last;
}

/* A header; 0 or a status code. */
static int parse_header(struct request *request, char *line)
{
    char *value = strchr(line, ':');

    if (!value || value == line)
        return 400;
    *value++ = '\0';
    value += strspn(value, " \t");
    if (!strcasecmp(line, "connection"))
        request->keeps_alive =
            !strcasestr(value, "close") &&
            (request->keeps_alive || strcasestr(value, "keep-alive"));
    else if (!strcasecmp(line, "range"))
        parse_range(request, value);
    else if (!strcasecmp(line, "transfer-encoding") ||
             (!strcasecmp(line, "content-length") && strtoll(value, NULL, 10)))
        return 501; /* no request of ours has a body */
    return 0;
}

/* The next line without its end, as a string; its length, 0 for an empty one, or
 * a negative errno. */
static ssize_t read_line(struct task_stream *client, char *to, size_t size)
{
    const char *line;
    ssize_t n = task_stream_read_line(client, &line);

    if (n == 0)
        return -ENODATA;
    if (n < 0)
        return n;
    n -= line[n - 1] == '\n';
    n -= n > 0 && line[n - 1] == '\r';
    if ((size_t)n >= size || memchr(line, '\0', (size_t)n))
        return -EMSGSIZE;
    memcpy(to, line, (size_t)n);
    to[n] = '\0';
    return n;
}

/* "GET /path HTTP/1.1"; 0 or a status code. */
static int parse_request_line(struct request *request, char *line)
{
    char *target = strchr(line, ' ');
    char *version = target ? strrchr(target + 1, ' ') : NULL;

    if (!version)
        return 400;
    *target++ = '\0';
    *version++ = '\0';
    if (strncmp(version, "HTTP/1.", 7) != 0)
        return 505;
    request->keeps_alive = strcmp(version, "HTTP/1.0") != 0;
    request->is_head = !strcmp(line, "HEAD");
    if (!request->is_head && strcmp(line, "GET") != 0)
        return 405;
    return decode_path(target, request->path);
}

/* The whole request: 0, a status code, or a negative errno. */
static int read_request(struct task_stream *client, struct request *request)
{
    char line[2 * PATH];
    ssize_t n = read_line(client, line, sizeof line);
    int bad;

    if (n == 0) /* RFC 9112, 2.2: one before a request is ignored */
        n = read_line(client, line, sizeof line);
    bad = n > 0 ? parse_request_line(request, line) : 0;
    for (int i = 0; n > 0 && i < HEADERS; i++) {
        n = read_line(client, line, sizeof line);
        if (n > 0 && !bad)
            bad = parse_header(request, line);
    }
    if (n > 0 || n == -EMSGSIZE)
        return 431;
    return n < 0 ? (int)n : bad;
}

static int read_request_in_time(struct task_stream *client,
                                struct request *request)
{
    struct task_timeout timeout;
    int status;
    int ended;

    task_timeout_begin(&timeout, PATIENCE);
    status = read_request(client, request);
    ended = task_timeout_end(&timeout, status < 0 ? status : 0);
    return ended < 0 ? ended : status;
}

/* Which bytes of the file are asked for. */
static void choose_range(const struct request *request, struct reply *reply)
{
    off_t end = reply->size;
    off_t first = 0;

    if (request->has_range) {
        reply->code = 206;
        first = request->from_end ? end - request->first : request->first;
        first = first > 0 ? first : 0;
        if (request->last >= 0 && request->last < end)
            end = request->last + 1;
        if (first >= end)
            reply->code = 416;
    }
    reply->first = first;
    reply->length = reply->code == 416 ? 0 : end - first;
}

/* A name that is looked up comes from memory nearly always, so no thread is
 * asked for that. */
static void find(const struct request *request, struct reply *reply)
{
    struct stat stat;

    if (!is_below(request->path)) {
        reply->code = 403;
        return;
    }
    reply->file =
        openat(root, request->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (reply->file < 0) {
        reply->code = errno == EACCES                       ? 403
                      : errno == ENOENT || errno == ENOTDIR ? 404
                                                            : 500;
        return;
    }
    if (fstat(reply->file, &stat) < 0 || !S_ISREG(stat.st_mode)) {
        reply->code = 404;
        return;
    }
    reply->code = 200;
    reply->type = type_of(request->path);
    reply->size = stat.st_size;
    choose_range(request, reply);
}

static int write_head(const struct request *request, const struct reply *reply,
                      char *to, size_t size)
{
    int n = snprintf(to, size,
                     "HTTP/1.1 %d %s\r\n"
                     "Content-Type: %s\r\n"
                     "Content-Length: %lld\r\n"
                     "Accept-Ranges: bytes\r\n"
                     "Connection: %s\r\n",
                     reply->code, reason_of(reply->code), reply->type,
                     (long long)reply->length,
                     request->keeps_alive ? "keep-alive" : "close");

    if (reply->code == 206)
        n += snprintf(to + n, size - (size_t)n,
                      "Content-Range: bytes %lld-%lld/%lld\r\n",
                      (long long)reply->first,
                      (long long)(reply->first + reply->length - 1),
                      (long long)reply->size);
    if (reply->code == 416)
        n +=
            snprintf(to + n, size - (size_t)n,
                     "Content-Range: bytes */%lld\r\n", (long long)reply->size);
    if (reply->code == 405)
        n += snprintf(to + n, size - (size_t)n, "Allow: GET, HEAD\r\n");
    return n + snprintf(to + n, size - (size_t)n, "\r\n");
}

/* A small file goes with the head in one piece, a large one by sendfile. */
static int send_file(struct task_stream *client, const struct reply *reply,
                     char *head, size_t n)
{
    off_t offset = reply->first;
    off_t end = offset + reply->length;
    int status;

    if (reply->length <= SMALL) {
        ssize_t got =
            task_pread(reply->file, head + n, (size_t)reply->length, offset);

        if (got != reply->length)
            return got < 0 ? (int)got : -EIO;
        return task_stream_write(client, head, n + (size_t)got);
    }
    status = task_stream_write(client, head, n);
    if (!status)
        status = task_stream_flush(client);
    while (!status && offset < end) {
        ssize_t sent = task_sendfile(task_stream_fd(client), reply->file,
                                     &offset, (size_t)(end - offset));

        status = sent < 0 ? (int)sent : sent == 0 ? -EIO : 0;
    }
    return status;
}

/* What is wrong is told in a line. */
static int send_error(struct task_stream *client, const struct request *request,
                      struct reply *reply, char *head, size_t size)
{
    char text[64];
    int n;

    reply->type = "text/plain";
    reply->length = snprintf(text, sizeof text, "%d %s\n", reply->code,
                             reason_of(reply->code));
    n = write_head(request, reply, head, size);
    if (!request->is_head)
        n += snprintf(head + n, size - (size_t)n, "%s", text);
    return task_stream_write(client, head, (size_t)n);
}

static int answer(struct task_stream *client, const struct request *request,
                  int bad)
{
    char head[1024 + SMALL];
    struct reply reply = {.code = bad, .file = -1};
    int status;

    if (!bad)
        find(request, &reply);
    if (reply.code == 200 || reply.code == 206) {
        int n = write_head(request, &reply, head, sizeof head);

        status = !request->is_head ? send_file(client, &reply, head, (size_t)n)
                                   : task_stream_write(client, head, (size_t)n);
    } else {
        status = send_error(client, request, &reply, head, sizeof head);
    }
    if (reply.file >= 0)
        close(reply.file);
    return status;
}

/* After a request that was not understood nobody knows where the next begins. */
static int converse(struct task_stream *client, void *arg)
{
    struct request request;
    int status;

    (void)arg;
    do {
        request = (struct request){.last = -1};
        status = read_request_in_time(client, &request);
        if (status >= 400 && status != 405)
            request.keeps_alive = false;
        if (status >= 0)
            status = answer(client, &request, status);
    } while (!status && request.keeps_alive);
    return status == -ECANCELED ? status : 0;
}

static int serve(void *arg)
{
    struct task_server *server;
    int status = task_start_server(&server, NULL, arg, converse, NULL);

    if (status < 0)
        return status;
    printf("listening on port %d\n", task_server_port(server));
    fflush(stdout);
    status = task_server_serve_forever(server);
    task_server_free(server);
    return status;
}

int main(int argc, char *argv[])
{
    const char *folder = argc > 2 ? argv[2] : ".";
    int status;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s <port> [folder]\n", argv[0]);
        return 2;
    }
    root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        perror(folder);
        return EXIT_FAILURE;
    }
    status = loop_run(serve, argv[1]);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    close(root);
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
