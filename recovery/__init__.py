"""Recovery: what becomes of a profile whose hold ended without a release.

`driver` follows the incidents, and `handling` takes each from suspicion to its decision: the old worker is
cut off, `evidence` is gathered, `decide` applies the table under the `policy`. `incident_service` is the API
by which people look at incidents and resolve those that wait for them.
"""
