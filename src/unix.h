/*
 * Unix sockets and their paths.
 */
#ifndef TASK_SRC_UNIX_H
#define TASK_SRC_UNIX_H

#include "misuse.h"

#include <stdbool.h>
#include <sys/types.h>
#include <task/base.h>

/* The file of a socket, which is known again by this. */
struct unix_file {
    bool exists; /* it has one: an abstract name has none */
    dev_t device;
    ino_t inode;
};

/* For a public call. */
TASK_SUSPENDS int task__unix_connect(struct call_site site, const char *path);

/* task_unix_listen(), and tell which file it has. */
int task__unix_listen(const char *path, int backlog, struct unix_file *file);

/* Remove a path, if it is still that file; before the socket is closed: as long
 * as that is open no other file has its number. */
void task__unix_remove(const char *path, const struct unix_file *file);

#endif
