/*
 * Words and numbers put together by hand.
 */
#include "say.h"

#include "quiet.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

void task__say_part(struct sentence *sentence, const char *text, size_t n)
{
    size_t room = sizeof sentence->chars - 1 - sentence->length;
    size_t length = 0;

    while (length < n && length < room && text[length])
        length++;
    memcpy(sentence->chars + sentence->length, text, length);
    sentence->length += length;
    sentence->chars[sentence->length] = '\0';
}

void task__say(struct sentence *sentence, const char *text)
{
    task__say_part(sentence, text, SIZE_MAX);
}

static bool is_inside_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

void task__say_cut(char *out, size_t size, const char *text)
{
    size_t length = 0;

    while (length < size - 1 && text[length])
        length++;
    while (length && is_inside_character(text[length]))
        length--;
    memcpy(out, text, length);
    out[length] = '\0';
}

void task__say_cut_line(char *out, size_t size, const char *text)
{
    task__say_cut(out, size, text);
    for (; *out; out++)
        if ((unsigned char)*out < ' ' || *out == '\177')
            *out = '?';
}

static void say_digits(struct sentence *sentence, uint64_t number,
                       unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;

    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    task__say_part(sentence, digits + at, sizeof digits - at);
}

void task__say_number(struct sentence *sentence, uint64_t number)
{
    say_digits(sentence, number, 10);
}

void task__say_address(struct sentence *sentence, uintptr_t address)
{
    task__say(sentence, "0x");
    say_digits(sentence, address, 16);
}

static void take_off(struct iovec *part, size_t *n)
{
    size_t taken = *n < part->iov_len ? *n : part->iov_len;

    part->iov_base = (char *)part->iov_base + taken;
    part->iov_len -= taken;
    *n -= taken;
}

static ssize_t write_parts(int fd, const struct iovec parts[], int n)
{
    ssize_t written = writev(fd, parts, n);

    return written < 0 ? -errno : written;
}

/* All of it, the last part of which is not empty; what cannot be written is
 * lost. */
static void write_out(struct iovec parts[], int n)
{
    int saved_errno = errno;

    while (parts[n - 1].iov_len) {
        ssize_t written = task__quietly(STDERR_FILENO, parts, n, write_parts);
        size_t taken = written > 0 ? (size_t)written : 0;

        if (!written || (written < 0 && written != -EINTR))
            break;
        for (int i = 0; i < n; i++)
            take_off(&parts[i], &taken);
    }
    errno = saved_errno;
}

void task__say_line(const char *text)
{
    static char before[] = "libtask: ";
    static char after[] = "\n";
    struct iovec parts[] = {{before, sizeof before - 1},
                            {(char *)(uintptr_t)text, strlen(text)},
                            {after, 1}};

    write_out(parts, 3);
}

void task__say_bytes(const char *bytes, size_t n)
{
    struct iovec part = {(char *)(uintptr_t)bytes, n};

    write_out(&part, 1);
}

void task__say_out(struct sentence *sentence)
{
    task__say_bytes(sentence->chars, sentence->length);
    sentence_clear(sentence);
}
