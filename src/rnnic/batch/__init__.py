"""Many files at once: folders mirrored, in processes of this machine or on a Dask cluster."""
