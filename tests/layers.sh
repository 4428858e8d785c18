#!/usr/bin/env bash
# The modules of src/ keep to their layers: a file includes headers of lower
# layers only, never of its own or a higher one, and so there is no cycle.
#
# A module x is x.h, x.c and its parts x_*.h and x_*.c. Within it .c files include
# any header, and x.h those of parts. base.h and public headers are for all.
. "$(dirname "$0")/support/common.sh"

# One line a layer, lowest first. loop.h is what the modules above it share,
# loop_above.h what it calls in them.
layers='
cancelling
list heap quiet unblock misuse.h own_fd.h own_thread.h handler.h ending probes pages
say
memory symbols context
clock stack timer store
spin
scheduler_task.h
scheduler.h
park.h
request switch
scheduler park
descriptor poller_timer.h waiters needs cycles nowait wakeup debugger.h ask.h watchdog.h report.h dump.h holder.h hooks.h step.h marks.h overflow.h local.h text say_task.h say_task.c record json
endpoint chrome launch child
poller
inbox
catch
loop.h
debugger tree trace.h loop_above.h aside
report dump ask.c holder debug misuse step hooks trace marks overflow watchdog stats look run embed shutdown lost loop.c callback repeat task inspect local future sleep version
scope await several queue lock event semaphore barrier worker
remote thread
timeout group wait gather as condition rwlock once
fd
file
io
reader socket address resolve sendfile select
stream unix attempt
connect
open server signals
process
'

cd "$root/src"
awk -v layers="$layers" '
    BEGIN {
        n = split(layers, line, "\n")
        for (i = 1; i <= n; i++) {
            m = split(line[i], module, " ")
            for (j = 1; j <= m; j++)
                layer[module[j]] = i
        }
        for (i = 1; i < ARGC; i++)
            layer_of(ARGV[i])
    }
    function complain(file, text) {
        print "src/" file ": " text
        bad = 1
    }
    function module_of(file) {
        sub(/[_.].*/, "", file)
        return file
    }
    function layer_of(file) {
        if (file == "base.h")
            return 0
        if (file in layer)
            return layer[file]
        if (module_of(file) in layer)
            return layer[module_of(file)]
        complain(file, "has no layer: give it one in tests/layers.sh")
        return 0
    }
    function exists(path,    line, found) {
        found = (getline line < path) >= 0
        close(path)
        return found
    }
    function may_include(file, header) {
        if (!exists(header) && exists("../include/" header))
            return 1
        if (module_of(file) == module_of(header) && file != header &&
            (file ~ /\.c$/ || file !~ /_/))
            return 1
        return header == "base.h" || layer_of(header) < layer_of(file)
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, part, "\"")
        if (!may_include(FILENAME, part[2]))
            complain(FILENAME, "includes " part[2] ", which is not of a lower layer")
    }
    END { exit bad }
' *.[ch] || fail 'the layering is broken'
