/*
 * Sentences about tasks, and about where something was made: a signal handler
 * may make them too.
 */
#ifndef TASK_SRC_SAY_TASK_H
#define TASK_SRC_SAY_TASK_H

#include "say.h"

struct task;

/* task 7 "name", created at file.c:12, */
void task__say_place(struct sentence *sentence, const char *file, int line);
void task__say_name(struct sentence *sentence, const struct task *task);
void task__say_task(struct sentence *sentence, const struct task *task);

/* it was opened at file.c:12 */
void task__say_opened(struct sentence *sentence, const char *file, int line);

/* Begin one with a task. */
static inline void sentence_about(struct sentence *sentence,
                                  const struct task *task)
{
    sentence_clear(sentence);
    task__say_task(sentence, task);
}

#endif
