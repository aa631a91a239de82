"""PMML documents that the converter refuses: computed by PMML4S in a JVM beside the prediction servers.

One JVM serves a whole host. It listens on a Unix socket, is started when somebody first asks, and ends when
no document is held any more; its source is in the repository's `pmml/`.
"""
