"""Control: the only writer of deployment records. All replicas switch to a version, or none does."""
