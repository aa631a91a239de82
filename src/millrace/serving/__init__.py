"""The prediction server: Open Inference Protocol V2 over ONNX bundles, following the deployment records.

`protocol` and `inference` know nothing of HTTP, `replica` nothing of Kafka; `app` and `server` are the glue.
"""
