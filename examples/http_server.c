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
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <task.h>
#include <unistd.h>

#define PATIENCE (20 * TASK_SECOND) /* with a client, for a request */

/* Of a request; of the head of a reply; of a file that goes with it. */
enum { LONGEST = 8192, HEAD = 1024, SMALL = 16384 };

static const char OK[] = "200 OK";
static const char PARTIAL[] = "206 Partial Content";
static const char BAD_REQUEST[] = "400 Bad Request";
static const char FORBIDDEN[] = "403 Forbidden";
static const char NOT_FOUND[] = "404 Not Found";
static const char NOT_ALLOWED[] = "405 Method Not Allowed";
static const char NO_SUCH_RANGE[] = "416 Range Not Satisfiable";
static const char TOO_LONG[] = "431 Request Header Fields Too Large";
static const char NOT_IMPLEMENTED[] = "501 Not Implemented";
static const char NO_SUCH_VERSION[] = "505 HTTP Version Not Supported";

struct request {
    const char *path; /* below the folder */
    const char *range;
    bool is_head;
    bool keeps_alive;
};

struct reply {
    const char *status; /* one of the above */
    int file;           /* -1: none */
    long long size;
    long long first; /* of the bytes that are sent, up to `end` */
    long long end;
};

static int root; /* the folder */

static bool is_error(const struct reply *reply)
{
    return *reply->status >= '4';
}

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".txt", "text/plain; charset=utf-8"},
        {".css", "text/css"},
        {".js", "text/javascript"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (!strcasecmp(dot, types[i][0]))
            return types[i][1];
    return "application/octet-stream";
}

/* Put what %xx stands for, and drop the query; false: there is a wrong one. */
static bool decode(char *path)
{
    char *to = path;

    for (; *path && *path != '?'; path++) {
        *to = *path;
        if (*path == '%') {
            if (!isxdigit((unsigned char)path[1]) ||
                !isxdigit((unsigned char)path[2]))
                return false;
            *to = (char)strtol((char[]){path[1], path[2], 0}, NULL, 16);
            path += 2;
        }
        if (!*to++)
            return false;
    }
    *to = '\0';
    return true;
}

/* "GET /path HTTP/1.1"; NULL, or what is wrong. */
static const char *parse_first(struct request *request, char *line)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;

    if (!version || target[1] != '/')
        return BAD_REQUEST;
    *target = *version++ = '\0';
    request->path = target + 2;
    request->is_head = !strcmp(line, "HEAD");
    request->keeps_alive = strcmp(version, "HTTP/1.0") != 0;
    if (strncmp(version, "HTTP/1.", 7) != 0)
        return NO_SUCH_VERSION;
    if (!request->is_head && strcmp(line, "GET") != 0)
        return NOT_ALLOWED;
    return decode(target + 2) ? NULL : BAD_REQUEST;
}

/* "name: value"; NULL, or what is wrong. */
static const char *parse_field(struct request *request, char *line)
{
    char *value = strchr(line, ':');

    if (!value)
        return BAD_REQUEST;
    *value++ = '\0';
    value += strspn(value, " \t");
    if (!strcasecmp(line, "connection"))
        request->keeps_alive =
            !strcasestr(value, "close") &&
            (request->keeps_alive || strcasestr(value, "keep-alive"));
    else if (!strcasecmp(line, "range"))
        request->range = value;
    else if (!strcasecmp(line, "transfer-encoding") ||
             (!strcasecmp(line, "content-length") && strcmp(value, "0") != 0))
        return NOT_IMPLEMENTED; /* no request of ours has a body */
    return NULL;
}

static const char *parse(struct request *request, char *text)
{
    char *rest;
    char *line = strtok_r(text, "\r\n", &rest);
    const char *wrong = line ? parse_first(request, line) : BAD_REQUEST;

    while (!wrong && (line = strtok_r(NULL, "\r\n", &rest)))
        wrong = parse_field(request, line);
    return wrong;
}

/* The text of a request, in time; 0 or a negative errno. */
static int read_request(struct task_stream *client, char text[LONGEST])
{
    struct task_timeout timeout;
    const char *data;
    ssize_t n;
    int status;

    task_timeout_begin(&timeout, PATIENCE);
    n = task_stream_read_until(client, "\r\n\r\n", 4, &data);
    status = task_timeout_end(&timeout, n < 0 ? (int)n : 0);
    if (status < 0)
        return status;
    memcpy(text, data, (size_t)n);
    text[n] = '\0';
    if (memchr(data, '\0', (size_t)n))
        *text = '\0'; /* it is none */
    return 0;
}

/* Whether it does not begin at the folder, or a part of it is "..". */
static bool leads_out(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at++)
        if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
            return true;
    return *path == '/';
}

/* "bytes=first-last", "bytes=first-" or "bytes=-count"; what is none of these is
 * ignored. The status. */
static const char *choose_range(const char *range, struct reply *reply)
{
    long long size = reply->size;
    long long first = 0;
    long long last = size - 1;
    int n;

    if (!range || sscanf(range, "bytes=%n%lld-%lld", &n, &first, &last) < 1 ||
        strchr(range, ','))
        return OK;
    if (range[n] == '-')
        first = first > -size ? size + first : 0;
    if (first >= size)
        return NO_SUCH_RANGE;
    if (last < first)
        return OK;
    reply->first = first;
    reply->end = last < size ? last + 1 : size;
    return PARTIAL;
}

/* A name that is looked up comes from memory nearly always, so no thread is
 * asked for that. */
static int open_at(int folder, const char *path, struct stat *stat)
{
    int file = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file >= 0 && fstat(file, stat) < 0)
        stat->st_mode = 0;
    return file;
}

/* Open what is asked for; the status. */
static const char *find(struct request *request, struct reply *reply)
{
    struct stat stat;
    int folder;

    if (leads_out(request->path))
        return FORBIDDEN;
    reply->file = open_at(root, *request->path ? request->path : ".", &stat);
    if (reply->file >= 0 && S_ISDIR(stat.st_mode)) {
        folder = reply->file;
        request->path = "index.html";
        reply->file = open_at(folder, request->path, &stat);
        close(folder);
    }
    if (reply->file < 0)
        return errno == EACCES ? FORBIDDEN : NOT_FOUND;
    if (!S_ISREG(stat.st_mode))
        return NOT_FOUND;
    reply->size = reply->end = stat.st_size;
    return choose_range(request->range, reply);
}

static int write_head(const struct request *request, const struct reply *reply,
                      char to[HEAD])
{
    char range[80] = "";
    long long length = is_error(reply) ? (long long)strlen(reply->status) + 1
                                       : reply->end - reply->first;

    if (reply->status == PARTIAL)
        snprintf(range, sizeof range, "Content-Range: bytes %lld-%lld/%lld\r\n",
                 reply->first, reply->end - 1, reply->size);
    else if (reply->status == NO_SUCH_RANGE)
        snprintf(range, sizeof range, "Content-Range: bytes */%lld\r\n",
                 reply->size);
    return snprintf(
        to, HEAD,
        "HTTP/1.1 %s\r\nContent-Length: %lld\r\nContent-Type: %s\r\n"
        "Connection: %s\r\n%s%s\r\n",
        reply->status, length,
        is_error(reply) ? "text/plain" : type_of(request->path),
        request->keeps_alive ? "keep-alive" : "close", range,
        reply->status == NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "");
}

static int send_file(struct task_stream *client, const struct reply *reply)
{
    off_t at = reply->first;
    int status = task_stream_flush(client);

    while (!status && at < reply->end) {
        ssize_t n = task_sendfile(task_stream_fd(client), reply->file, &at,
                                  (size_t)(reply->end - at));

        if (n <= 0)
            status = n < 0 ? (int)n : -EIO; /* it has become shorter */
    }
    return status;
}

/* The head, and in one piece with it what is wrong, or a file that is small. */
static int answer(struct task_stream *client, const struct request *request,
                  const struct reply *reply)
{
    char text[HEAD + SMALL];
    size_t n = (size_t)write_head(request, reply, text);
    size_t length = (size_t)(reply->end - reply->first);
    bool has_file = !is_error(reply) && !request->is_head;
    int status;

    if (is_error(reply) && !request->is_head)
        n += (size_t)snprintf(text + n, HEAD - n, "%s\n", reply->status);
    if (has_file && length <= SMALL) {
        ssize_t got = task_pread(reply->file, text + n, length, reply->first);

        if (got != (ssize_t)length)
            return got < 0 ? (int)got : -EIO;
        n += length;
    }
    status = task_stream_write(client, text, n);
    if (!status && has_file && length > SMALL)
        status = send_file(client, reply);
    return status;
}

/* After a request that was not understood nobody knows where the next begins.
 * Our end comes first, since who sends on would be reset, and not read it. */
static int leave(struct task_stream *client)
{
    struct task_timeout timeout;
    char rest[4096];
    ssize_t n;

    task_stream_write_eof(client);
    task_timeout_begin(&timeout, PATIENCE);
    while ((n = task_stream_read(client, rest, sizeof rest)) > 0)
        continue;
    return task_timeout_end(&timeout, (int)n);
}

static int serve_client(struct task_stream *client, void *arg)
{
    struct request request;
    char text[LONGEST];
    int status;

    (void)arg;
    task_stream_set_limit(client, LONGEST - sizeof "\r\n\r\n");
    do {
        struct reply reply = {.file = -1};

        request = (struct request){.path = ""};
        status = read_request(client, text);
        if (status && status != -EMSGSIZE)
            break;
        reply.status = status ? TOO_LONG : parse(&request, text);
        if (reply.status)
            request.keeps_alive = false;
        else
            reply.status = find(&request, &reply);
        status = answer(client, &request, &reply);
        if (reply.file >= 0)
            close(reply.file);
    } while (!status && request.keeps_alive);
    if (!status)
        status = leave(client);
    return status == -ECANCELED ? status : 0;
}

static int serve(void *arg)
{
    struct task_server *server;
    int status = task_start_server(&server, NULL, arg, serve_client, NULL);

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
