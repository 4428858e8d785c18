/*
 * A function in a process of its own, for what ends a process.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <stdbool.h>
#include <sys/wait.h>

/*
 * Run a function in a child, which exits with 0 if it returns. Signals have
 * their default effects there, and leave no core file.
 *
 * Returns the child's status, for WIFSIGNALED and its kin; or -1.
 */
int child_run(void (*fn)(void *arg), void *arg);

/*
 * Whether a function, run like that, ends its process by abort() and says this
 * on stderr. If not, what it said goes to stderr here.
 */
bool child_aborts(void (*fn)(void *arg), void *arg, const char *sentence);

#endif
