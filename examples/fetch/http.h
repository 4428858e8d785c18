/* Pages by HTTP/1.1 (RFC 9110, RFC 9112). */
#ifndef HTTP_H
#define HTTP_H

#include <task.h>

struct page {
    int code;                /* the status; 0: not yet known */
    unsigned long long size; /* of what has come */
};

/* Read the page of a URL. 0, or a negative errno: -EINVAL: of the URL; -EPROTO:
 * of what was answered. */
TASK_SUSPENDS int get_page(struct page *page, const char *url);

#endif
