/*
 * Requests are understood strictly: where two programs understand one in two
 * ways, another can be smuggled past the first (RFC 9112, 11.2).
 */
#define _GNU_SOURCE
#include "http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"

/* A line off the text; NULL: it ends by something else than CR LF. */
static char *take_line(char **text)
{
    char *line = *text;
    char *end = line + strcspn(line, "\r\n");

    if (strncmp(end, "\r\n", 2) != 0)
        return NULL;
    *end = '\0';
    *text = end + 2;
    return line;
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

/* Of "/path", and of "http://host/path"; NULL: it is neither. */
static char *find_path(char *target)
{
    static const char scheme[] = "http://";
    size_t n = sizeof scheme - 1;
    bool is_absolute = !strncasecmp(target, scheme, n);

    if (is_absolute)
        target += n + strcspn(target + n, "/?");
    if (*target == '/')
        return target + 1;
    return is_absolute ? target : NULL;
}

static enum method parse_method(const char *name)
{
    static const char *const names[] = {
        "GET",    "HEAD",  "OPTIONS", "POST",    "PUT",
        "DELETE", "PATCH", "TRACE",   "CONNECT",
    };
    enum { KNOWN = sizeof names / sizeof *names };
    int i = 0;

    while (i < KNOWN && strcmp(name, names[i]) != 0)
        i++;
    if (i < NOT_OURS)
        return (enum method)i;
    return i < KNOWN ? NOT_OURS : UNKNOWN;
}

/* "HTTP/1.1"; NULL, or what is wrong. */
static const char *parse_version(struct request *request, const char *text)
{
    if (strncmp(text, "HTTP/", 5) != 0 || strspn(text + 5, DIGITS) != 1 ||
        text[6] != '.' || strspn(text + 7, DIGITS) != 1 || text[8])
        return BAD_REQUEST;
    request->is_old = text[7] == '0';
    return text[5] == '1' ? NULL : NO_SUCH_VERSION;
}

/* "GET /path HTTP/1.1"; NULL, or what is wrong. */
static const char *parse_first(struct request *request, char *line)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    const char *wrong;
    char *path;

    if (!version)
        return BAD_REQUEST;
    *target++ = *version++ = '\0';
    request->method = parse_method(line);
    wrong = parse_version(request, version);
    if (wrong)
        return wrong;
    if (request->method == UNKNOWN)
        return NOT_IMPLEMENTED;
    if (request->method == NOT_OURS)
        return NOT_ALLOWED;
    if (request->method == OPTIONS && !strcmp(target, "*"))
        return NULL;
    path = find_path(target);
    if (!path || !decode(path))
        return BAD_REQUEST;
    request->path = path;
    return NULL;
}

/* No request of ours has a body. */
static const char *check_length(const char *value)
{
    size_t n = strspn(value, DIGITS);

    if (!n || value[n])
        return BAD_REQUEST;
    return strspn(value, "0") == n ? NULL : NOT_IMPLEMENTED;
}

/* Without the blanks around it. */
static char *trim(char *text)
{
    char *end = text + strlen(text);

    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    return text + strspn(text, " \t");
}

/* "name: value"; NULL, or what is wrong. A blank in the name, or before it, as
 * in the second line of a value, is. */
static const char *parse_field(struct request *request, char *line)
{
    size_t n = strcspn(line, ": \t");
    char *value;

    if (!n || line[n] != ':')
        return BAD_REQUEST;
    line[n] = '\0';
    value = trim(line + n + 1);
    if (!strcasecmp(line, "host")) {
        request->n_hosts++;
    } else if (!strcasecmp(line, "connection")) {
        request->closes = request->closes || strcasestr(value, "close");
        request->stays = request->stays || strcasestr(value, "keep-alive");
    } else if (!strcasecmp(line, "range")) {
        request->range = value;
    } else if (!strcasecmp(line, "if-range")) {
        request->has_condition = true;
    } else if (!strcasecmp(line, "content-length")) {
        return check_length(value);
    } else if (!strcasecmp(line, "transfer-encoding")) {
        return NOT_IMPLEMENTED;
    }
    return NULL;
}

/* What the fields say together; NULL, or what is wrong. Files have nothing that
 * the condition of a range could be met by. */
static const char *conclude(struct request *request)
{
    if (request->n_hosts > 1 || (request->n_hosts == 0 && !request->is_old))
        return BAD_REQUEST;
    request->keeps_alive =
        !request->closes && (request->stays || !request->is_old);
    if (request->method != GET || request->has_condition)
        request->range = NULL;
    return NULL;
}

const char *parse_request(struct request *request, char *text)
{
    const char *wrong;
    char *line;

    if (!strncmp(text, "\r\n", 2)) /* some send it after what is no body */
        text += 2;
    line = take_line(&text);
    wrong = line ? parse_first(request, line) : BAD_REQUEST;
    while (!wrong && (line = take_line(&text)) && *line)
        wrong = parse_field(request, line);
    if (wrong)
        return wrong;
    return line ? conclude(request) : BAD_REQUEST;
}
