"""A small asynchronous etcd client: what Tenure needs of etcd's v3 API, and nothing else.

Import from its modules; this package file stays empty so that `etcd.txn` needs no gRPC.
"""
