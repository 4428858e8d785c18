/* Streams: opened, closed, aborted; their descriptors: stream.h. */
#include "record.h"

#include "bodies.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int echo_once(void *arg)
{
    int pair[2];
    struct task_stream *a;
    struct task_stream *b;
    char buf[32];
    const char *line;

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    a = task_stream_open(pair[0]);
    b = task_stream_open(pair[1]);
    CHECK_STATUS(task_stream_write(a, "hello\nworld\n", 12), 0);
    CHECK_STATUS(task_stream_read_line(b, &line), 6);
    CHECK(!memcmp(line, "hello\n", 6));
    CHECK_STATUS(task_stream_read(b, buf, sizeof buf), 6);
    CHECK_STATUS(task_stream_printf(b, "%d %s", 7, "seven"), 0);
    CHECK_STATUS(task_stream_read_exactly(a, buf, 7), 0);
    CHECK_STATUS(task_stream_close(a), 0);
    CHECK_STATUS(task_stream_read(b, buf, sizeof buf), 0);
    CHECK(task_stream_at_eof(b));
    CHECK_STATUS(task_stream_close(b), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(echo_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
