#!/bin/sh
# Runs once, on an empty data folder: a user and a database of its own for each service; nobody sees another's.
# Passwords come from the environment (<SERVICE>_DB_PASSWORD) and go to psql as variables, which it quotes.
set -eu

for service in gateway billing provisioner notifier; do
  password=$(printenv "$(echo "$service" | tr '[:lower:]' '[:upper:]')_DB_PASSWORD")
  psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set service="$service" --set password="$password" <<'SQL'
CREATE ROLE :"service" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
