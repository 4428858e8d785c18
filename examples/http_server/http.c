#define _GNU_SOURCE
#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char OK[] = "200 OK";
const char PARTIAL[] = "206 Partial Content";
const char BAD_REQUEST[] = "400 Bad Request";
const char FORBIDDEN[] = "403 Forbidden";
const char NOT_FOUND[] = "404 Not Found";
const char NOT_ALLOWED[] = "405 Method Not Allowed";
const char NO_SUCH_RANGE[] = "416 Range Not Satisfiable";
const char TOO_LONG[] = "431 Request Header Fields Too Large";
const char NOT_IMPLEMENTED[] = "501 Not Implemented";
const char NO_SUCH_VERSION[] = "505 HTTP Version Not Supported";

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

const char *parse_request(struct request *request, char *text)
{
    char *rest;
    char *line = strtok_r(text, "\r\n", &rest);
    const char *wrong = line ? parse_first(request, line) : BAD_REQUEST;

    while (!wrong && (line = strtok_r(NULL, "\r\n", &rest)))
        wrong = parse_field(request, line);
    return wrong;
}

const char *choose_range(const char *range, struct reply *reply)
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

int write_head(const struct request *request, const struct reply *reply,
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
