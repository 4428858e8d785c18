/*
 * A function in a process of its own, for what ends a process.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <sys/wait.h>

/*
 * Run a function in a child, which exits with 0 if it returns. Signals have
 * their default effects there, and leave no core file.
 *
 * Returns the child's status, for WIFSIGNALED and its kin; or -1.
 */
int child_run(void (*fn)(void *arg), void *arg);

#endif
