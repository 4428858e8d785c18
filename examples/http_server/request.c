#define _GNU_SOURCE
#include "http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

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
