#!/bin/sh
# Runs once, on an empty data folder: a user and a database of its own for each service; nobody sees another's.
# Passwords come from the environment (<SERVICE>_DB_PASSWORD) and stay there, for psql to read and to quote: a command
# line is seen by everybody on the machine.
set -eu

for service in gateway billing provisioner notifier; do
  password=$(printenv "$(echo "$service" | tr '[:lower:]' '[:upper:]')_DB_PASSWORD")
  SERVICE_PASSWORD=$password psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set service="$service" <<'SQL'
\getenv password SERVICE_PASSWORD
CREATE ROLE :"service" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done

# From here on the superuser is whoever is inside the container: no service on the network can try its password.
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --command 'ALTER ROLE CURRENT_USER PASSWORD NULL'
