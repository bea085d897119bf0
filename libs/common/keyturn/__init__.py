"""Keyturn's shared library: the event schema (`keyturn.events`, needs pydantic alone) and, with the extra
`keyturn[service]`, the technical parts that all services share. No business rule lives here."""
