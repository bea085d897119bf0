"""Everything that billing reads from and writes to its database. Nothing else imports `tables`."""
