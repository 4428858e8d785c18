/*
 * everywhere.h: mains that are run on each poller and on both clocks; and the
 * descriptors that they need.
 */
#ifndef TASK_TESTS_EVERYWHERE_H
#define TASK_TESTS_EVERYWHERE_H

#include "record.h"

/*
 * An entry for a test that is a main task and returns 0, as in_main(). It is run
 * on each poller, on the virtual and the real clock: four times, or twice if
 * TASK_BACKEND names one poller. After each run nobody waits for a descriptor,
 * and as many are open as before.
 */
#define everywhere(test)                                                       \
    {                                                                          \
#test, run_everywhere, record_setup, record_teardown, &(task_fn *)     \
        {                                                                      \
            test                                                               \
        }                                                                      \
    }

void run_everywhere(void **state);

/* Of the run that is under way. */
bool is_epoll(void);
bool is_real(void);

/* Pairs that are connected, blocking. */
void make_local(int pair[2]);
void make_tcp(int pair[2]);
void make_udp(int pair[2]);
void make_pipe(int pair[2]); /* pair[0] is read from */

/* The same as make_local(), pair[0] being this number, which is closed. */
void make_local_at(int number, int pair[2]);

/* By task_close(). */
void close_both(const int pair[2]);

/* A regular file without a name, at its beginning. */
int make_file(const char *contents);

/* What system calls, not the library, write and read: a whole string. */
void put(int fd, const char *bytes);
void take(int fd, const char *bytes);

/* Make it non-blocking. */
void unblock(int fd);

/* A body: reads once from the descriptor, an int, that the argument points to,
 * and says what: `read 2 ab`. What it read, or a negative errno. */
int reads(void *arg);

/* The same: writes a byte. */
int writes(void *arg);

/* Write until there is no room, without a task; how many bytes. */
size_t fill(int fd);

#endif
