#!/usr/bin/env bash
# Traces are what Perfetto reads: each event has the fields that its kind needs,
# tracks have names and go forwards in time, spans on a track do not overlap,
# and every arrow has two ends, each in a span.
. "$(dirname "$0")/support/common.sh"

have python3 || skip 'no python3'

cat >"$tmp/busy.c" <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <task.h>
#include <unistd.h>

static struct task_queue queue;
static struct task_lock lock;

static int producer(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        task_queue_put(&queue, &i);
        if (i % 10 == 0)
            task_yield();
    }
    task_queue_shutdown(&queue, false);
    (void)arg;
    return 0;
}

static int consumer(void *arg)
{
    int item;

    (void)arg;
    while (task_queue_get(&queue, &item) == 0)
        if (item % 100 == 0)
            task_sleep(100 * TASK_MICROSECOND);
    return 0;
}

static int holder(void *arg)
{
    (void)arg;
    task_lock_acquire(&lock);
    task_sleep(TASK_MILLISECOND);
    task_lock_release(&lock);
    return -5;
}

static int stubborn(void *arg)
{
    (void)arg;
    task_sleep(TASK_HOUR);
    return task_sleep(TASK_MILLISECOND);
}

static void cancel(void *task)
{
    task_cancel(task);
}

static int waits_in_a_group(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    for (int i = 0; i < 3; i++)
        task_group_start(&group, holder, NULL);
    return task_group_end(&group, 0);
}

static int reads(void *arg)
{
    char byte;

    return (int)task_read(*(int *)arg, &byte, 1);
}

static int work(void *arg)
{
    int ends[2];
    struct task *tasks[] = {
        task_create_with(producer, NULL, &(struct task_options){.name = "pro \"1\""}),
        task_create(consumer, NULL),
        task_create_with(holder, NULL, &(struct task_options){.eager = true}),
        task_create(holder, NULL),
        task_create(stubborn, NULL),
        task_create(waits_in_a_group, NULL),
        pipe(ends) ? NULL : task_create(reads, &ends[0]),
    };

    (void)arg;
    loop_call_later(TASK_MILLISECOND, cancel, tasks[4]);
    task_yield();
    if (write(ends[1], "", 1) != 1)
        return -1;
    task_gather(tasks, 7, NULL);
    close(ends[0]);
    close(ends[1]);
    task_detach(task_create(stubborn, NULL)); /* it is left behind */
    task_yield();
    return 0;
}

static int traced(void *path)
{
    const char *bytes = getenv("RING");
    int status = bytes ? loop_trace_ring(loop_current(), path, (size_t)atol(bytes))
                       : loop_trace_start(loop_current(), path);

    return status ? status : work(NULL);
}

static int spins(void *arg)
{
    for (int i = 0; i < 3000; i++)
        task_yield();
    (void)arg;
    return 0;
}

static int traced_spin(void *path)
{
    loop_trace_start(loop_current(), path);
    task_await(task_create(spins, NULL));
    return loop_trace_stop(loop_current());
}

static void *other(void *path)
{
    return loop_run(traced_spin, path) ? path : NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *failed = NULL;
    int status;

    task_queue_init(&queue, sizeof(int), 4);
    if (argc > 2)
        pthread_create(&thread, NULL, other, argv[2]);
    status = loop_run(traced, argv[1]);
    if (argc > 2)
        pthread_join(thread, &failed);
    if (status || failed)
        fprintf(stderr, "%s\n", task_strerror(status));
    task_queue_destroy(&queue);
    return status || failed;
}
END
# shellcheck disable=SC2086,SC2154 # words are wanted; common.sh
$CC -std=gnu11 -O1 $CFLAGS -I "$root/include" "$tmp/busy.c" "$build/libtask.a" \
    -pthread -o "$tmp/busy"

cat >"$tmp/check.py" <<'END'
import collections
import json
import sys

EPSILON = 0.0006  # microseconds; doubles round the sums of them
FIELDS = {
    "M": {"args"},
    "X": {"ts", "dur"},
    "i": {"ts", "s", "args"},
    "s": {"ts", "id", "cat"},
    "f": {"ts", "id", "cat", "bp"},
}


def check(condition, what):
    if not condition:
        sys.exit(f"{sys.argv[1]}: {what}")


events = json.load(open(sys.argv[1], encoding="utf-8"))
tracks = collections.defaultdict(list)
names = {}
for event in events:
    check(set(event) >= {"ph", "name", "pid", "tid"}, event)
    check(event["ph"] in FIELDS and set(event) >= FIELDS[event["ph"]], event)
    check(isinstance(event["pid"], int) and isinstance(event["tid"], int), event)
    check(0 < event["tid"] < 1 << 31, event)
    if event["ph"] == "M":
        if event["name"] == "thread_name":
            names[event["tid"]] = event["args"]["name"]
        continue
    check(isinstance(event["ts"], (int, float)) and event["ts"] > 0, event)
    check(event.get("dur", 1) > 0, event)
    tracks[event["tid"]].append(event)
check(len({event["pid"] for event in events}) == 1, "several processes")

flows = collections.defaultdict(list)
for tid, track in tracks.items():
    check(tid in names, f"track {tid} has no name")
    last = 0
    end = 0
    open_span = None
    for event in track:
        check(event["ts"] >= last - EPSILON, f"backwards: {event}")
        last = event["ts"]
        if event["ph"] == "X":
            check(event["ts"] >= end - EPSILON, f"overlap: {open_span} {event}")
            end = event["ts"] + event["dur"]
            open_span = event
        elif event["ph"] in "sf":
            check(open_span and event["ts"] <= end + EPSILON,
                  f"an arrow out of any span: {event}")
            flows[event["id"]].append(event)
    kinds = [event["name"] for event in track if event["ph"] == "i"]
    check(kinds.count("created") <= 1 and kinds.count("ended") <= 1, kinds)
    if "ended" in kinds:
        check(track[-1]["name"] == "ended", f"after its end: {track[-1]}")
    if "created" in kinds:
        check(track[0]["name"] == "created", f"before it was: {track[0]}")
for flow in flows.values():
    check([event["ph"] for event in flow] in (["s", "f"], ["f", "s"]), flow)
    check(flow[0]["ts"] == flow[1]["ts"] and flow[0]["tid"] != flow[1]["tid"], flow)

# What is asked for: tracks of these names, spans of these.
wanted = set(sys.argv[2:])
spans = {event["name"] for event in events}
check(wanted <= spans | set(names.values()),
      f"missing: {wanted - spans - set(names.values())}")
print(sys.argv[1].split("/")[-1], len(events), "events,", len(names), "tracks")
END

events=(created run ended wake poll timers callback)
waits=(sleeping gathering 'putting into queue' 'getting from queue'
    'acquiring lock' 'ending a group with' reading)
tracks=(callbacks polls timers 'pro "1"')
"$tmp/busy" "$tmp/stream.json" || fail 'a stream'
python3 "$tmp/check.py" "$tmp/stream.json" "${events[@]}" "${waits[@]}" "${tracks[@]}"
for bytes in 1024 1100 1200 3000 10000 100000 10000000; do
    RING=$bytes "$tmp/busy" "$tmp/ring.json" || fail "a ring of $bytes"
    python3 "$tmp/check.py" "$tmp/ring.json" run ended
done
python3 "$tmp/check.py" "$tmp/ring.json" "${events[@]}" "${waits[@]}" "${tracks[@]}"
"$tmp/busy" "$tmp/one.json" "$tmp/two.json" || fail 'two loops'
python3 "$tmp/check.py" "$tmp/one.json" "${waits[@]}"
python3 "$tmp/check.py" "$tmp/two.json" run awaiting
