#!/bin/sh
# nginx in one process, with kept-alive connections, without logs.
# usage: nginx.sh <port> <folder>
set -eu
PATH=$PATH:/usr/sbin
cat >"$2/nginx.conf" <<END
daemon off;
master_process off;
pid $2/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    client_body_temp_path $2;
    proxy_temp_path $2;
    fastcgi_temp_path $2;
    uwsgi_temp_path $2;
    scgi_temp_path $2;
    server {
        listen 127.0.0.1:$1;
        root $2;
    }
}
END
exec nginx -e stderr -p "$2" -c "$2/nginx.conf"
