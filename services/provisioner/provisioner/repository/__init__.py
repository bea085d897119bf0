"""Reading and writing the provisioner's rows. The only place that knows its tables."""
