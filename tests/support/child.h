/*
 * A function in a process of its own, for what ends a process.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>

/*
 * Run a function in a child, which exits with 0 if it returns. Signals have
 * their default effects there, and leave no core file.
 *
 * Returns the child's status, for WIFSIGNALED and its kin; or -1.
 */
int child_run(void (*fn)(void *arg), void *arg);

/* The same; what it wrote to stderr is put into `said`, ended by a 0 byte. */
int child_listen(void (*fn)(void *arg), void *arg, char *said, size_t size);

/*
 * Take out of a text what differs from run to run: numbers in hexadecimal become
 * 0x, of a path the last part is left, and what sanitizers and Valgrind say goes,
 * which is lines that begin with "==". In place; returns it.
 */
char *masked(char *said);

/*
 * Whether a function, run like that, ends its process by abort() and says this
 * on stderr. If not, what it said goes to stderr here.
 */
bool child_aborts(void (*fn)(void *arg), void *arg, const char *sentence);

#endif
