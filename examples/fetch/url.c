#include "url.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEFAULT_PORT = 80 };

/* "host", or "[host]"; where it ends, or NULL. */
static const char *parse_host(struct url *url, const char *text)
{
    bool has_brackets = *text == '[';
    const char *host = text + has_brackets;
    size_t n = strcspn(host, has_brackets ? "]/?#" : ":/?#@");

    if (!n || n >= sizeof url->host || (has_brackets && host[n] != ']'))
        return NULL;
    memcpy(url->host, host, n);
    url->host[n] = '\0';
    return host + n + has_brackets;
}

/* ":port", or nothing; where it ends, or NULL. */
static const char *parse_port(struct url *url, const char *text)
{
    unsigned long port = DEFAULT_PORT;
    char *end;

    if (*text == ':') {
        if (!isdigit((unsigned char)text[1]))
            return NULL;
        port = strtoul(text + 1, &end, 10);
        text = end;
    }
    if (port < 1 || port > 65535)
        return NULL;
    if (port != DEFAULT_PORT)
        url->authority_size = (int)(text - url->authority);
    snprintf(url->port, sizeof url->port, "%lu", port);
    return text;
}

int parse_url(struct url *url, const char *text)
{
    static const char scheme[] = "http://";
    const char *at = text + sizeof scheme - 1;

    if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
        return -EPROTONOSUPPORT;
    if (text[strcspn(text, " \t\r\n")])
        return -EINVAL; /* it would end a line of the request, or a part of it */
    url->authority = at;
    at = parse_host(url, at);
    if (!at)
        return -EINVAL;
    url->authority_size = (int)(at - url->authority);
    at = parse_port(url, at);
    if (!at || !strchr("/?#", *at)) /* or the end */
        return -EINVAL;
    url->path = at;
    url->path_size = (int)strcspn(at, "#");
    return 0;
}
