"""Files on disk: written whole or not at all, arrays in bcolz, the table of the split, downloads."""
