"""Everything that the gateway reads from and writes to its database. Nothing else imports `tables`."""
