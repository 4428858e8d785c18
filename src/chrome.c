/*
 * Events as text, written out whenever there is much of it.
 */
#include "chrome.h"

#include "json.h"

#include <errno.h>
#include <string.h>
#include <task/debug.h>
#include <unistd.h>

/* No event is longer; TRACK_CALLBACKS and its kin have the ids from FIRST_OWN
 * on, as these are 32 bits wide. */
enum { EVENT = 1024, FIRST_OWN = 0x7fffff00 };

/* Times are told in microseconds. */
static char *put_microseconds(char *at, task_time time)
{
    return task__json_thousandths(at, time > 0 ? (uint64_t)time : 0);
}

static char *put_track(const struct chrome_file *file, char *at, uint64_t track)
{
    at = JSON(at, ",\"pid\":");
    at = json_bytes(at, file->pid, file->pid_length);
    at = JSON(at, ",\"tid\":");
    return task__json_number(at, track >= TRACK_CALLBACKS
                                     ? FIRST_OWN + (track - TRACK_CALLBACKS)
                                     : track % FIRST_OWN);
}

/* {"ph":"X","name":"run","pid":1,"tid":7 of a name that needs no escapes. */
static char *begin_event(struct chrome_file *file, char phase, const char *name,
                         uint64_t track)
{
    char *at;

    if (file->n > CHROME_TEXT - EVENT)
        task__chrome_flush(file);
    at = JSON(file->text + file->n, ",\n{\"ph\":\"");
    *at++ = phase;
    at = json_text(JSON(at, "\",\"name\":\""), name);
    return put_track(file, JSON(at, "\""), track);
}

/* `at`: where its text ends. */
static void end_event(struct chrome_file *file, char *at)
{
    file->n = (size_t)(at - file->text);
}

static char *put_at(char *at, task_time time)
{
    return put_microseconds(JSON(at, ",\"ts\":"), time);
}

static void add_name(struct chrome_file *file, const struct record *record)
{
    char *at = begin_event(file, 'M', "thread_name", record->track);

    at = JSON(at, ",\"args\":{\"name\":");
    if (record->name[0]) {
        at = task__json_string(at, record->name);
    } else {
        at = task__json_number(JSON(at, "\"task-"), record->track);
        at = JSON(at, "\"");
    }
    end_event(file, JSON(at, "}}"));
}

static void add_creation(struct chrome_file *file, const struct record *record)
{
    char *at = begin_event(file, 'i', "created", record->track);

    at = put_at(JSON(at, ",\"s\":\"t\""), record->created.at);
    at = JSON(at, ",\"args\":{\"by\":");
    at = task__json_number(at, record->created.by < TRACK_CALLBACKS
                                   ? record->created.by
                                   : TRACK_NOBODY);
    if (record->created.file[0]) {
        at = task__json_string(JSON(at, ",\"file\":"), record->created.file);
        at = task__json_signed(JSON(at, ",\"line\":"), record->number);
    }
    end_event(file, JSON(at, "}}"));
}

static void add_end(struct chrome_file *file, const struct record *record)
{
    char *at = begin_event(file, 'i', "ended", record->track);

    at = put_at(JSON(at, ",\"s\":\"t\""), record->ended_at);
    at = task__json_signed(JSON(at, ",\"args\":{\"status\":"), record->number);
    if (record->number < 0)
        at = task__json_string(JSON(at, ",\"text\":"),
                               task_strerror(record->number));
    end_event(file, JSON(at, "}}"));
}

static void add_span(struct chrome_file *file, const struct record *record)
{
    char *at = begin_event(file, 'X', record->span.what, record->track);

    at = put_at(at, record->span.from);
    at = JSON(at, ",\"dur\":");
    at = put_microseconds(at, record->span.to - record->span.from);
    end_event(file, JSON(at, "}"));
}

/* One end of the arrow from who wakes to who is woken: a nanosecond earlier, so
 * that either is within its span. */
static void add_flow(struct chrome_file *file, const struct record *record,
                     char phase, uint64_t track)
{
    char *at = begin_event(file, phase, "wake", track);

    at = task__json_number(JSON(at, ",\"cat\":\"wake\",\"id\":"), file->flows);
    if (phase == 'f')
        at = JSON(at, ",\"bp\":\"e\"");
    end_event(file, JSON(put_at(at, record->span.to - 1), "}"));
}

static void add_wait(struct chrome_file *file, const struct record *record)
{
    add_span(file, record);
    if (record->span.by == TRACK_NOBODY)
        return;
    file->flows++;
    add_flow(file, record, 's', record->span.by);
    add_flow(file, record, 'f', record->track);
}

void task__chrome_add(struct chrome_file *file, const struct record *record)
{
    static void (*const adds[])(struct chrome_file *, const struct record *) = {
        [RECORD_TRACK] = add_name, [RECORD_CREATED] = add_creation,
        [RECORD_SPAN] = add_span,  [RECORD_WAIT] = add_wait,
        [RECORD_ENDED] = add_end,
    };

    adds[record->kind](file, record);
}

static int write_all(int fd, const char *text, size_t n)
{
    while (n) {
        ssize_t written = write(fd, text, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written ? -errno : -EIO;
        text += written;
        n -= (size_t)written;
    }
    return 0;
}

void task__chrome_flush(struct chrome_file *file)
{
    int saved_errno = errno;

    if (!file->error)
        file->error = write_all(file->fd, file->text, file->n);
    if (!file->error)
        file->length += file->n;
    file->n = 0;
    errno = saved_errno;
}

/* One of the loop's own, before all others. */
static void name_track(struct chrome_file *file, uint64_t track,
                       const char *name)
{
    struct record record = {.kind = RECORD_TRACK, .track = track};

    memcpy(record.name, name, strlen(name));
    add_name(file, &record);

    char *at = begin_event(file, 'M', "thread_sort_index", track);

    end_event(file, JSON(at, ",\"args\":{\"sort_index\":-1}}"));
}

void task__chrome_begin(struct chrome_file *file, int fd)
{
    char *at = task__json_number(file->pid, (uint64_t)getpid());

    file->pid_length = (size_t)(at - file->pid);
    file->fd = fd;
    file->error = 0;
    file->flows = 0;
    file->length = 0;
    at = JSON(file->text, "[\n{\"ph\":\"M\",\"name\":\"process_name\"");
    at = put_track(file, at, TRACK_CALLBACKS);
    end_event(file, JSON(at, ",\"args\":{\"name\":\"libtask\"}}"));
    name_track(file, TRACK_POLLS, "polls");
    name_track(file, TRACK_TIMERS, "timers");
    name_track(file, TRACK_CALLBACKS, "callbacks");
}

int task__chrome_end(struct chrome_file *file)
{
    int saved_errno = errno;

    task__chrome_flush(file);
    /* What was cut off makes room for the end. */
    if (file->error && !ftruncate(file->fd, (off_t)file->length))
        lseek(file->fd, (off_t)file->length, SEEK_SET);
    int error = write_all(file->fd, "\n]\n", 3);

    errno = saved_errno;
    return file->error ? file->error : error;
}
