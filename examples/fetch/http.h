/* Pages by HTTP, asked for by 1.0, so that bodies come as they are (RFC 9110,
 * 9112). */
#ifndef HTTP_H
#define HTTP_H

#include <task.h>

struct page {
    int code;                /* the status; 0: not yet known */
    unsigned long long size; /* of the body */
};

/* Read the page of a URL. 0, or a negative errno: -EINVAL: of the URL; -EPROTO:
 * of what was answered, or there is less of it than there should be. */
TASK_SUSPENDS int get_page(struct page *page, const char *url);

#endif
