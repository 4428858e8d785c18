/*
 * What sentences say of tasks.
 */
#include "say_task.h"

#include "scheduler_task.h"

void task__say_place(struct sentence *sentence, const char *file, int line)
{
    if (!file)
        return;
    task__say(sentence, ", created at ");
    task__say_part(sentence, file, 500);
    task__say(sentence, ":");
    task__say_number(sentence, (unsigned)line);
    task__say(sentence, ",");
}

void task__say_opened(struct sentence *sentence, const char *file, int line)
{
    task__say(sentence, "it was opened at ");
    task__say_part(sentence, file, 500);
    task__say(sentence, ":");
    task__say_number(sentence, (unsigned)line);
}

void task__say_name(struct sentence *sentence, const struct task *task)
{
    char name[NAME_SHOWN + 1];

    if (task->name) {
        task__say_cut_line(name, sizeof name, task->name);
        task__say(sentence, name);
    } else {
        task__say(sentence, "task-");
        task__say_number(sentence, task->id);
    }
}

void task__say_task(struct sentence *sentence, const struct task *task)
{
    task__say(sentence, task->future ? "future " : "task ");
    task__say_number(sentence, task->id);
    task__say(sentence, " \"");
    task__say_name(sentence, task);
    task__say(sentence, "\"");
    task__say_place(sentence, task->file, (int)task->line);
}
