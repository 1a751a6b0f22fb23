"""Who holds which profile. The only program of Tenure that talks to etcd; replicas keep no state of their
own.
"""
