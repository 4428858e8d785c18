/* libuv's echo server: uv_read_start, uv_try_write, one buffer for all. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    static char bytes[65536];

    (void)handle;
    (void)size;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void have_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    uv_buf_t out = uv_buf_init(buf->base, n > 0 ? (unsigned)n : 0);

    if (n < 0 || (n > 0 && uv_try_write(stream, &out, 1) != n))
        uv_close((uv_handle_t *)stream, closed);
}

static void have_connection(uv_stream_t *listener, int status)
{
    uv_tcp_t *client = malloc(sizeof *client);

    uv_tcp_init(listener->loop, client);
    if (status || uv_accept(listener, (uv_stream_t *)client)) {
        uv_close((uv_handle_t *)client, closed);
        return;
    }
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t *)client, allocate, have_read);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    uv_tcp_t listener;

    uv_tcp_init(uv_default_loop(), &listener);
    uv_ip4_addr("127.0.0.1", argc > 1 ? atoi(argv[1]) : 0, &address);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) ||
        uv_listen((uv_stream_t *)&listener, 4096, have_connection)) {
        fprintf(stderr, "echo_uv: cannot listen\n");
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
