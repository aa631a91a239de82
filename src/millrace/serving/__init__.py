"""The prediction server: Open Inference Protocol V2 and V1 over bundles, following the deployment records.

`http` knows nothing of models. `v1`, `v2` turn requests into calls and answers into responses; `served`
computes calls under the policy of a record; `replica` knows nothing of Kafka. `app` and `server` are glue.
"""
