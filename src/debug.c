/*
 * What only debug mode reports.
 */
#include "loop.h"
#include "report.h"
#include "say_task.h"
#include "symbols.h"

#include <stdlib.h>
#include <string.h>

static void say_time(struct sentence *sentence, task_time time)
{
    task__say_number(sentence, (uint64_t)(time / TASK_MILLISECOND));
    task__say(sentence, ".");
    task__say_number(sentence,
                     (uint64_t)(time / (100 * TASK_MICROSECOND) % 10));
    task__say(sentence, " ms");
}

void task__report_slow(struct loop *loop, const struct timed_step *step)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_SLOW_STEP,
                               .message = sentence.chars,
                               .task = step->task};

    sentence_clear(&sentence);
    if (step->task) {
        task__say_task(&sentence, step->task);
    } else {
        task__say(&sentence, "callback ");
        task__symbols_say(&sentence, step->function);
    }
    task__say(&sentence, " held the loop for ");
    say_time(&sentence, step->time);
    task__say(&sentence, " (");
    say_time(&sentence, step->cpu);
    task__say(&sentence, " on the processor)");
    task__report(loop, &error);
}

void task__report_ignored(struct task *task)
{
    struct sentence sentence;

    sentence_about(&sentence, task);
    task__say(&sentence, " was cancelled, and has been suspended ");
    task__say_number(&sentence, task->parks);
    task__say(&sentence, " times since");
    task__report_task(task, LOOP_ERROR_IGNORED_CANCEL, 0, &sentence);
}

static void report_left(const struct task *task, int status, const char *what)
{
    struct sentence sentence;

    if (!loop_of_task(task)->debug)
        return;
    sentence_about(&sentence, task);
    task__say(&sentence, what);
    task__report_task(task, LOOP_ERROR_LEAK, status, &sentence);
}

void task__report_handle(struct task *task)
{
    report_left(task, task->done ? task->status : 0,
                " was neither awaited nor detached");
}

void task__report_held(struct task *task)
{
    report_left(task, 0, " ended while it owned a lock");
}

void task__report_leak(struct loop *loop, const char *what, const char *file,
                       int line)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_LEAK,
                               .message = sentence.chars,
                               .file = file,
                               .line = line};

    if (!loop->debug)
        return;
    sentence_clear(&sentence);
    task__say(&sentence, what);
    task__say_place(&sentence, file, line);
    task__say(&sentence, " was not closed");
    task__report(loop, &error);
}

bool task__debug_is_asked_for(void)
{
    const char *value = getenv("TASK_DEBUG");

    return value && !strcmp(value, "1");
}
