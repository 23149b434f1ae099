"""Everything a server keeps, in one file, and back."""
