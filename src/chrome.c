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
enum { EVENT = 1024, FIRST_OWN = 0x7fffff00, LONGEST_NAME = 40 };

/* Copies of a fixed size need no calls: there is room for what is too much. */
#define COPY(at, array) memcpy(at, array, sizeof(array))

/* Microseconds. Most are of the same second as the one before, which is told by
 * nine digits. */
static char *put_time(struct chrome_file *file, char *at, task_time time)
{
    task_time second = time / TASK_SECOND;

    if (time < TASK_SECOND)
        return task__json_thousandths(at, time > 0 ? (uint64_t)time : 0);
    if (unlikely(second != file->second || !file->n_digits)) {
        char *end = task__json_number(file->digits, (uint64_t)second);

        file->second = second;
        file->n_digits = (size_t)(end - file->digits);
    }
    COPY(at, file->digits);
    return task__json_billionth(at + file->n_digits,
                                (uint32_t)(time % TASK_SECOND));
}

/* {"ph":"X","name":"run","pid":1,"tid": of a name that needs no escapes. */
static COLD void make_head(const struct chrome_file *file,
                           struct chrome_head *head, char phase,
                           const char *name)
{
    char *at = JSON(head->text, ",\n{\"ph\":\"");

    assert(strlen(name) <= LONGEST_NAME);
    *at++ = phase;
    at = json_text(JSON(at, "\",\"name\":\""), name);
    at = JSON(at, "\",\"pid\":");
    at = json_bytes(at, file->pid, file->pid_length);
    at = JSON(at, ",\"tid\":");
    head->name = name;
    head->phase = phase;
    head->length = (uint8_t)(at - head->text);
}

static const struct chrome_head *find_head(struct chrome_file *file, char phase,
                                           const char *name)
{
    uintptr_t hash =
        ((uintptr_t)name >> 3) ^ ((uintptr_t)name >> 7) ^ (unsigned char)phase;
    struct chrome_head *head = &file->heads[hash % CHROME_HEADS];

    if (unlikely(head->name != name || head->phase != phase))
        make_head(file, head, phase, name);
    return head;
}

static char *put_track(char *at, uint64_t track)
{
    return task__json_number(at, likely(track < FIRST_OWN) ? track
                                 : track >= TRACK_CALLBACKS
                                     ? FIRST_OWN + (track - TRACK_CALLBACKS)
                                     : track % FIRST_OWN);
}

/* The end of the array, for which there is room always. */
static const char END[] = "\n]\n";

/* Whole pages, of which the system takes no part twice: blanks fill the last.
 * When there is no room for more, the end takes their place. */
static NEVER_INLINE void flush_full(struct chrome_file *file)
{
    size_t blanks = CHROME_TEXT - file->n;

    memset(file->text + file->n, ' ', blanks);
    file->n = CHROME_TEXT;
    task__chrome_flush(file);
    if (file->error)
        return;
    file->length -= blanks;
    file->blanks = blanks;
}

static char *begin_event(struct chrome_file *file, char phase, const char *name,
                         uint64_t track)
{
    const struct chrome_head *head = find_head(file, phase, name);
    char *at;

    if (unlikely(file->n > CHROME_TEXT - EVENT - sizeof END))
        flush_full(file);
    at = file->text + file->n;
    COPY(at, head->text);
    return put_track(at + head->length, track);
}

/* `at`: where its text ends. */
static void end_event(struct chrome_file *file, char *at)
{
    file->n = (size_t)(at - file->text);
}

static char *put_at(struct chrome_file *file, char *at, task_time time)
{
    return put_time(file, JSON(at, ",\"ts\":"), time);
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

    at = put_at(file, JSON(at, ",\"s\":\"t\""), record->created.at);
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

    at = put_at(file, JSON(at, ",\"s\":\"t\""), record->ended_at);
    at = task__json_signed(JSON(at, ",\"args\":{\"status\":"), record->number);
    if (record->number < 0)
        at = task__json_string(JSON(at, ",\"text\":"),
                               task_strerror(record->number));
    end_event(file, JSON(at, "}}"));
}

static void add_span(struct chrome_file *file, const struct record *record)
{
    char *at = begin_event(file, 'X', record->span.what, record->track);

    at = put_at(file, at, record->span.from);
    at = JSON(at, ",\"dur\":");
    at = task__json_thousandths(
        at, (uint64_t)(record->span.to - record->span.from));
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
    end_event(file, JSON(put_at(file, at, record->span.to - 1), "}"));
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
    if (!file->error) {
        file->length += file->blanks + file->n;
        file->blanks = 0;
    }
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
    file->blanks = 0;
    file->n = 0;
    file->n_digits = 0;
    memset(file->heads, 0, sizeof file->heads);
    at = begin_event(file, 'M', "process_name", TRACK_CALLBACKS);
    file->text[0] = '['; /* of an array, not behind another event */
    end_event(file, JSON(at, ",\"args\":{\"name\":\"libtask\"}}"));
    name_track(file, TRACK_POLLS, "polls");
    name_track(file, TRACK_TIMERS, "timers");
    name_track(file, TRACK_CALLBACKS, "callbacks");
}

int task__chrome_end(struct chrome_file *file)
{
    int saved_errno = errno;

    task__chrome_flush(file);
    /* What is cut off makes room for the end. */
    if (file->error && !ftruncate(file->fd, (off_t)file->length))
        lseek(file->fd, (off_t)file->length, SEEK_SET);
    if (!file->length)
        write_all(file->fd, "[", 1);
    int error = write_all(file->fd, END, sizeof END - 1);

    errno = saved_errno;
    return file->error ? file->error : error;
}
