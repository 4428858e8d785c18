/* Who takes part, and what each is to be sent. */
#ifndef ROOM_H
#define ROOM_H

#include <task.h>

enum { NAME = 31, LINE = 512 };

struct line {
    char text[LINE];
};

struct client {
    struct client *next;
    struct task_stream *stream;
    struct task_queue lines; /* to be sent to this one */
    struct task *sender;     /* does so */
    unsigned missed;
    char name[NAME + 1];
};

/* From now on it is sent what is told: 0, or a negative errno. */
int room_enter(struct client *client);
void room_leave(struct client *client);

/* Tell all but one. */
void room_tell(const struct client *but, const struct line *line);

#endif
