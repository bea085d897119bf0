"""What stands in every configuration; the words in capitals are filled in by `nginx_config`."""

PROCESS = """\
daemon off;
worker_processes auto;
worker_rlimit_nofile 16384;
worker_shutdown_timeout 10m;
pid run/nginx.pid;
error_log logs/error.log warn;
events { worker_connections 8192; }"""

# The words of $from_here: whoever asks from the address that is asked is on this machine.
HTTP = """\
access_log off;
server_tokens off;
default_type text/plain;
client_body_temp_path tmp/body;
proxy_temp_path tmp/proxy;
fastcgi_temp_path tmp/fastcgi;
uwsgi_temp_path tmp/uwsgi;
scgi_temp_path tmp/scgi;
map_hash_bucket_size BUCKET;
map_hash_max_size 262144;
server_names_hash_bucket_size BUCKET;
server_names_hash_max_size 262144;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:tls:10m;
ssl_session_timeout 1h;
map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
map "$remote_addr $server_addr" $from_here { "~^(.+) \\1$" 1; default ""; }"""

SERVER = """\
  location = TOLD_AT {
    if ($from_here = "") { return 404; }
    return 200 "VERSION $mark\\n";
  }
  error_page 503 /.keyturn/suspended.html;
  location = /.keyturn/suspended.html {
    internal;
    alias FOLDER/pages/suspended.html;
    default_type text/html;
    charset utf-8;
    add_header Retry-After 3600 always;
    add_header Cache-Control no-store always;
  }
  location / {
    if ($site = "") { return 404; }
    if ($suspended) { return 503; }
    proxy_pass http://$site;
    proxy_http_version 1.1;
    proxy_set_header Host $hostPORT;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_connect_timeout 5s;
    proxy_read_timeout 300s;
  }"""

PLAIN = """\
  location /.well-known/acme-challenge/ { alias CHALLENGES/; }
  location / {
    if ($site = "") { return 404; }
    return 301 https://$hostPORT$request_uri;
  }"""

SUSPENDED_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Suspended</title>
<style>body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem; }</style>
<h1>This site is suspended</h1>
<p>Is it yours? Then a mail in your mailbox says why, and what brings it back. Your data is kept.</p>
</html>
"""
