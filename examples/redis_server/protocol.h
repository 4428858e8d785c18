/* What clients of a redis_server send: RESP2's arrays of strings. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "commands.h"

/* What is said instead of a size: more has to come; or it is no command, which
 * was replied. */
enum { INCOMPLETE = -1, WRONG = -2 };

/* Understand a command where it lies. It may have no arguments, and then is
 * none to be run.
 *
 * How many bytes it takes, or one of the above. */
long parse_command(struct request *request, const char *text, const char *end);

#endif
