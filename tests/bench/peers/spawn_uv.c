/* libuv: start /bin/true and wait for its end, n times, one by one; prints the
 * nanoseconds of each. usage: spawn_uv <n> */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static int left;

static void start(uv_process_t *process);

static void closed(uv_handle_t *handle)
{
    if (--left > 0)
        start((uv_process_t *)handle);
}

static void ended(uv_process_t *process, int64_t status, int signo)
{
    if (status || signo)
        exit(1);
    uv_close((uv_handle_t *)process, closed);
}

static void start(uv_process_t *process)
{
    char *args[] = {"/bin/true", NULL};
    uv_process_options_t options = {
        .file = args[0], .args = args, .exit_cb = ended};

    if (uv_spawn(uv_default_loop(), process, &options))
        exit(1);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 1000;
    uv_process_t process;
    uint64_t began = uv_hrtime();

    left = n;
    start(&process);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    printf("%.0f\n", (double)(uv_hrtime() - began) / n);
    return 0;
}
