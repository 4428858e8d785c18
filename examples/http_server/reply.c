#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char OK[] = "200 OK";
const char PARTIAL[] = "206 Partial Content";
const char BAD_REQUEST[] = "400 Bad Request";
const char FORBIDDEN[] = "403 Forbidden";
const char NOT_FOUND[] = "404 Not Found";
const char NOT_ALLOWED[] = "405 Method Not Allowed";
const char NO_SUCH_RANGE[] = "416 Range Not Satisfiable";
const char TOO_LONG[] = "431 Request Header Fields Too Large";
const char NOT_IMPLEMENTED[] = "501 Not Implemented";
const char UNAVAILABLE[] = "503 Service Unavailable";
const char NO_SUCH_VERSION[] = "505 HTTP Version Not Supported";

/* Digits, and nothing before them; LLONG_MAX if they are many, -1 if none. */
static long long take_number(const char **at)
{
    char *end;
    long long number;

    if (!isdigit((unsigned char)**at))
        return -1;
    number = strtoll(*at, &end, 10);
    *at = end;
    return number;
}

const char *choose_range(const char *range, struct reply *reply)
{
    static const char unit[] = "bytes=";
    long long first;
    long long last;

    if (!range || !reply->size || strncmp(range, unit, sizeof unit - 1) != 0)
        return OK;
    range += sizeof unit - 1;
    first = take_number(&range);
    if (*range++ != '-')
        return OK;
    last = take_number(&range);
    if (*range || (first < 0 && last < 0) || (last >= 0 && last < first))
        return OK;
    if (first < 0) {
        first = last < reply->size ? reply->size - last : 0;
        last = -1;
    }
    if (first >= reply->size)
        return NO_SUCH_RANGE;
    reply->first = first;
    reply->end = last >= 0 && last < reply->size ? last + 1 : reply->size;
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

/* Now, as text that is made once a second. */
static const char *date(void)
{
    static time_t second;
    static char text[40];
    time_t now = time(NULL);
    struct tm parts;

    if (now != second && gmtime_r(&now, &parts)) {
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        second = now;
    }
    return text;
}

int write_head(const struct request *request, const struct reply *reply,
               char to[HEAD_SIZE])
{
    bool tells_methods =
        reply->status == NOT_ALLOWED || request->method == OPTIONS;
    char range[80] = "";
    long long length = is_error(reply) ? (long long)strlen(reply->status) + 1
                                       : reply->end - reply->first;

    if (reply->status == PARTIAL)
        snprintf(range, sizeof range, "Content-Range: bytes %lld-%lld/%lld\r\n",
                 reply->first, reply->end - 1, reply->size);
    else if (reply->status == NO_SUCH_RANGE)
        snprintf(range, sizeof range, "Content-Range: bytes */%lld\r\n",
                 reply->size);
    return snprintf(to, HEAD_SIZE,
                    "HTTP/1.1 %s\r\nDate: %s\r\nContent-Length: %lld\r\n"
                    "Content-Type: %s\r\nConnection: %s\r\n%s%s\r\n",
                    reply->status, date(), length,
                    is_error(reply) ? "text/plain" : type_of(request->path),
                    request->keeps_alive ? "keep-alive" : "close", range,
                    tells_methods ? "Allow: GET, HEAD, OPTIONS\r\n" : "");
}
