/* One command, and what it says. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stddef.h>

/* Bytes of a line. */
enum { LONGEST = 1 << 20 };

/* Called with each line that a command says, whose end may be missing; 0, or
 * why the command has to end. */
typedef int say_fn(unsigned number, const char *line, size_t n, void *arg);

/*
 * Run a command of the shell until it has ended; cancelled, it ends with its
 * process group. Its status as the shell puts it, or a negative errno.
 */
int run_command(const char *command, unsigned number, say_fn *say, void *arg);

#endif
