/*
 * Texts about tasks.
 */
#include "text.h"

#include "say.h"

#include <stdarg.h>
#include <stdio.h>

static bool grow(struct text *text, size_t n)
{
    size_t capacity = 2 * (text->length + n + 1);
    char *chars = memory_resize(text->allocator, text->chars, capacity);

    if (!chars)
        return false;
    text->chars = chars;
    text->capacity = capacity;
    return true;
}

/* Have room for n more, and the 0 behind them; how much there is. */
static size_t make_room(struct text *text, size_t n)
{
    size_t room = text->capacity - text->length;

    if (n < room)
        return n;
    if (text->allocator && grow(text, n))
        return n;
    text->is_over = true;
    return text->allocator ? 0 : room - 1;
}

void task__text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    size_t room;
    int n;

    if (text->is_over)
        return;
    va_start(arguments, format);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    room = n > 0 ? make_room(text, (size_t)n) : 0;
    if (!room)
        return;
    va_start(arguments, format);
    vsnprintf(text->chars + text->length, room + 1, format, arguments);
    va_end(arguments);
    text->length += room;
}

void task__text_add_task(struct text *text, const struct task *task)
{
    unsigned long long id = task->id;
    char name[NAME_SHOWN + 1];

    if (task->name)
        task__say_cut_line(name, sizeof name, task->name);
    else
        snprintf(name, sizeof name, "task-%llu", id);
    task__text_add(text, "%s %llu \"%s\"", task->future ? "future" : "task", id,
                   name);
}

static void add_parts(struct text *text, task_time time, task_time unit,
                      const char *name, task_time part, const char *part_name)
{
    task__text_add(text, "%lld %s", (long long)(time / unit), name);
    if (time % unit >= part)
        task__text_add(text, " %lld %s", (long long)(time % unit / part),
                       part_name);
}

void task__text_add_time(struct text *text, task_time time)
{
    const task_time day = 24 * TASK_HOUR;

    if (time < 0)
        time = 0;
    if (time < TASK_MILLISECOND)
        task__text_add(text, "%lld us", (long long)(time / TASK_MICROSECOND));
    else if (time < TASK_SECOND)
        task__text_add(text, "%lld ms", (long long)(time / TASK_MILLISECOND));
    else if (time < TASK_MINUTE)
        task__text_add(text, "%lld.%lld s", (long long)(time / TASK_SECOND),
                       (long long)(time % TASK_SECOND * 10 / TASK_SECOND));
    else if (time < TASK_HOUR)
        add_parts(text, time, TASK_MINUTE, "min", TASK_SECOND, "s");
    else if (time < day)
        add_parts(text, time, TASK_HOUR, "h", TASK_MINUTE, "min");
    else
        add_parts(text, time, day, "d", TASK_HOUR, "h");
}
