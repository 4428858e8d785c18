/* The commands of a redis_server: PING ECHO SET GET DEL INCR EXPIRE LPUSH
 * LRANGE. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "buffer.h"
#include "store.h"

/* Of a command: how many arguments, its name included. */
enum { ARGUMENTS = 1024 };

/* A command, and where the reply to it goes. The words lie in a text that has a
 * 0 byte at its end. */
struct request {
    struct buffer replies;
    int n; /* of the arguments: at least 1 */
    struct word arguments[ARGUMENTS];
};

void run_command(struct request *request);

/* "-ERR ...", "+OK": one line. */
void reply(struct request *request, const char *line);

#endif
