/*
 * Connecting by TCP.
 */
#ifndef TASK_SRC_CONNECT_H
#define TASK_SRC_CONNECT_H

#include "misuse.h"

#include <task/base.h>

/* For a public call. */
TASK_SUSPENDS int task__tcp_connect(struct call_site site, const char *host,
                                    const char *service);

#endif
