#!/usr/bin/env bash
# The examples that serve and fetch, by real clients: socat, curl, wrk, redis-cli
# and redis-benchmark. What has no client here is left out, with a word.
. "$(dirname "$0")/support/common.sh"

launcher=${LAUNCHER:-}
servers=()
# And what a launcher runs: strace ends with that, and not before.
stop_servers() {
    local server children

    for server in "${servers[@]}"; do
        read -ra children <"/proc/$server/task/$server/children" || true
        kill "$server" "${children[@]}" || true
    done 2>/dev/null
}
trap 'stop_servers; rm -rf "$tmp"' EXIT

# has <program>...: or say what is left out.
has() {
    command -v "$1" >/dev/null && return
    echo "no $1: left out what it would test"
    return 1
}

# serve <example> <argument>...: in the background; its port in $port.
serve() {
    local i

    : >"$tmp/$1.out"
    $launcher "$build/examples/$1" "${@:2}" >"$tmp/$1.out" 2>"$tmp/$1.err" &
    server=$!
    servers+=($server)
    for ((i = 0; i < 200; i++)); do
        port=$(sed -n 's/^listening on port //p' "$tmp/$1.out")
        [[ -z $port ]] || return 0
        sleep 0.05
    done
    cat "$tmp/$1.err"
    fail "$1: does not listen"
}

# same <wanted> <got> <what>
same() {
    [[ $1 == "$2" ]] || fail "$3: '$2' instead of '$1'"
}

talk() {
    timeout 20 socat -t5 - "TCP:127.0.0.1:$port"
}

if has socat; then
    serve echo_server 0 0.3 0.2
    same hello "$(printf hello | talk)" 'echo_server: the echo'
    head -c 1000000 /dev/urandom >"$tmp/much"
    talk <"$tmp/much" >"$tmp/back"
    cmp "$tmp/much" "$tmp/back" || fail 'echo_server: other bytes came back'
    same 'silent for too long' "$(sleep 2 | talk)" 'echo_server: the silent'
    kill -TERM $server
    wait $server || fail "echo_server: exit code $?"
    grep -q '^shutting down$' "$tmp/echo_server.out" ||
        fail 'echo_server: does not shut down'
    grep -q 'cut off: 0$' "$tmp/echo_server.out" ||
        fail 'echo_server: cuts somebody off'

    serve echo_server 0 60 0.2
    (sleep 1.5 | talk >/dev/null) &
    sleep 0.3
    kill -INT $server
    wait $server || fail "echo_server: exit code $? with a client"
    wait $! || true

    # a signal as soon as it may be sent; one that sends, and never reads
    mkfifo "$tmp/said"
    for ((i = 0; i < 30; i++)); do
        $launcher "$build/examples/echo_server" 0 >"$tmp/said" 2>"$tmp/err" &
        server=$!
        exec 8<"$tmp/said"
        read -r _ <&8
        kill -TERM $server
        cat <&8 >"$tmp/rest"
        wait $server || fail "echo_server: exit code $? after an early signal"
        exec 8<&-
    done
    serve echo_server 0 0.3
    exec 8<>"/dev/tcp/127.0.0.1/$port"
    code=0
    (trap '' PIPE; timeout 20 head -c 200000000 /dev/zero >&8) 2>"$tmp/err" || code=$?
    exec 8<&-
    [[ $code != 124 ]] || fail 'echo_server: keeps one that does not read'

    serve chat 0
    {
        echo ann
        sleep 0.8
        echo 'hello all'
        sleep 0.4
    } | talk >"$tmp/ann" &
    sleep 0.3
    same $'your name?\nann: hello all\n* ann has gone' \
        "$({ echo bob; sleep 1.2; } | talk)" 'chat: what bob hears'
    wait $!
    same $'your name?\n* bob has come' "$(cat "$tmp/ann")" 'chat: what ann hears'

    # many lines at once; as long as may be, and longer; what terminals obey
    {
        echo ann
        while [[ ! -e $tmp/bob.gone ]]; do sleep 0.1; done
        sleep 0.2
    } | talk >"$tmp/ann" &
    sleep 0.3
    seq -f 'line %g' 500 >"$tmp/wanted"
    head -c 256 /dev/zero | tr '\0' x >"$tmp/line"
    {
        printf 'bob\e[2J\n'
        sleep 0.3
        cat "$tmp/wanted"
        sleep 0.3
        printf '%s\n%sy\n\a\xc2\x9b\xc3\xa9\n' "$(cat "$tmp/line")" "$(cat "$tmp/line")"
        sleep 0.3
    } | talk >"$tmp/bob"
    : >"$tmp/bob.gone"
    wait $!
    grep -a ': line' "$tmp/ann" | sed 's/.*: //' | cmp - "$tmp/wanted" ||
        fail 'chat: lines that come at once are missed'
    grep -qxaF "bob [2J: $(cat "$tmp/line")" "$tmp/ann" ||
        fail 'chat: cuts the longest line'
    same $'your name?\n* too long' "$(cat "$tmp/bob")" 'chat: too long a line'
    same $'bob [2J:  \xc2 \xc3\xa9' "$(grep -a $'\xa9' "$tmp/ann")" 'chat: controls'
    ! LC_ALL=C grep -qa '[[:cntrl:]]' "$tmp/ann" || fail 'chat: control characters'
    same $'your name?\n* that is too long a name' "$(head -c 32 "$tmp/line" | talk)" \
        'chat: too long a name'

    serve echo_server 0
    serve tcp_proxy 0 127.0.0.1 "$port"
    same 'through it' "$(printf 'through it' | talk)" 'tcp_proxy: the echo'
    talk <"$tmp/much" >"$tmp/back"
    cmp "$tmp/much" "$tmp/back" || fail 'tcp_proxy: other bytes came back'

fi
# tcp_proxy: a reset comes as one, and is told of the side that it comes from; a
# target that does not answer is given up
if has python3; then
    cat >"$tmp/resets.py" <<'END'
import socket, struct, subprocess, sys

def proxy(target):
    words = sys.argv[1:] + ['0', '127.0.0.1', str(target.getsockname()[1])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, ('127.0.0.1', int(process.stdout.readline().split()[-1]))

def reset(end):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    end.close()

def assert_reset(end, text):
    end.settimeout(20)
    try:
        while end.recv(4096):
            pass
    except ConnectionResetError:
        return
    sys.exit('tcp_proxy: ' + text)

def said(process):
    process.terminate()
    return [line for line in process.communicate()[1].splitlines() if line[:2] != '==']

target = socket.create_server(('127.0.0.1', 0))
process, port = proxy(target)
for i in range(2):
    client = socket.create_connection(port)
    server, _ = target.accept()
    server.sendall(b'part')
    client.recv(4)
    if i == 0:
        reset(server)
        assert_reset(client, 'a reset target looks like its end')
    else:
        reset(client)
        assert_reset(server, 'a reset client looks like its end')
name = '127.0.0.1 %d: ' % target.getsockname()[1]
wanted = [name + 'Connection reset by peer', 'client: Connection reset by peer']
got = said(process)
if got != wanted:
    sys.exit('tcp_proxy: %s instead of %s' % (got, wanted))

silent = socket.socket()
silent.bind(('127.0.0.1', 0))
silent.listen(0)
filling = [socket.socket() for i in range(4)]
for end in filling:
    end.setblocking(False)
    end.connect_ex(silent.getsockname())
process, port = proxy(silent)
assert_reset(socket.create_connection(port), 'a target that is silent')
if 'timed out' not in said(process)[-1]:
    sys.exit('tcp_proxy: nothing is said of a target that is silent')
END
    # shellcheck disable=SC2086
    python3 "$tmp/resets.py" $launcher "$build/examples/tcp_proxy" || fail 'tcp_proxy: see above'
fi

mkdir "$tmp/www" "$tmp/www/folder"
echo '<p>index</p>' >"$tmp/www/index.html"
printf 0123456789 >"$tmp/www/digits"
head -c 3000000 /dev/urandom >"$tmp/www/large"
: >"$tmp/www/empty.txt"
echo secret >"$tmp/secret"
serve http_server 0 "$tmp/www"
url=http://127.0.0.1:$port
http_port=$port

# code <argument of curl>...: what the server answers.
code() {
    curl -s -o "$tmp/body" -w '%{http_code}' "$@"
}

if has curl; then
    same '<p>index</p>' "$(curl -s "$url/")" 'http_server: /'
    curl -s "$url/large" | cmp - "$tmp/www/large" || fail 'http_server: large'
    same 200 "$(code "$url/empty.txt")" 'http_server: an empty file'
    same 345 "$(curl -s -r 3-5 "$url/digits")" 'http_server: a range'
    same 789 "$(curl -s -r -3 "$url/digits")" 'http_server: the last bytes'
    same 56789 "$(curl -s -r 5- "$url/digits")" 'http_server: from a byte on'
    same 206 "$(code -r 3-100 "$url/digits")" 'http_server: a range too long'
    same 416 "$(code -r 10-20 "$url/digits")" 'http_server: no such range'
    same 404 "$(code "$url/none")" 'http_server: no such file'
    same 404 "$(code "$url/folder")" 'http_server: a folder'
    same 403 "$(code --path-as-is "$url/../secret")" 'http_server: a way out'
    same 403 "$(code --path-as-is "$url/folder/%2e%2e/%2e%2e/secret")" \
        'http_server: a way out, disguised'
    same 405 "$(code -X DELETE "$url/digits")" 'http_server: DELETE'
    same 501 "$(code -d body -X GET "$url/digits")" 'http_server: a body'
    curl -sI "$url/digits" | matches -i '^content-length: 10' ||
        fail 'http_server: HEAD'
    same 10 "$(curl -s -o "$tmp/body" -o "$tmp/body" -w '%{num_connects}' \
        "$url/digits" "$url/none")" 'http_server: two on one connection'
    same 1 "$(curl -s -0 -o "$tmp/body" -w '%{num_connects}' "$url/digits")" \
        'http_server: HTTP/1.0'
    same 400 "$(code "$url/%00")" 'http_server: a zero byte'
    same 400 "$(code "$url/%zz")" 'http_server: no number'
    same 403 "$(code --path-as-is "$url//etc/passwd")" 'http_server: the root'
    same 416 "$(code -r -0 "$url/digits")" 'http_server: the last 0 bytes'
    same 200 "$(code -r 1-2,4-5 "$url/digits")" 'http_server: several ranges'
    same 431 "$(code -H "X: $(head -c 100000 /dev/zero | tr '\0' x)" \
        "$url/digits")" 'http_server: a head without end'
    same 405 "$(code -X PUT -H Expect: -T "$tmp/www/large" "$url/digits")" \
        'http_server: a body that is not read'
    same 404 "$(curl -sI -w '%{http_code}' -o "$tmp/body" "$url/none")" \
        'http_server: HEAD of none'
    echo '<p>folder</p>' >"$tmp/www/folder/index.html"
    same '<p>folder</p>' "$(curl -s "$url/folder/")" 'http_server: an index'
    curl -s -D - -o "$tmp/body" -r 3-5 "$url/digits" |
        matches -i '^content-range: bytes 3-5/10' || fail 'http_server: which range'
    for range in 5 5-x 5-7x ' 5-7' +5-7 5-+7 0x3-0x5 -+3 --3 -5-3 5-3 20-10 '3- 5' - ''; do
        same 200 "$(code -H "Range: bytes=$range" "$url/digits")" \
            "http_server: bytes=$range"
    done
    same 206 "$(code -H 'Range: bytes=5-7 ' "$url/digits")" \
        'http_server: a blank after a range'
    same 206 "$(code -r 5-99999999999999999999 "$url/digits")" \
        'http_server: a range that ends nowhere'
    same 206 "$(code -r -99999999999999999999 "$url/digits")" \
        'http_server: more than the last bytes'
    same 200 "$(code -r -5 "$url/empty.txt")" 'http_server: the last of none'
    same 200 "$(code -r 3-5 -H 'If-Range: "x"' "$url/digits")" \
        'http_server: a range of another file'
    same 200 "$(code -I -r 3-5 "$url/digits")" 'http_server: HEAD of a range'
    curl -sI -X OPTIONS "$url/" | matches '^Allow: GET, HEAD, OPTIONS' ||
        fail 'http_server: OPTIONS'
    curl -s -D - -o "$tmp/body" -X PUT "$url/" | matches '^Allow: GET, HEAD, OPTIONS' ||
        fail 'http_server: what is allowed'
    before=$(date +%s)
    sleep 1
    told=$(date -d "$(curl -sI "$url/" | tr -d '\r' | sed -n 's/^Date: //p')" +%s)
    ((told > before && told <= $(date +%s))) || fail 'http_server: another date'

    serve http_server 0 "$tmp/www"
    $launcher "$build/examples/fetch" "$url/digits" "$url/large" >"$tmp/fetched" ||
        fail 'fetch: a failure'
    same '10 3000000 ' "$(awk '$1 == 200 { print $2 }' "$tmp/fetched" | sort -n |
        tr '\n' ' ')" 'fetch: sizes'
    ! $launcher "$build/examples/fetch" "$url/none" >"$tmp/fetched" ||
        fail 'fetch: a 404 goes unnoticed'
    same 404 "$(awk '{ print $1 }' "$tmp/fetched")" 'fetch: 404'
    if has socat; then
        serve echo_server 0
        ! $launcher "$build/examples/fetch" -t 0.5 "http://127.0.0.1:$port/" \
            "$url/digits" >"$tmp/fetched" || fail 'fetch: late goes unnoticed'
        grep -q '^200 .*digits$\|^ *200' "$tmp/fetched" ||
            fail 'fetch: one that is late stops the others'
    fi
fi
if has socat; then
    # ask <request>: what is answered, without its heads.
    ask() {
        printf "$1" | timeout 20 socat -t5 - "TCP:127.0.0.1:$http_port" |
            tr -d '\r' | grep -v '^[A-Z].*: ' | tr '\n' ' '
    }
    get='GET /digits HTTP/1.1\r\nHost: x\r\n'
    same 'HTTP/1.1 200 OK  0123456789HTTP/1.1 404 Not Found  404 Not Found ' \
        "$(ask "\r\n$get\r\nGET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")" \
        'http_server: two at once'
    for request in '\r\n\r\n' 'GET /\r\n\r\n' 'GET x HTTP/1.1\r\nHost: x\r\n\r\n' \
        "${get}nonsense\r\n\r\n" 'GET / HTTP/1.1\r\nHost: x\r\n\0\r\n\r\n'; do
        same 'HTTP/1.1 400 Bad Request  400 Bad Request ' "$(ask "$request$get")" \
            "http_server: $request"
    done
    same '' "$(ask "$get")" 'http_server: half a request'

    # Answers to what has a second request behind it, which must be found only where
    # the first one ends there for everybody. $get is followed by \r\n below.
    while IFS='|' read -r wanted request; do
        same "$wanted" "$(ask "$request\r\n\r\nGET /none HTTP/1.0\r\n\r\n" |
            grep -o 'HTTP/1.1 [0-9]*' | cut -c 10- | xargs)" "http_server: $request"
    done <<END
200 404|${get}Content-Length: 0\040
200 404|${get}Content-Length: 00
200 404|${get}X:
400|${get}Content-Length : 40
400|${get}Content-Length\t: 40
400|${get}: x
400|${get}X: y\r\n Content-Length: 40
400|${get}X: y\r\n\tz
400|${get}X: y\rContent-Length: 40
400|${get}X: y\nContent-Length: 40
400|GET /digits HTTP/1.1\rHost: x
501|${get}Content-Length: 40
501|${get}Transfer-Encoding: chunked
400|${get}Content-Length: 0x0
400|${get}Content-Length: +0
400|${get}Content-Length: 0, 0
400|${get}Content-Length:
400|GET /digits HTTP/1.1
400|${get}Host: x
400|GET /digits HTTP/1.0\r\nHost: x\r\nHost: y
200|GET /digits HTTP/1.0
200 404|GET /digits HTTP/1.0\r\nConnection: keep-alive
200|${get}Connection: close\r\nConnection: keep-alive
200|${get}Connection: keep-alive\r\nConnection: close
200|GET /digits HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive
200 404|GET http://x/digits HTTP/1.1\r\nHost: x
200 404|GET HTTP://x?y HTTP/1.1\r\nHost: x
403|GET http://x/../secret HTTP/1.0
400|GET * HTTP/1.1\r\nHost: x
200 404|OPTIONS * HTTP/1.1\r\nHost: x
200 404|OPTIONS /none HTTP/1.1\r\nHost: x
405|POST /digits HTTP/1.1\r\nHost: x
405|CONNECT x:80 HTTP/1.1\r\nHost: x
501|BREW /digits HTTP/1.1\r\nHost: x
501|get /digits HTTP/1.1\r\nHost: x
400|GET /digits HTTP/1.1x\r\nHost: x
400|GET /digits HTTP/1.\r\nHost: x
400|GET /digits HTTP/1.11\r\nHost: x
400|GET /digits FTP/1.1\r\nHost: x
200 404|GET /digits HTTP/1.2\r\nHost: x
505|GET /digits HTTP/2.0\r\nHost: x
END
fi

# Connections take all descriptors: that there is none for a file is not its fault.
(
    ulimit -Sn 24
    serve http_server 0 "$tmp/www"
    ulimit -Sn "$(ulimit -Hn)"
    trap 'kill $server' EXIT
    for i in {1..24}; do
        exec {client}<>"/dev/tcp/127.0.0.1/$port"
        clients[i]=$client
    done
    for ((i = 0; i < 200; i++)); do # until it has taken all
        set -- "/proc/$server/fd/"*
        (($# < 24)) || break
        sleep 0.05
    done
    printf 'GET /digits HTTP/1.1\r\nHost: x\r\n\r\n' >&"${clients[1]}"
    read -r -t 20 answer <&"${clients[1]}"
    same $'HTTP/1.1 503 Service Unavailable\r' "$answer" 'http_server: without descriptors'
) 2>"$tmp/err" || { cat "$tmp/err"; exit 1; }

if has socat; then
    # fetched <seconds> <answer> <URL>: what fetch says of it, with PORT there the one of
    # somebody who answers so, and goes after that time; the request is in $tmp/request.
    fetched() {
        local code=0 i port=

        : >"$tmp/log"
        { printf "$2"; sleep "$1"; } |
            timeout 20 socat -d -d -t5 - TCP-LISTEN:0,bind=127.0.0.1 \
                >"$tmp/request" 2>"$tmp/log" &
        for ((i = 0; i < 200; i++)); do
            port=$(sed -n 's/.* listening on .*:\([0-9]*\)$/\1/p' "$tmp/log")
            [[ -z $port ]] || break
            sleep 0.05
        done
        $launcher "$build/examples/fetch" -t "${limit:-20}" "${3/PORT/$port}" \
            >"$tmp/fetched" 2>"$tmp/err" || code=$?
        wait $! || true
        sed -E "s/ bytes .*//; s/  http.*//; s/ +/ /g; s/^ */$code /" "$tmp/fetched"
    }
    head='HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
    while IFS='|' read -r wanted answer; do
        same "$wanted" "$(fetched 0 "$answer" http://127.0.0.1:PORT/)" "fetch: $answer"
    done <<END
0 200 5|${head}hello
0 200 5|${head}hello, and more
0 200 5|HTTP/1.0 200\n\nhello
0 200 0|HTTP/1.1 200 OK\r\ncontent-length:0 \r\n\r\n
1 404 5|HTTP/1.1 404 Not Found\r\n\r\nhello
1 404 5|HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\nhello
1 error Protocol error|HTTP/1.1 100 Continue\r\n\r\n
1 error Protocol error|${head}hell
1 error Protocol error|HTTP/1.1 200 OK\r\nContent-Len
1 error Protocol error|HTTP/1.1 200 OK\r\nX: y\r\n
1 error Protocol error|HTTP/1.1 200
1 error Protocol error|
1 error Protocol error|HTTP/1.1 20099 OK\r\n\r\n
1 error Protocol error|HTTP/1.1 099 OK\r\n\r\n
1 error Protocol error|HTTP/1.1 20\r\n\r\n
1 error Protocol error|HTTP/1.10 200 OK\r\n\r\n
1 error Protocol error|HTTP/2.0 200 OK\r\n\r\n
1 error Protocol error|HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello
1 error Protocol error|HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello
1 error Protocol error|HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello
1 error Protocol error|HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhel
1 error Protocol error|HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel
END
    same '0 200 5' "$(limit=2 fetched 4 "${head}hello" http://127.0.0.1:PORT/)" \
        'fetch: a connection that is not closed'

    while IFS='|' read -r line authority page; do
        same '0 200 5' "$(fetched 0 "${head}hello" "$page")" "fetch: $page"
        port=$(sed -n 's/.* listening on .*:\([0-9]*\)$/\1/p' "$tmp/log")
        same "$line HTTP/1.0 Host: ${authority/PORT/$port} Connection: close " \
            "$(tr -d '\r' <"$tmp/request" | tr -s '\n' ' ')" "fetch: what $page asks for"
    done <<'END'
GET /|127.0.0.1:PORT|http://127.0.0.1:PORT
GET /a?b=c|localhost:PORT|HTTP://localhost:PORT/a?b=c#d
GET /?x=1|127.0.0.1:PORT|http://127.0.0.1:PORT?x=1
GET /|127.0.0.1:PORT|http://127.0.0.1:PORT#d/e
END
    if [[ -s /proc/net/if_inet6 ]]; then
        same '0 200 5' "$(fetched 0 "${head}hello" 'http://[::ffff:127.0.0.1]:PORT/')" \
            'fetch: IPv6'
        matches '^Host: \[::ffff:127.0.0.1\]:[0-9]' "$tmp/request" ||
            fail 'fetch: an address of IPv6 without brackets'
    fi
fi
for wrong in http:// http:/// http://:80/ http://h: http://h:0/ http://h:65536/ http://h:80x/ \
    http://h:+80/ http://h:99999999999999999999/ http://h:1:2/ 'http://[::1' 'http://[]/' \
    'http://[::1]x/' 'http://u@h/' 'http://h/a b' $'http://h/\r\nX:'; do
    ! $launcher "$build/examples/fetch" "$wrong" >"$tmp/fetched" 2>"$tmp/err" ||
        fail "fetch: $wrong goes unnoticed"
    matches '^error Invalid argument' "$tmp/fetched" || fail "fetch: $wrong is taken"
done
code=0
$launcher "$build/examples/fetch" -t >/dev/null 2>"$tmp/err" || code=$?
[[ $code == 2 ]] || fail "fetch -t: exit code $code"
matches '^usage: ' "$tmp/err" || fail 'fetch -t: no usage'
$launcher "$build/examples/fetch" "$url/digits" >"$tmp/fetched" 2>"$tmp/err" ||
    fail 'fetch: one page'
! $launcher "$build/examples/fetch" "$url/digits" >/dev/full 2>"$tmp/err" ||
    fail 'fetch: a full disk goes unnoticed'
if has wrk; then
    wrk -t1 -c20 -d1s "$url/digits" >"$tmp/wrk"
    ! grep -E 'Socket errors|Non-2xx' "$tmp/wrk" || fail 'http_server: under load'
fi

if has redis-cli; then
    serve redis_server 0
    redis() {
        redis-cli -p "$port" "$@"
    }
    same PONG "$(redis ping)" 'redis_server: PING'
    same hello "$(redis echo hello)" 'redis_server: ECHO'
    same OK "$(redis set a 'x y')" 'redis_server: SET'
    same 'x y' "$(redis get a)" 'redis_server: GET'
    same '' "$(redis get none)" 'redis_server: GET of none'
    same '1 2' "$(echo $(redis incr n) $(redis incr n))" 'redis_server: INCR'
    for value in 'x y' ' 5' '5 ' 5x +5 007 -0 -05 - '' 9223372036854775808 \
        -9223372036854775809; do
        redis set a "$value" >/dev/null
        redis incr a | matches 'not an integer' ||
            fail "redis_server: INCR of '$value'"
        redis expire n "$value" | matches 'not an integer' ||
            fail "redis_server: EXPIRE by '$value'"
    done
    for value in -9223372036854775808 -10 -1 0 9 9223372036854775806; do
        redis set a "$value" >/dev/null
        same $((value + 1)) "$(redis incr a)" "redis_server: INCR of $value"
    done
    redis incr a | matches overflow || fail 'redis_server: INCR of the largest'
    redis set a 'x y' >/dev/null
    same 3 "$(redis lpush l x y z)" 'redis_server: LPUSH'
    same 'z y x' "$(echo $(redis lrange l 0 -1))" 'redis_server: LRANGE'
    same 'y x' "$(echo $(redis lrange l -2 100))" 'redis_server: LRANGE, cut'
    least=-9223372036854775808 most=9223372036854775807
    same 'z y x' "$(echo $(redis lrange l $least $most))" 'redis_server: LRANGE of all'
    same '' "$(redis lrange l $most $most)" 'redis_server: LRANGE behind the end'
    same '' "$(redis lrange l $most $least)" 'redis_server: LRANGE, backwards'
    same '' "$(redis lrange l $least $least)" 'redis_server: LRANGE before all'
    redis get l | matches WRONGTYPE || fail 'redis_server: GET of a list'
    same 1 "$(redis expire a 100)" 'redis_server: EXPIRE'
    same 1 "$(redis expire a 4000000000)" 'redis_server: EXPIRE in a century'
    for seconds in $least $most 9999999999; do
        redis expire a $seconds | matches 'invalid expire time' ||
            fail "redis_server: EXPIRE by $seconds"
    done
    same 'x y' "$(redis get a)" 'redis_server: GET of one that will expire'
    same 1 "$(redis expire a 0)" 'redis_server: EXPIRE now'
    same '' "$(redis get a)" 'redis_server: an expired key'
    same 2 "$(redis del n l none a)" 'redis_server: DEL'
    redis nonsense | matches 'unknown command' || fail 'redis_server: nonsense'
    head -c 200000 /dev/zero | tr '\0' v >"$tmp/value"
    redis -x set big <"$tmp/value" >/dev/null
    redis get big | tr -d '\n' | cmp - "$tmp/value" || fail 'redis_server: big'
    # 20 MB that nobody asks for any more are given back.
    if [[ -z $launcher ]] && has socat; then
        resident() {
            awk '/^VmRSS/ { print $2 }' "/proc/$server/status"
        }
        ASAN_OPTIONS=${ASAN_OPTIONS:-}:quarantine_size_mb=1 MALLOC_MMAP_THRESHOLD_=100000 \
            serve redis_server 0
        before=$(resident)
        for i in {100..199}; do
            printf '*3\r\n$3\r\nSET\r\n$4\r\nk%s\r\n$200000\r\n' "$i"
            cat "$tmp/value"
            printf '\r\n*3\r\n$6\r\nEXPIRE\r\n$4\r\nk%s\r\n$1\r\n1\r\n' "$i"
        done | talk >"$tmp/out"
        same 100 "$(grep -c '^:1' "$tmp/out")" 'redis_server: EXPIRE'
        for ((i = 0; i < 100; i++)); do
            (($(resident) >= before + 5000)) || break
            sleep 0.1
        done
        ((i < 100)) ||
            fail "redis_server: keeps what has expired: $before, $(resident) KB"
    fi
    if has socat; then
        ping='*1\r\n$4\r\nPING\r\n'
        pong=$'+PONG\r\n'
        echo='*2\r\n$4\r\necho\r\n$2\r\nhi\r\n'
        same "$pong"$'$2\r\nhi\r\n+PONG\r' \
            "$(printf "$ping$echo*0\r\n*-1\r\n*-5\r\n$ping" | talk)" 'redis_server: many at once'
        seq 10001 14000 | sed 's/.*/$5\r\n&\r/' >"$tmp/wanted"
        sed 's/^\$/*2\r\n$4\r\necho\r\n$/' "$tmp/wanted" | talk >"$tmp/back"
        cmp "$tmp/wanted" "$tmp/back" || fail 'redis_server: very many at once'
        for wrong in 'nonsense\r\n' '\n' '\0\r\n' '*\r\n' '*1x\r\n' '*-5x\r\n' \
            '*99999999999999999999\r\n' '*00' '*-0\r\n' '*-00' '*0001\r\n' '*+1\r\n' \
            '* 1\r\n' 'x-1\r\n' '*--1\r\n'; do
            same "$pong"$'-ERR Protocol error: invalid multibulk length\r' \
                "$(printf "$ping$wrong" | talk)" "redis_server: $wrong"
        done
        for wrong in '$-1\r\n' '+4\r\nPING\r\n' '$99999999999999999999\r\n' '$500000000\r\n' \
            '$4\r\nPINGxx' '$00' '$-0' '$04\r\nPING\r\n'; do
            same "$pong"$'-ERR Protocol error: invalid bulk length\r' \
                "$(printf "$ping*1\\r\\n$wrong" | talk)" "redis_server: $wrong"
        done
        for half in '*1' '*1\r\n' '*1\r\n$4\r\nPI' '*1\r\n$4\r\nPING\r'; do
            same "${pong%?}" "$(printf "$ping$half" | talk)" "redis_server: $half"
        done
    fi
    redis-benchmark -p "$port" -n 2000 -P 8 -q -t set,get,incr,lpush,lrange_100 \
        >"$tmp/benchmark" 2>&1 || fail 'redis_server: redis-benchmark'
    grep -q 'GET: .*requests per second' "$tmp/benchmark" ||
        fail 'redis_server: redis-benchmark got nothing'
    if [[ -z $launcher ]] && has strace; then
        launcher="strace -f -qq -o $tmp/pauses -e trace=clock_nanosleep,nanosleep"
        serve redis_server 0
        launcher=
        redis-benchmark -p "$port" -c 4 -n 2000 -q -t set >"$tmp/benchmark" 2>&1
        ! grep -q nanosleep "$tmp/pauses" || fail 'redis_server: a few had to wait'
        redis-benchmark -p "$port" -c 50 -n 20000 -q -t set >"$tmp/benchmark" 2>&1
        grep -q nanosleep "$tmp/pauses" || fail 'redis_server: many are not coalesced'
    fi
    ! "$build/examples/redis_server" 0 nonsense 2>"$tmp/err" ||
        fail 'redis_server: two arguments are no mistake'
    grep -q '^usage: ' "$tmp/err" || fail 'redis_server: no usage'
fi

for example in chat echo_server fetch http_server redis_server tcp_proxy; do
    ! "$build/examples/$example" >/dev/null 2>"$tmp/err" ||
        fail "$example: no arguments are no mistake"
    grep -q '^usage: ' "$tmp/err" || fail "$example: no usage"
done
