"""Records: measurements that are kept, shared, and used by later plans of the same run."""
