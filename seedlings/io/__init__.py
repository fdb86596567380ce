"""Files on disk: atomic writes, arrays in bcolz, the split table, downloads."""
