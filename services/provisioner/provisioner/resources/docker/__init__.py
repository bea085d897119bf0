"""Docker: containers, networks, volumes and images on hosts with an engine, each of which is one of our `servers`."""
